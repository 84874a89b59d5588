"""Fourier neural operators as mask estimators: each band's tokens are filtered along time by learned spectra.

Li et al. 2021, arXiv:2010.08895. The spectrum is that of a whole chunk, so its length matters. Attribute names are the
keys of the published checkpoints.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.models.keys import Shapes, count
from stemsplit.models.network import in_float32
from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_config import Variant


class Pointwise(nn.Conv1d):
    """A linear layer, whose weights are published as those of a convolution over single frames."""

    def __init__(self, c_in: int, c_out: int, bias: bool = True) -> None:
        super().__init__(c_in, c_out, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """(b, m, c) -> (b, m, c')."""
        return F.linear(x, self.weight[..., 0], self.bias)


class ChannelMLP(nn.Module):
    """Applies two linear layers with GELU between them to the channels of each frame."""

    def __init__(self, c_in: int, hidden: int, c_out: int) -> None:
        super().__init__()
        self.fcs = nn.Sequential(Pointwise(c_in, hidden), Pointwise(hidden, c_out))

    def forward(self, x: Tensor) -> Tensor:
        """(b, m, c) -> (b, m, c')."""
        first, second = self.fcs
        return second(F.gelu(first(x)))


class Skip(nn.Module):
    """Combines the channels of each frame."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = Pointwise(channels, channels, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(b, m, c) -> (b, m, c)."""
        return self.conv(x)


class ChannelGains(nn.Module):
    """Scales each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, m, c) -> (b, m, c)."""
        return x * self.weight[..., 0]


class Gains(nn.Module):
    """Holds complex gains, (c, bins)."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        # Drawn evenly, not normally: for that, PyTorch would import its compiler on the meta device.
        parts = nn.init.xavier_uniform_(torch.empty(channels, 2 * bins)).unflatten(1, (bins, 2))
        self.tensor = nn.Parameter(torch.view_as_complex(parts))


class Spectral(nn.Module):
    """Filters each channel: scales the lowest bins of its spectrum over all frames, and removes the others."""

    def __init__(self, channels: int, bins: int) -> None:
        super().__init__()
        self.weight = Gains(channels, bins)
        self.bias = nn.Parameter(torch.zeros(channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """(b, m, c) -> (b, m, c), in float32 even under autocast."""
        frames = x.shape[1]
        with in_float32(x.device):
            spectrum = torch.fft.rfft(x.float(), dim=1, norm="forward")
            kept = min(self.weight.tensor.shape[1], spectrum.shape[1])
            scaled = spectrum[:, :kept] * self.weight.tensor[:, :kept].mT
            # Only real numbers belong at 0 Hz and half the frame rate. Libraries may not ignore imaginary parts there.
            real = [0] if frames % 2 or kept < spectrum.shape[1] else [0, kept - 1]
            scaled[:, real] = scaled[:, real].real.to(scaled.dtype)
            return torch.fft.irfft(scaled, frames, dim=1, norm="forward") + self.bias[:, 0]


class Blocks(nn.Module):
    """Applies layers that each filter a signal and mix its channels.

    Args:
        channels: number of channels.
        bins: number of bins that the filters keep.
        layers: number of layers.
    """

    def __init__(self, channels: int, bins: int, layers: int) -> None:
        super().__init__()
        self.convs = nn.ModuleList(Spectral(channels, bins) for _ in range(layers))
        self.fno_skips = nn.ModuleList(Skip(channels) for _ in range(layers))
        self.channel_mlp = nn.ModuleList(ChannelMLP(channels, channels // 2, channels) for _ in range(layers))
        self.channel_mlp_skips = nn.ModuleList(ChannelGains(channels) for _ in range(layers))

    def forward(self, x: Tensor) -> Tensor:
        """(b, m, c) -> (b, m, c)."""
        layers = list(zip(self.convs, self.fno_skips, self.channel_mlp, self.channel_mlp_skips, strict=True))
        for number, (filtered, skip, mixed, kept) in enumerate(layers, start=1):
            inner = filtered(x) + skip(x)
            if number == len(layers):  # without GELU, of which the result would have almost no negative numbers
                return mixed(inner) + kept(x)
            x = F.gelu(mixed(F.gelu(inner)) + kept(x))
        return x


class FourierOperator(nn.Module):
    """Maps a band's tokens to the band's numbers.

    Args:
        channels: features of a token.
        numbers: numbers of the band.
        bins: number of bins that the filters keep.
        layers: number of layers.
    """

    def __init__(self, channels: int, numbers: int, bins: int, layers: int) -> None:
        super().__init__()
        self.lifting = ChannelMLP(channels + 1, 2 * channels, channels)
        self.fno_blocks = Blocks(channels, bins, layers)
        self.projection = ChannelMLP(channels, 2 * channels, numbers)

    def forward(self, tokens: Tensor) -> Tensor:
        """(b, m, d) -> (b, m, numbers)."""
        frames = tokens.shape[1]
        times = torch.arange(frames, device=tokens.device, dtype=torch.float32) / frames
        x = torch.cat([tokens.float(), times.expand(len(tokens), -1)[..., None]], -1)
        return self.projection(self.fno_blocks(self.lifting(x)))


class FourierMaskEstimator(nn.Module):
    """Computes one stem's mask from each band's tokens.

    Args:
        sizes: numbers of each band.
        dim: features of a token.
        modes: twice the highest bin that the filters keep.
        layers: number of layers of each band's operator.
    """

    def __init__(self, sizes: Sequence[int], dim: int, modes: int, layers: int) -> None:
        super().__init__()
        self.to_freqs = nn.ModuleList(
            nn.Sequential(FourierOperator(dim, 2 * size, modes // 2 + 1, layers), nn.GLU(dim=-1))  # GLU halves the size
            for size in sizes
        )

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """(b, m, k, d) -> (b, m, size of the band) each."""
        return [layer(band) for band, layer in zip(tokens.unbind(2), self.to_freqs, strict=True)]


class FourierRoFormer(RoFormer):
    """Separates mixtures as a `RoFormer` does, with `FourierMaskEstimator` for each stem."""

    def mask_estimator(self, sizes: Sequence[int], hidden: Sequence[int]) -> nn.Module:  # noqa: ARG002  # none here
        """Make what computes one stem's mask."""
        return FourierMaskEstimator(sizes, self.config.dim, self.config.n_modes, self.config.fno_layers)


SPECTRUM = re.compile(r"^mask_estimators\.\d+\.to_freqs\.\d+\.0\.fno_blocks\.convs\.\d+\.weight\.tensor$")
"""Pattern of the keys of complex gains."""


def adapted(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint with complex gains as complex numbers; some kinds of files store them as pairs of numbers."""

    def as_complex(tensor: Tensor) -> Tensor:
        pairs = tensor.is_floating_point() and tensor.ndim == 3 and tensor.shape[-1] == 2
        return torch.view_as_complex(tensor.float().contiguous()) if pairs else tensor

    return {key: as_complex(tensor) if SPECTRUM.match(key) else tensor for key, tensor in tensors.items()}


def infer(shapes: Shapes) -> dict[str, Any]:
    """Return the operators' numbers of layers and modes; of the two numbers with as many bins, the even one."""
    blocks = "mask_estimators.0.to_freqs.0.0.fno_blocks."
    return {
        "n_modes": max(2 * (shapes[f"{blocks}convs.0.weight.tensor"][1] - 1), 1),
        "fno_layers": count(shapes, f"{blocks}convs."),
    }


FNO = Variant(
    name="fno",
    title="Fourier neural operators in its masks' networks",
    architecture="bs_roformer",
    mark=r"^mask_estimators\.\d+\.to_freqs\.\d+\.0\.(lifting|fno_blocks|projection)\.",
    network=FourierRoFormer,
    adapt=adapted,
    own=("n_modes", "fno_layers"),
    infer=infer,
    has_mlps=False,
    tensors=lambda config: config.num_stems * config.band_count * (8 + 8 * config.fno_layers),
)

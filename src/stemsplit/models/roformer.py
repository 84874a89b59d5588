"""The network that BS-RoFormer and Mel-Band RoFormer share; they differ only in their bands.

Each band of a spectrogram becomes one token per frame. Transformers with rotary positions alternate along time and
across bands. Each stem's complex mask is computed from the tokens (Lu et al. 2023, arXiv:2309.02612; Wang et al. 2023,
arXiv:2310.01809). Attribute names are the keys of the published checkpoints.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.models.network import Network
from stemsplit.models.roformer_config import Config
from stemsplit.models.roformer_layers import (
    Attention,
    LinearAttention,
    PolarEmbedding,
    RMSNorm,
    RotaryEmbedding,
    Transformer,
)


class BandSplit(nn.Module):
    """Turns each band of each frame into a token."""

    def __init__(self, sizes: Sequence[int], dim: int) -> None:
        super().__init__()
        self.to_features = nn.ModuleList(nn.Sequential(RMSNorm(size), nn.Linear(size, dim)) for size in sizes)

    def forward(self, bands: Sequence[Tensor]) -> Tensor:
        """(b, m, size of the band) each -> (b, m, k, d)."""
        return torch.stack([layer(band) for band, layer in zip(bands, self.to_features, strict=True)], 2)


class MaskEstimator(nn.Module):
    """Computes one stem's mask from each band's tokens."""

    def __init__(self, sizes: Sequence[int], dim: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.to_freqs = nn.ModuleList(
            nn.Sequential(mlp([dim, *hidden, 2 * size]), nn.GLU(dim=-1))  # GLU halves the size again
            for size in sizes
        )

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """(b, m, k, d) -> (b, m, size of the band) each."""
        return [layer(band) for band, layer in zip(tokens.unbind(2), self.to_freqs, strict=True)]


def mlp(sizes: Sequence[int]) -> nn.Sequential:
    """Build linear layers between consecutive sizes, with tanh between the layers."""
    layers: list[nn.Module] = []
    for size_in, size_out in pairwise(sizes):
        layers += [nn.Linear(size_in, size_out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


class RoFormer(Network):
    """Separates mixtures into `num_stems` stems.

    Args:
        config: hyperparameters.
        bands: consecutive bins of each band. Together they hold all bins, and may overlap.
        hidden_layers: number of hidden layers of each mask's network.
        norm_output: whether each transformer ends in a norm; otherwise there is one norm after the last block.
    """

    window: Tensor
    bands_per_bin: Tensor
    keeps_silence = True  # the masks multiply the mixture, and there is no bias after that

    def __init__(self, config: Config, bands: Sequence[range], hidden_layers: int, norm_output: bool) -> None:
        super().__init__()
        self.config, self.bands = config, bands
        c, sizes = config, [2 * config.channels * len(band) for band in bands]
        along_time, across_bands = (
            PolarEmbedding(c.dim_head, c.heads) if c.use_pope else RotaryEmbedding(c.dim_head) for _ in range(2)
        )

        def block(index: int) -> nn.ModuleList:
            kinds: list[list[nn.Module]] = [
                [LinearAttention(c.dim, c.dim_head, c.heads) for _ in range(c.linear_transformer_depth)],
                [self.attention(index, along_time, True) for _ in range(c.time_transformer_depth)],
                [self.attention(index, across_bands, False) for _ in range(c.freq_transformer_depth)],
            ]
            return nn.ModuleList(Transformer(attentions, c.dim, norm_output) for attentions in kinds if attentions)

        self.layers = nn.ModuleList(block(index) for index in range(c.depth))
        self.final_norm = nn.Identity() if norm_output else RMSNorm(c.dim)
        self.band_split = BandSplit(sizes, c.dim)
        hidden = [c.dim * c.mlp_expansion_factor] * hidden_layers
        self.mask_estimators = nn.ModuleList(self.mask_estimator(sizes, hidden) for _ in range(c.num_stems))
        # Made on the CPU, and not part of checkpoints, so that a network built on the meta device has them.
        window = torch.hann_window(c.stft_win_length, device="cpu")
        self.register_buffer("window", window, persistent=False)
        self.register_buffer("bands_per_bin", self._bands_per_bin(), persistent=False)

    def attention(
        self,
        block: int,  # noqa: ARG002  # only subclasses tell blocks and axes apart
        positions: RotaryEmbedding | PolarEmbedding,
        along_time: bool,  # noqa: ARG002
    ) -> Attention:
        """Make an attention layer of a block; a subclass may make another one.

        Args:
            block: number of the block, from 0.
            positions: encoding of positions, the same object in all attention along an axis.
            along_time: whether it attends along time, not across bands.
        """
        return Attention(self.config.dim, self.config.dim_head, self.config.heads, positions)

    def mask_estimator(self, sizes: Sequence[int], hidden: Sequence[int]) -> nn.Module:
        """Make what computes one stem's mask; a subclass may make another one, which is called in the same way.

        Args:
            sizes: how many numbers each band has per frame.
            hidden: features of the hidden layers.
        """
        return MaskEstimator(sizes, self.config.dim, hidden)

    def _bands_per_bin(self) -> Tensor:
        """Count the bands that hold each bin, (f, 1, 1)."""
        counts = torch.zeros(self.config.bins, 1, 1, device="cpu")
        for band in self.bands:
            counts[band.start : band.stop] += 1
        if not counts.all():
            raise ValueError("every bin must be in at least one band")
        return counts

    def transformed(self, tokens: Tensor) -> Tensor:
        """Apply all blocks and the final norm, (b, m, k, d) -> (b, m, k, d)."""
        batch, frames, bands, _ = tokens.shape
        outputs: list[Tensor] = []
        for block in self.layers:
            *linear, time, freq = block.children()
            for transformer in linear:
                tokens = transformer(tokens.flatten(1, 2)).unflatten(1, (frames, bands))
            if self.config.skip_connection:
                tokens = sum(outputs, tokens)
            along_time = time(tokens.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, bands)).transpose(1, 2)
            tokens = freq(along_time.flatten(0, 1)).unflatten(0, (batch, frames))
            outputs.append(tokens)
        return self.final_norm(tokens)

    def mask(self, stem: nn.Module, tokens: Tensor) -> Tensor:
        """Compute a stem's complex mask (b, c, f, m). A bin in several bands gets the mean of their masks."""
        parts = [part.unflatten(-1, (len(band), -1, 2)) for band, part in zip(self.bands, stem(tokens), strict=True)]
        if sum(map(len, self.bands)) == self.config.bins:
            mean = torch.cat(parts, 2)
        else:
            whole = parts[0].new_zeros(*tokens.shape[:2], self.config.bins, self.config.channels, 2)
            for band, part in zip(self.bands, parts, strict=True):
                whole[:, :, band.start : band.stop] += part
            mean = whole / self.bands_per_bin
        return torch.view_as_complex(mean.float()).permute(0, 3, 2, 1)

    def spectrogram(self, x: Tensor) -> Tensor:
        """Compute the STFT, (b, c, t) -> complex (b, c, f, m), t more than half of `stft_n_fft`."""
        c = self.config
        size, hop, window = c.stft_n_fft, c.stft_hop_length, c.stft_win_length
        flat = torch.stft(
            x.flatten(0, 1), size, hop, window, self.window, normalized=c.stft_normalized, return_complex=True
        )
        return flat.unflatten(0, x.shape[:2])

    def waveform(self, spectrogram: Tensor, length: int) -> Tensor:
        """Invert the STFT, complex (b, c, f, m) -> (b, c, length)."""
        c = self.config
        size, hop, window = c.stft_n_fft, c.stft_hop_length, c.stft_win_length
        flat = torch.istft(
            spectrogram.flatten(0, 1), size, hop, window, self.window, normalized=c.stft_normalized, length=length
        )
        return flat.unflatten(0, spectrogram.shape[:2])

    def separated(self, x: Tensor) -> Tensor:
        """Separate groups of channels: (b, channels, t) -> (b, n, channels, t), t more than half of `stft_n_fft`."""
        mixture = self.spectrogram(x)
        # The numbers of a band are ordered by bin, then channel, then real and imaginary part.
        numbers = torch.view_as_real(mixture).permute(0, 3, 2, 1, 4)
        bands = [numbers[:, :, band.start : band.stop].flatten(2) for band in self.bands]
        tokens = self.transformed(self.band_split(bands))
        estimates = []
        for stem in self.mask_estimators:
            masked = self.mask(stem, tokens) * mixture
            if self.config.zero_dc:
                masked[:, :, 0] = 0
            estimates.append(self.waveform(masked, x.shape[-1]))
        return torch.stack(estimates, 1)

    def grouped(self, mixture: Tensor, separated: Callable[[Tensor], Tensor]) -> Tensor:
        """Compute `forward` with another implementation of the method `separated`."""
        batch, channels, length = mixture.shape
        if channels % self.config.channels:
            raise ValueError(f"the number of channels must be a multiple of {self.config.channels}, not {channels}")
        x = mixture.reshape(-1, self.config.channels, length)
        # The STFT pads a signal by reflection, for which it must be long enough.
        x = F.pad(x, (0, max(self.config.stft_n_fft // 2 + 1 - length, 0)))
        stems = separated(x)[..., :length]
        return stems.unflatten(0, (batch, -1)).transpose(1, 2).flatten(2, 3)

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the stems.

        Args:
            mixture: (b, c, t), c a multiple of the channels taken at once; each such group is processed separately.

        Returns:
            (b, n, c, t), as long as the mixture.

        Raises:
            ValueError: the channels do not divide into groups of those taken at once.
        """
        return self.grouped(mixture, self.separated)

"""FullSubNet+: speech out of noise, by networks over all frequencies at once and one over the neighbours of each.

Chen et al. 2022, arXiv:2203.12188; the network that it extends, here its variant "base": Hao et al. 2021,
arXiv:2010.15508. Attribute names are the keys of the published checkpoints.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.models.fullsubnet_plus_attention import ChannelAttention
from stemsplit.models.fullsubnet_plus_keys import infer

if TYPE_CHECKING:
    from stemsplit.models.fullsubnet_plus_stream import Stream

__all__ = ["IGNORED", "Config", "build", "infer"]

Variant = Literal["plus", "base"]
Norm = Literal["offline_laplace_norm", "cumulative_laplace_norm"]

IGNORED = frozenset({"num_groups_in_drop_band", "weight_init"})
"""Published keywords without effect on inference."""

ONLY = {
    "variant": get_args(Variant),
    "norm_type": get_args(Norm),
    "sequence_model": ("LSTM",),
    "channel_attention_model": ("TSSE",),
    "fb_output_activate_function": ("ReLU",),
    "sb_output_activate_function": (False, None),
    "subband_num": (1,),  # with others, the published network cannot be run
}
"""What there is of it: the published code has more, but nobody published weights of that."""

DILATIONS = (1, 2, 5, 9, 1, 2, 5, 9)
WIDTH = 512
"""Of the full-band networks' convolutions, whatever a config says."""

FRAMES = 16
"""That an LSTM takes at once: of all, its gates would fill 100 MB a second of audio, and not come sooner."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Hyperparameters, under the names of the published configs.

    Args:
        variant: FullSubNet+, or the FullSubNet that it comes from.
        num_freqs: bins of the spectrogram.
        look_ahead: frames of the future that a frame's mask depends on.
        sequence_model: kind of the sub-band network.
        fb_num_neighbors: bins on either side that the sub-band network sees of each full-band network's output.
        sb_num_neighbors: bins on either side that it sees of the magnitudes.
        fb_output_activate_function: of the full-band networks.
        sb_output_activate_function: of the sub-band network; none.
        fb_model_hidden_size: features of the base variant's full-band LSTM. The other has no such.
        sb_model_hidden_size: features of the sub-band LSTM.
        channel_attention_model: kind of the channel attention.
        norm_type: scale by the mean of the whole signal, or by that of what came so far.
        kersize: spans of time that the channel attention looks at, in frames.
        subband_num: bins that the channel attention takes together.
        n_fft: size of the Fourier transform, in samples.
        win_length: of the periodic Hann window, in samples.
        hop_length: samples between frames.

    Raises:
        ValueError: a value that no network can be built from.
    """

    variant: Variant = "plus"
    num_freqs: int = 257
    look_ahead: int = 2
    sequence_model: str = "LSTM"
    fb_num_neighbors: int = 0
    sb_num_neighbors: int = 15
    fb_output_activate_function: str = "ReLU"
    sb_output_activate_function: str | bool | None = False
    fb_model_hidden_size: int = 512
    sb_model_hidden_size: int = 384
    channel_attention_model: str = "TSSE"
    norm_type: Norm = "offline_laplace_norm"
    kersize: tuple[int, ...] = (3, 5, 10)
    subband_num: int = 1
    n_fft: int = 512
    win_length: int = 512
    hop_length: int = 256

    def __post_init__(self) -> None:
        for name, values in ONLY.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name} must be {' or '.join(map(str, values))}, not {getattr(self, name)!r}")
        for name, value in vars(self).items():
            least = 0 if name in ("look_ahead", "fb_num_neighbors", "sb_num_neighbors") else 1
            if type(value) is int and value < least:
                raise ValueError(f"{name} must be at least {least}, not {value}")
        kernels = self.kersize
        if not isinstance(kernels, list | tuple) or len(kernels) != 3 or not all(_positive(size) for size in kernels):
            raise ValueError(f"kersize must be three positive whole numbers, not {kernels!r}")
        if self.num_freqs < 2 or self.n_fft != 2 * (self.num_freqs - 1):
            raise ValueError(f"num_freqs must be n_fft / 2 + 1, not {self.num_freqs} for an n_fft of {self.n_fft}")
        if max(self.fb_num_neighbors, self.sb_num_neighbors) >= self.num_freqs:
            raise ValueError(f"fb_num_neighbors and sb_num_neighbors must be less than num_freqs {self.num_freqs}")
        if not 2 * self.hop_length <= self.win_length <= self.n_fft:
            raise ValueError(
                f"win_length must be at least twice hop_length and at most n_fft {self.n_fft}, "
                f"not {self.win_length} with hop {self.hop_length}"
            )

    @property
    def outputs(self) -> int:
        """Estimates."""
        return 1

    @property
    def channels(self) -> int:
        """Taken together."""
        return 1

    @property
    def paths(self) -> int:
        """Full-band networks."""
        return 1 if self.variant == "base" else 3

    @property
    def features(self) -> int:
        """Numbers a frame that the sub-band network sees around a bin."""
        return 2 * self.sb_num_neighbors + 1 + self.paths * (2 * self.fb_num_neighbors + 1)


def _positive(value: object) -> bool:
    return type(value) is int and value > 0


Past = tuple[Tensor, int]
"""What a running mean has come to: float64 sums (b, c, 1, 1), and over how many frames."""

State = tuple[Tensor, Tensor]
"""What an LSTM remembers, (layers, b, d) twice."""


def _fine(device: torch.device) -> torch.dtype:
    """What sums are taken in: in single precision they would depend on their order, and so on the number of threads."""
    return torch.float32 if device.type == "mps" else torch.float64  # Apple's devices have no other


def running(x: Tensor, past: Past | None = None) -> tuple[Tensor, Past]:
    """Scale a signal by the mean of what came so far, of each c over all f.

    Args:
        x: (b, c, f, m).
        past: what this returned of the frames before; None at the beginning.

    Returns:
        (b, c, f, m), and the past of the frames that follow.
    """
    before, frames = past or (0, 0)
    sums = before + x.sum(2, keepdim=True, dtype=_fine(x.device)).cumsum(-1)
    counts = x.shape[2] * torch.arange(frames + 1, frames + x.shape[3] + 1, device=x.device)
    scaled = x / (sums / counts + torch.finfo(torch.float32).eps).to(x.dtype)
    return scaled, (sums[..., -1:], frames + x.shape[3])


def normalised(x: Tensor, kind: Norm) -> Tensor:
    """Scale a signal by its mean.

    Of real and imaginary parts, which are signed, the mean is next to nothing: the gain is high, of either sign, and
    would be another one with each way of rounding.

    Args:
        x: (b, c, f, m).
        kind: offline, the mean of everything; cumulative, see `running`.

    Returns:
        (b, c, f, m).
    """
    if kind == "cumulative_laplace_norm":
        return running(x)[0]
    return x / (x.mean((1, 2, 3), keepdim=True, dtype=_fine(x.device)) + 1e-5).to(x.dtype)


def masked(mixture: Tensor, compressed: Tensor) -> Tensor:
    """Multiply a spectrogram by its mask.

    Args:
        mixture: (b, f, m), complex.
        compressed: real and imaginary part of the mask, (b, 2, f, m).

    Returns:
        (b, f, m), complex.
    """
    # As published, -10 log((10 - y) / (10 + y)), which is this and loses nothing near zero.
    real, imag = (20 * torch.atanh(compressed.float().clamp(-9.9, 9.9) / 10)).unbind(1)
    return mixture * torch.complex(real, imag)


def neighbours(x: Tensor, reach: int) -> Tensor:
    """Each bin with those on either side of it, the outermost continued by reflection: (b, f, m) -> (b, f, d, m)."""
    padded = F.pad(x[:, None], (0, 0, reach, reach), mode="reflect")[:, 0] if reach else x
    return padded.unfold(1, 2 * reach + 1, 1).mT


class DilatedBlock(nn.Module):
    """Widen, look at three frames some way apart, narrow, add."""

    def __init__(self, bins: int, dilation: int) -> None:
        super().__init__()
        self.conv1x1 = nn.Conv1d(bins, WIDTH, 1)
        self.prelu1 = nn.PReLU()
        self.norm1 = nn.GroupNorm(1, WIDTH, eps=1e-8)
        self.depthwise_conv = nn.Conv1d(WIDTH, WIDTH, 3, padding=dilation, dilation=dilation, groups=WIDTH)
        self.prelu2 = nn.PReLU()
        self.norm2 = nn.GroupNorm(1, WIDTH, eps=1e-8)
        self.sconv = nn.Conv1d(WIDTH, bins, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(b, f, m) -> (b, f, m)."""
        y = self.norm1(self.prelu1(self.conv1x1(x)))
        return x + self.sconv(self.norm2(self.prelu2(self.depthwise_conv(y))))


class FullBand(nn.Module):
    """What a frame is about, from all of its bins and from the frames around it."""

    def __init__(self, bins: int) -> None:
        super().__init__()
        self.sequence_model = nn.Sequential(*(DilatedBlock(bins, dilation) for dilation in DILATIONS))
        self.fc_output_layer = nn.Linear(bins, bins)

    def forward(self, x: Tensor) -> Tensor:
        """(b, f, m) -> (b, f, m)."""
        return self.fc_output_layer(self.sequence_model(x).relu().mT).relu().mT


class Recurrent(nn.Module):
    """An LSTM of two layers over time, and a linear layer."""

    def __init__(self, d_in: int, hidden: int, d_out: int) -> None:
        super().__init__()
        self.sequence_model = nn.LSTM(d_in, hidden, 2, batch_first=True)
        self.fc_output_layer = nn.Linear(hidden, d_out)

    def following(self, x: Tensor, state: State | None) -> tuple[Tensor, State | None]:
        """(b, d, m), and the state that the frames before left, if any -> (b, d', m), and the state after it."""
        outputs = []
        for frames in x.mT.split(FRAMES, 1):
            hidden, state = self.sequence_model(frames, state)
            outputs.append(self.fc_output_layer(hidden))
        return torch.cat(outputs, 1).mT, state

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d', m)."""
        return self.following(x, None)[0]


class FullSubNet(nn.Module):
    """Estimates the speech in mixtures.

    Args:
        config: hyperparameters.
    """

    window: Tensor
    keeps_silence = True
    """Silent mixtures have silent estimates: the mask multiplies nothing."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = c = config
        if c.variant == "base":
            self.fb_model: nn.Module = Recurrent(c.num_freqs, c.fb_model_hidden_size, c.num_freqs)
        else:
            self.channel_attention = ChannelAttention(c.num_freqs, c.kersize)
            self.channel_attention_real = ChannelAttention(c.num_freqs, c.kersize)
            self.channel_attention_imag = ChannelAttention(c.num_freqs, c.kersize)
            self.fb_model = FullBand(c.num_freqs)
            self.fb_model_real = FullBand(c.num_freqs)
            self.fb_model_imag = FullBand(c.num_freqs)
        self.sb_model = Recurrent(c.features, c.sb_model_hidden_size, 2)
        # Made on the CPU, and no part of checkpoints: a network built on the meta device has it at once.
        self.register_buffer("window", torch.hann_window(c.win_length, device="cpu"), persistent=False)

    @property
    def streamable(self) -> bool:
        """Whether nothing in it hears the whole recording, so that `stream` can be had."""
        return self.config.variant == "base" and self.config.norm_type == "cumulative_laplace_norm"

    def stream(self) -> "Stream":
        """What takes one recording apart block by block, with the same answer as `forward` for all of it."""
        from stemsplit.models.fullsubnet_plus_stream import Stream  # which is made of what stands here

        return Stream(self)

    def seen(self, parts: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What the sub-band network is shown.

        Args:
            parts: (b, 3, f, m): magnitudes, real and imaginary parts.

        Returns:
            Magnitudes (b, f, m), and each full-band network's output (b, f, m).
        """
        magnitude, real, imag = (normalised(part, self.config.norm_type)[:, 0] for part in parts.split(1, 1))
        if self.config.variant == "base":
            return parts[:, 0], [self.fb_model(magnitude).relu()]
        attended = self.channel_attention(magnitude)
        from_real = self.fb_model_real(self.channel_attention_real(real))
        from_imag = self.fb_model_imag(self.channel_attention_imag(imag))
        return attended, [self.fb_model(attended), from_real, from_imag]

    def compressed_mask(self, parts: Tensor) -> Tensor:
        """Real and imaginary part of the mask, compressed: (b, 3, f, m), as for `seen` -> (b, 2, f, m)."""
        c = self.config
        parts = F.pad(parts, (0, c.look_ahead))
        # Gains of the norms may be higher than half precision can hold; nearly all of the work comes below.
        with torch.autocast(parts.device.type, enabled=False):
            magnitude, full = self.seen(parts)
            around = [neighbours(magnitude, c.sb_num_neighbors), *(neighbours(x, c.fb_num_neighbors) for x in full)]
            features = normalised(torch.cat(around, 2), c.norm_type)
        mask = self.sb_model(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return mask.transpose(1, 2)[..., c.look_ahead :]

    def separated(self, x: Tensor) -> Tensor:
        """(b, t) -> (b, t), t as `padded_length` gives it."""
        c = self.config
        shape = (c.n_fft, c.hop_length, c.win_length, self.window)
        mixture = torch.stft(x, *shape, return_complex=True)
        compressed = self.compressed_mask(torch.stack([mixture.abs(), mixture.real, mixture.imag], 1))
        return torch.istft(masked(mixture, compressed), *shape, length=x.shape[-1])

    def padded_length(self, length: int) -> int:
        """Samples that `length` is filled up to with zeros.

        There have to be enough for the reflection at the ends and for the channel attention. And only a last half hop
        may go beyond the last frame: what the frame's window is next to nothing for would become a click.
        """
        c = self.config
        spans = max(c.kersize) if c.variant == "plus" else 1
        enough = max(length, c.n_fft // 2 + 1, (spans - 1 - c.look_ahead) * c.hop_length)
        beyond = enough % c.hop_length
        return enough - beyond + c.hop_length if beyond > c.hop_length // 2 else enough

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the speech, in each channel on its own.

        Args:
            mixture: (b, c, t).

        Returns:
            (b, 1, c, t).
        """
        batch, _, length = mixture.shape
        x = F.pad(mixture.flatten(0, 1), (0, self.padded_length(length) - length))
        return self.separated(x)[:, :length].unflatten(0, (batch, 1, -1))


def build(config: Config) -> nn.Module:
    """The network, with fresh weights."""
    return FullSubNet(config)

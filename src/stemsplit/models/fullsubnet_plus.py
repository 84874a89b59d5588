"""FullSubNet+: extracts speech from noise, by networks over all frequencies and one over the neighbours of each bin.

Chen et al. 2022, arXiv:2203.12188. The variant "base" is FullSubNet, which it extends: Hao et al. 2021,
arXiv:2010.15508. Attribute names are the keys of the published checkpoints.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.models.fullsubnet_plus_attention import ATTENTIONS
from stemsplit.models.fullsubnet_plus_keys import MARKS, beside, infer
from stemsplit.models.fullsubnet_plus_layers import (
    ACTIVATIONS,
    CUMULATIVE,
    Convolutional,
    Norm,
    Recurrent,
    masked,
    neighbours,
    normalised,
)
from stemsplit.models.fullsubnet_plus_stream import Stream
from stemsplit.models.network import Network, in_float32

__all__ = ["IGNORED", "MARKS", "Config", "beside", "build", "infer"]

Variant = Literal["plus", "base"]

IGNORED = frozenset({"num_groups_in_drop_band", "weight_init"})
"""Published keywords without effect on inference."""

SUPPORTED = {
    "variant": get_args(Variant),
    "norm_type": get_args(Norm),
    "sequence_model": ("LSTM", "GRU", "TCN"),
    "channel_attention_model": tuple(ATTENTIONS),
    "fb_output_activate_function": tuple(ACTIVATIONS),
    "sb_output_activate_function": tuple(ACTIVATIONS),
    "output_size": (2,),  # the real and the imaginary part of a mask
}
"""Hyperparameter -> its values in the published code."""


@dataclass(frozen=True, kw_only=True)
class Config:
    """Hyperparameters, under the names of the published configs.

    Args:
        variant: "plus" for FullSubNet+, "base" for FullSubNet.
        num_freqs: number of STFT bins.
        look_ahead: number of future frames that a frame's mask depends on.
        sequence_model: kind of the sub-band network: LSTM, GRU or, in the plus variant, TCN, which is convolutions. In
            the base variant, the full-band network is of the same kind.
        fb_num_neighbors: bins on either side that the sub-band network sees of each full-band network's output.
        sb_num_neighbors: bins on either side that it sees of the magnitudes.
        fb_output_activate_function: activation after the full-band networks: ReLU, ReLU6, Tanh, or false for none.
        sb_output_activate_function: activation after the sub-band network, one of the same.
        fb_model_hidden_size: features of the base variant's full-band LSTM; the plus variant does not have one.
        sb_model_hidden_size: features of the sub-band LSTM or GRU.
        channel_attention_model: kind of the channel attention: TSSE (MulCA), SE, CBAM or ECA.
        norm_type: whether to scale by the whole signal (offline) or by the frames so far (cumulative), to a mean of 1
            (laplace) or to mean 0 and standard deviation 1 (gaussian, layer).
        kersize: time spans of the channel attention TSSE, in frames.
        subband_num: number of bins that share a weight of the magnitudes' channel attention.
        output_size: numbers of a mask; always 2.
        n_fft: STFT size, in samples; 0 for the one that has `num_freqs` bins.
        win_length: length of the periodic Hann window, in samples; 0 for `n_fft`.
        hop_length: samples between frames; 0 for half of `n_fft`.

    Raises:
        ValueError: a value that no network can be built from.
    """

    variant: Variant = "plus"
    num_freqs: int = 257
    look_ahead: int = 2
    sequence_model: str = "LSTM"
    fb_num_neighbors: int = 0
    sb_num_neighbors: int = 15
    fb_output_activate_function: str | bool | None = "ReLU"
    sb_output_activate_function: str | bool | None = False
    fb_model_hidden_size: int = 512
    sb_model_hidden_size: int = 384
    channel_attention_model: str = "TSSE"
    norm_type: Norm = "offline_laplace_norm"
    kersize: tuple[int, ...] = (3, 5, 10)
    subband_num: int = 1
    output_size: int = 2
    n_fft: int = 0
    win_length: int = 0
    hop_length: int = 0

    def __post_init__(self) -> None:
        n_fft = self.n_fft or 2 * (self.num_freqs - 1)
        for name, usual in (("n_fft", n_fft), ("win_length", n_fft), ("hop_length", n_fft // 2)):
            # The class is frozen, but what follows from other values need not be given.
            object.__setattr__(self, name, getattr(self, name) or usual)
        for name, values in SUPPORTED.items():
            if getattr(self, name) not in values:
                shown = " or ".join(str(value) for value in values if value != "")
                raise ValueError(f"{name} must be {shown}, not {getattr(self, name)!r}")
        if self.variant == "base" and self.sequence_model == "TCN":
            raise ValueError("sequence_model must be LSTM or GRU in the variant base, not 'TCN'")
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
        if self.variant == "plus" and self.subband_num > 1:
            self._check_groups()
        if not 2 * self.hop_length <= self.win_length <= self.n_fft:
            raise ValueError(
                f"win_length must be at least twice hop_length and at most n_fft {self.n_fft}, "
                f"not {self.win_length} with hop {self.hop_length}"
            )

    def _check_groups(self) -> None:
        """Raise ValueError if the channel attention cannot work on groups of bins."""
        if self.channel_attention_model != "ECA":
            # The published code makes all three attentions for the groups, but groups only the magnitudes.
            problem = "attention to real and imaginary parts is not made for groups of bins, except ECA"
            raise ValueError(f"subband_num must be 1, not {self.subband_num}: {problem}")
        if (padding := self.grouped_bins - self.num_freqs) >= self.num_freqs:
            raise ValueError(
                f"subband_num cannot be {self.subband_num}: its groups need {padding} bins more than num_freqs "
                f"{self.num_freqs}, and reflection gives at most {self.num_freqs - 1}"
            )

    @property
    def grouped_bins(self) -> int:
        """Number of bins after padding for whole groups of `subband_num`; at least one bin is added."""
        return (self.num_freqs // self.subband_num + 1) * self.subband_num

    @property
    def outputs(self) -> int:
        """Number of estimates."""
        return 1

    @property
    def channels(self) -> int:
        """Number of channels taken at once."""
        return 1

    @property
    def paths(self) -> int:
        """Number of full-band networks."""
        return 1 if self.variant == "base" else 3

    @property
    def features(self) -> int:
        """Number of features around a bin that the sub-band network gets per frame."""
        return 2 * self.sb_num_neighbors + 1 + self.paths * (2 * self.fb_num_neighbors + 1)


def _positive(value: object) -> bool:
    return type(value) is int and value > 0


class FullSubNet(Network):
    """Estimates the speech in mixtures.

    Args:
        config: hyperparameters.
    """

    window: Tensor
    keeps_silence = True  # the mask multiplies the mixture, and there is no bias after that

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = c = config
        # Only cumulative norms are causal, and only the base variant does without attention over the whole song.
        self.streamable = c.variant == "base" and c.norm_type in CUMULATIVE
        bins, activation = c.num_freqs, c.fb_output_activate_function
        if c.variant == "base":
            self.fb_model: nn.Module = Recurrent(bins, c.fb_model_hidden_size, bins, c.sequence_model, activation)
        else:
            attention = ATTENTIONS[c.channel_attention_model]
            self.channel_attention = attention(bins, c.kersize)
            self.channel_attention_real = attention(bins, c.kersize)
            self.channel_attention_imag = attention(bins, c.kersize)
            self.fb_model = Convolutional(bins, bins, activation)
            self.fb_model_real = Convolutional(bins, bins, activation)
            self.fb_model_imag = Convolutional(bins, bins, activation)
        activation = c.sb_output_activate_function
        if c.sequence_model == "TCN":
            self.sb_model: nn.Module = Convolutional(c.features, 2, activation)
        else:
            self.sb_model = Recurrent(c.features, c.sb_model_hidden_size, 2, c.sequence_model, activation)
        # Made on the CPU, and not part of checkpoints, so that a network built on the meta device has it.
        self.register_buffer("window", torch.hann_window(c.win_length, device="cpu"), persistent=False)

    def stream(self) -> Stream:
        """Start a stream, which separates one recording block by block with the result of `forward` for the whole."""
        return Stream(self)

    def full_band(self, parts: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Compute the full-band networks, whose outputs the sub-band network gets besides the magnitudes.

        Args:
            parts: magnitudes, real and imaginary parts of the spectrogram, (b, 3, f, m).

        Returns:
            The magnitudes (b, f, m), weighted by the channel attention in the plus variant, and each full-band
            network's output (b, f, m).
        """
        magnitude, real, imag = (normalised(part, self.config.norm_type)[:, 0] for part in parts.split(1, 1))
        if self.config.variant == "base":
            return parts[:, 0], [self.fb_model(magnitude)]
        attended = self.attended(magnitude)
        from_real = self.fb_model_real(self.channel_attention_real(real))
        from_imag = self.fb_model_imag(self.channel_attention_imag(imag))
        return attended, [self.fb_model(attended), from_real, from_imag]

    def attended(self, magnitude: Tensor) -> Tensor:
        """Weight the magnitudes (b, f, m) by the channel attention, in groups of bins if there are any."""
        c = self.config
        if c.subband_num == 1:
            return self.channel_attention(magnitude)
        # The bins of a group follow each other, as if they were one bin of a longer song.
        padded = F.pad(magnitude[:, None], (0, 0, 0, c.grouped_bins - c.num_freqs), mode="reflect")[:, 0]
        groups = padded.unflatten(1, (-1, c.subband_num)).flatten(2)
        return self.channel_attention(groups).unflatten(2, (c.subband_num, -1)).flatten(1, 2)[:, : c.num_freqs]

    def compressed_mask(self, parts: Tensor) -> Tensor:
        """Compute the compressed mask, (b, 3, f, m) as for `full_band` -> real and imaginary parts (b, 2, f, m)."""
        c = self.config
        parts = F.pad(parts, (0, c.look_ahead))
        # The norms' gains may exceed the range of half precision. Nearly all of the work comes below.
        with in_float32(parts.device):
            magnitude, full = self.full_band(parts)
            around = [neighbours(magnitude, c.sb_num_neighbors), *(neighbours(x, c.fb_num_neighbors) for x in full)]
            features = normalised(torch.cat(around, 2), c.norm_type)
        mask = self.sb_model(features.flatten(0, 1)).unflatten(0, features.shape[:2])
        return mask.transpose(1, 2)[..., c.look_ahead :]

    def separated(self, x: Tensor) -> Tensor:
        """Separate padded mixtures: (b, t) -> (b, t), t as from `padded_length`."""
        c = self.config
        shape = (c.n_fft, c.hop_length, c.win_length, self.window)
        mixture = torch.stft(x, *shape, return_complex=True)
        compressed = self.compressed_mask(torch.stack([mixture.abs(), mixture.real, mixture.imag], 1))
        return torch.istft(masked(mixture, compressed), *shape, length=x.shape[-1])

    def padded_length(self, length: int) -> int:
        """Return the length in samples that a mixture of `length` samples is padded to with zeros.

        It must suffice for the reflection at the ends and for the channel attention. At most half a hop may lie beyond
        the last frame: samples for which the frame's window is nearly zero would become a click.
        """
        c = self.config
        kernel = max(c.kersize) if c.variant == "plus" and c.channel_attention_model == "TSSE" else 1
        enough = max(length, c.n_fft // 2 + 1, (kernel - 1 - c.look_ahead) * c.hop_length)
        beyond = enough % c.hop_length
        return enough - beyond + c.hop_length if beyond > c.hop_length // 2 else enough

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the speech in each channel separately.

        Args:
            mixture: (b, c, t).

        Returns:
            (b, 1, c, t).
        """
        batch, _, length = mixture.shape
        x = F.pad(mixture.flatten(0, 1), (0, self.padded_length(length) - length))
        return self.separated(x)[:, :length].unflatten(0, (batch, 1, -1))


def build(config: Config) -> Network:
    """Build the network with fresh weights."""
    return FullSubNet(config)

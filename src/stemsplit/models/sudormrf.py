"""SuDoRM-RF: a learned filter bank, U-shaped convolution blocks, a mask for each stem, and learned synthesis.

Tzinis, Wang & Smaragdis 2020, arXiv:2007.06833 (original); Tzinis et al. 2022, arXiv:2103.02644 (improved "++",
group-communication and causal variants). Attribute names are the keys of the published checkpoints.
"""

import math
from dataclasses import dataclass
from typing import get_args

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.models.network import Network
from stemsplit.models.sudormrf_keys import MARKS, infer
from stemsplit.models.sudormrf_layers import CausalConv1d, GroupCommBlock, Layers, UConvBlock, Variant, synthesise

__all__ = ["IGNORED", "MARKS", "Config", "build", "infer"]

IGNORED: frozenset[str] = frozenset()
"""Published keywords without effect on inference: this architecture has none."""


@dataclass(frozen=True)
class Config:
    """Hyperparameters, under the names of the published code.

    Args:
        variant: one of the four published networks.
        out_channels: features between blocks; 0 is the variant's default (128, group-communication 256).
        in_channels: features inside a block.
        num_blocks: number of U-ConvBlocks.
        upsampling_depth: number of time scales inside a block; 0 is the variant's default (4, group-communication 5).
        enc_kernel_size: length of the encoder's and decoder's filters, in samples; odd. The hop is half of it.
        enc_num_basis: number of encoder filters.
        num_sources: number of stems.
        in_audio_channels: number of channels taken at once; each such group is processed separately.
        group_size: number of feature groups (group-communication only).
        normalize: whether to scale each mixture to zero mean and unit deviation, and the estimates back.
        mixture_consistency: whether to divide the residual evenly among the estimates, so that they add up to the
            mixture.

    Raises:
        ValueError: a value that no network can be built from.
    """

    variant: Variant = "improved"
    out_channels: int = 0
    in_channels: int = 512
    num_blocks: int = 16
    upsampling_depth: int = 0
    enc_kernel_size: int = 21
    enc_num_basis: int = 512
    num_sources: int = 2
    in_audio_channels: int = 1
    group_size: int = 16
    normalize: bool = False
    mixture_consistency: bool = False

    def __post_init__(self) -> None:
        grouped = self.variant == "groupcomm"
        # The class is frozen, so the two defaults that depend on the variant can only be set in this way.
        object.__setattr__(self, "out_channels", self.out_channels or (256 if grouped else 128))
        object.__setattr__(self, "upsampling_depth", self.upsampling_depth or (5 if grouped else 4))
        if self.variant not in get_args(Variant):
            raise ValueError(f"unknown SuDoRM-RF variant {self.variant!r}; choose from {', '.join(get_args(Variant))}")
        for name, value in vars(self).items():
            if isinstance(value, int) and value < 1 and not isinstance(value, bool):
                raise ValueError(f"{name} must be positive, not {value}")
        if max(self.num_blocks, self.num_sources) > 1_000 or self.upsampling_depth > 30:
            raise ValueError("num_blocks and num_sources must be at most 1000, upsampling_depth at most 30")
        if self.enc_kernel_size < 3 or self.enc_kernel_size % 2 == 0:
            raise ValueError(f"enc_kernel_size must be odd and at least 3, not {self.enc_kernel_size}")
        if grouped and (self.out_channels % self.group_size or self.in_channels % self.group_size):
            raise ValueError(f"out_channels and in_channels must be multiples of group_size {self.group_size}")
        if self.variant == "original" and (self.enc_num_basis % 2 or self.in_audio_channels != 1):
            raise ValueError("the original variant needs an even enc_num_basis and in_audio_channels 1")

    @property
    def outputs(self) -> int:
        """Number of estimates."""
        return self.num_sources

    @property
    def channels(self) -> int:
        """Number of channels taken at once."""
        return self.in_audio_channels

    @property
    def hop(self) -> int:
        """Number of samples between two frames."""
        return self.enc_kernel_size // 2


class SuDoRMRF(Network):
    """Separates mixtures into `num_sources` stems.

    Args:
        config: hyperparameters.
    """

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = c = config
        # Here masks multiply the output of an encoder without bias, and the decoder does not have one either.
        self.keeps_silence = c.variant in ("improved", "groupcomm")
        make = Layers(c.variant)
        audio, stems, basis, kernel = c.in_audio_channels, c.num_sources, c.enc_num_basis, c.enc_kernel_size
        if c.variant == "original":
            self.encoder: nn.Module = nn.Sequential(nn.Conv1d(1, basis, kernel, c.hop, c.hop), nn.ReLU())
            self.ln: nn.Module = make.norm(basis)
            self.l1 = make.conv(basis, c.out_channels)
        elif c.variant == "causal":
            self.encoder = CausalConv1d(audio, basis, 2 * kernel - 1, c.hop, kernel - 1, bias=False)
            self.bottleneck = make.conv(basis, c.out_channels)
        else:
            self.encoder = nn.Conv1d(audio, basis, kernel, c.hop, c.hop, bias=False)
            self.ln = make.norm(basis)
            self.bottleneck = make.conv(basis, c.out_channels)
        self.sm = nn.Sequential(*(self.block() for _ in range(c.num_blocks)))
        if c.variant == "original":
            if c.out_channels != basis:
                self.reshape_before_masks = make.conv(c.out_channels, basis)
            self.m = nn.Conv2d(1, stems, (basis + 1, 1), padding=(basis - basis // 2, 0))
            self.decoder = nn.ConvTranspose1d(basis * stems, stems, kernel, c.hop, c.hop, c.hop - 1, groups=stems)
            self.ln_mask_in = make.norm(basis)  # stored in checkpoints but not used
        else:
            outputs = stems * audio
            self.mask_net = nn.Sequential(nn.PReLU(), make.conv(c.out_channels, outputs * basis))
            self.decoder = nn.ConvTranspose1d(outputs * basis, outputs, kernel, c.hop, c.hop, c.hop - 1, bias=False)
        if c.variant == "causal":
            self.mask_nl_class = nn.PReLU()

    def block(self) -> nn.Module:
        """Make one of the separator's blocks."""
        c = self.config
        if c.variant == "groupcomm":
            return GroupCommBlock(c.group_size, c.out_channels, c.in_channels, c.upsampling_depth)
        return UConvBlock(c.variant, c.out_channels, c.in_channels, c.upsampling_depth)

    def padded_length(self, length: int) -> int:
        """Return the length that a mixture is padded to with zeros, so that every time scale has whole frames."""
        hop, depth = self.config.hop, self.config.upsampling_depth
        unit = hop * 2**depth
        if self.config.variant == "original":
            # The published rule is lcm(hop, 2**depth); the third factor is added for hops at which the blocks do not
            # take its frames.
            unit = math.lcm(hop, 2**depth, hop * 2 ** (depth - 1))
        return max(-(-length // unit), 1) * unit

    def masked(self, coded: Tensor) -> Tensor:
        """Mask the mixture's coefficients, (b, basis, m) -> those of every stem, (b, n * c * basis, m)."""
        c = self.config
        if c.variant == "causal":
            return self.mask_nl_class(self.mask_net(self.sm(self.bottleneck(coded))))
        if c.variant == "original":
            h = self.sm(self.l1(self.ln(coded)))
            h = self.reshape_before_masks(h) if c.out_channels != c.enc_num_basis else h
            masks = self.m(h[:, None])
            masks = masks.softmax(1) if c.num_sources > 1 else masks.sigmoid()
        else:
            h = self.mask_net(self.sm(self.bottleneck(self.ln(coded))))
            masks = h.relu().unflatten(1, (-1, c.enc_num_basis))
        return (masks * coded[:, None]).flatten(1, 2)

    def separated(self, x: Tensor) -> Tensor:
        """Separate groups of channels: (b, in_audio_channels, t) -> (b, n * in_audio_channels, t)."""
        length = x.shape[-1]
        coefficients = self.masked(self.encoder(F.pad(x, (0, self.padded_length(length) - length))))
        waves = synthesise(coefficients, self.decoder.weight, self.decoder.groups, self.config.hop)
        if self.decoder.bias is not None:
            waves = waves + self.decoder.bias[:, None]
        return waves[..., :length]

    def forward(self, mixture: Tensor) -> Tensor:
        """Estimate the stems.

        Args:
            mixture: (b, c, t), c a multiple of `in_audio_channels`; each such group is processed separately.

        Returns:
            (b, n, c, t), as long as the mixture.

        Raises:
            ValueError: the channels do not divide into groups of `in_audio_channels`.
        """
        c = self.config
        batch, channels, length = mixture.shape
        if channels % c.in_audio_channels:
            raise ValueError(f"the number of channels must be a multiple of {c.in_audio_channels}, not {channels}")
        x = mixture.reshape(-1, c.in_audio_channels, length)
        mean, deviation = x.new_zeros(1), x.new_ones(1)
        if c.normalize:
            mean = x.mean((1, 2), keepdim=True)
            # The estimator is unbiased, and would be NaN for a single sample.
            deviation = x.std((1, 2), keepdim=True) if x[0].numel() > 1 else torch.zeros_like(mean)
            x = (x - mean) / (deviation + 1e-9)
        y = self.separated(x).unflatten(1, (c.num_sources, c.in_audio_channels))
        if c.normalize:
            y = y * deviation[:, None] + mean[:, None]
        y = y.unflatten(0, (batch, -1)).transpose(1, 2).reshape(batch, c.num_sources, channels, length)
        if c.mixture_consistency:
            y = y + (mixture[:, None] - y.sum(1, keepdim=True)) / c.num_sources
        return y


def build(config: Config) -> Network:
    """Build the network with fresh weights."""
    return SuDoRMRF(config)

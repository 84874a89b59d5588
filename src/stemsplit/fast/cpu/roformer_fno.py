"""Computes the Fourier neural operators that some RoFormers have instead of linear layers in their masks' networks."""

import math
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cpu.linear import Activation, Linear
from stemsplit.models.roformer_fno import FourierOperator


def waves(frames: int, bins: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the lowest bins of the Fourier transform of real signals, and of its inverse, as matrices.

    A transform of few bins is a small product, whatever the number of frames, even if that is a prime.

    Returns:
        (2 * bins, frames), for all real parts, then all imaginary ones, of the mean over time of signal times wave;
        and (frames, 2 * bins) for the sum of the waves.
    """
    bin_numbers, times = (torch.arange(size, device=device) for size in (bins, frames))
    turns = torch.outer(bin_numbers, times) % frames
    angles = turns.double() * (2 * math.pi / frames)
    parts = torch.cat([angles.cos(), -angles.sin()])
    # Each bin stands for the one of its negative frequency too, except 0 Hz and half the frame rate.
    both = 2 - (2 * bin_numbers % frames == 0).int().repeat(2)
    return (parts / frames).float(), (parts.mT * both).float()


@lru_cache(maxsize=4)
def waves_here(frames: int, bins: int) -> tuple[Tensor, Tensor]:
    """Return `waves` on the CPU."""
    return waves(frames, bins, torch.device("cpu"))


def layer(plain: Any, dtype: torch.dtype, activation: Activation = "none", bias: Tensor | None = None) -> Linear:
    """Make a linear layer of a convolution over single frames."""
    return Linear(plain.weight[..., 0], plain.bias if bias is None else bias, dtype, activation, packed=False)


class FastSpectral:
    """Computes one layer of an operator, without the activation after it."""

    def __init__(self, filtered: Any, skip: Any, mixed: Any, kept: Any, dtype: torch.dtype) -> None:
        weight = filtered.weight.tensor.mT
        self.real, self.imaginary = weight.real.contiguous(), weight.imag.contiguous()
        self.skip = layer(skip.conv, dtype, bias=filtered.bias[:, 0])
        self.wide, self.narrow = layer(mixed.fcs[0], dtype, "gelu"), layer(mixed.fcs[1], dtype)
        self.gain = kept.weight[0, :, 0]

    def __call__(self, x: Tensor, last: bool) -> Tensor:
        """Apply the layer to float32 (m, d); without activation inside if it is the last one."""
        bins = min(len(self.real), len(x) // 2 + 1)
        forth, back = waves_here(len(x), bins)
        real, imaginary = (forth @ x).view(2, bins, -1)
        a, b = self.real[:bins], self.imaginary[:bins]
        scaled = torch.cat([real * a - imaginary * b, real * b + imaginary * a])
        inner = torch.addmm(self.skip(x).float(), back, scaled)
        if not last:
            inner = torch.ops.aten.gelu_(inner)
        return torch.addcmul(self.narrow(self.wide(inner)).float(), x, self.gain)


class FastFourierOperator:
    """Computes the mask of one band from its tokens: a `FourierOperator`, then a GLU.

    Fourier transforms, and all sums, are in float32.
    """

    def __init__(self, plain: nn.Module, dtype: torch.dtype) -> None:
        assert isinstance(plain, FourierOperator)
        blocks: Any = plain.fno_blocks
        self.lifting = layer(plain.lifting.fcs[0], dtype, "gelu"), layer(plain.lifting.fcs[1], dtype)
        parts = zip(blocks.convs, blocks.fno_skips, blocks.channel_mlp, blocks.channel_mlp_skips, strict=True)
        self.layers = [FastSpectral(*modules, dtype) for modules in parts]
        self.projection = layer(plain.projection.fcs[0], dtype, "gelu"), layer(plain.projection.fcs[1], dtype)

    def __call__(self, x: Tensor) -> Tensor:
        """(m, d) -> (m, numbers of the band)."""
        frames = len(x)
        times = (torch.arange(frames) / frames)[:, None]
        wide, narrow = self.lifting
        x = narrow(wide(torch.cat([x, times], 1))).float()
        for number, compute in enumerate(self.layers, start=1):
            last = number == len(self.layers)
            x = compute(x, last)
            if not last:
                x = torch.ops.aten.gelu_(x)
        wide, narrow = self.projection
        return F.glu(narrow(wide(x)).float(), -1)

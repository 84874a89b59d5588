"""The layers and blocks of SuDoRM-RF, and its synthesis."""

from collections import OrderedDict
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Variant = Literal["original", "improved", "groupcomm", "causal"]


class GlobalNorm(nn.Module):
    """Normalises over features and time, with the population variance and an epsilon of 1e-8 under the root."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(channels))
        self.beta = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d, m)."""
        return F.group_norm(x, 1, self.gamma, self.beta, 1e-8)


class CausalConv1d(nn.Conv1d):
    """A causal convolution: the taps after the centre are held at zero."""

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d', m')."""
        size = self.kernel_size[0]
        past = self.weight.new_ones(size)
        past[size - size // 2 :] = 0
        return F.conv1d(x, self.weight * past, self.bias, self.stride, self.padding, self.dilation, self.groups)


class DepthwiseConv1d(nn.Conv1d):
    """A depthwise convolution that PyTorch's compiler can fuse with the operations before and after it.

    The gradient of PyTorch's own kernel took ten times as long as the convolution on a CPU.
    """

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d, m')."""
        if not torch.compiler.is_compiling():
            return super().forward(x)
        size, step, padding = self.kernel_size[0], self.stride[0], int(self.padding[0])
        padded = F.pad(x.float(), (padding, padding))
        last = padded.shape[-1] - size + 1
        taps = (self.weight[:, :, k] * padded[..., k : k + last : step] for k in range(size))
        return sum(taps, torch.zeros(()) if self.bias is None else self.bias[:, None])


class Layers:
    """Makes convolutions, norms and activations as the variant has them, under the published key names."""

    def __init__(self, variant: Variant) -> None:
        self.variant = variant

    def conv(self, d_in: int, d_out: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv1d:
        """Make a convolution over time that keeps the number of frames at stride 1."""
        kind = CausalConv1d if self.variant == "causal" else DepthwiseConv1d if groups > 1 else nn.Conv1d
        return kind(d_in, d_out, kernel, stride, padding=kernel // 2, groups=groups)

    def norm(self, d: int) -> nn.Module:
        """Make a norm over features and time."""
        return nn.GroupNorm(1, d, eps=1e-8) if self.variant == "original" else GlobalNorm(d)

    def act(self, d: int) -> nn.Module:
        """Make a PReLU, with one slope for each feature in the original variant and a single one in others."""
        return nn.PReLU(d if self.variant == "original" else 1)

    def stage(self, d: int, conv: nn.Module | None = None, norm: bool = True, act: bool = True) -> nn.Sequential:
        """Put a convolution, norm and activation in sequence; the causal variant does not have norms."""
        named: list[tuple[str, nn.Module]] = [] if conv is None else [("conv", conv)]
        if norm and self.variant != "causal":
            named.append(("norm", self.norm(d)))
        if act:
            named.append(("act", self.act(d)))
        return nn.Sequential(OrderedDict(named))


class UConvBlock(nn.Module):
    """Widens, convolves depthwise at several time scales, merges them, narrows, and adds the result to the input."""

    def __init__(self, variant: Variant, d_outer: int, d_inner: int, depth: int) -> None:
        super().__init__()
        make = Layers(variant)
        causal = variant == "causal"
        self.variant = variant
        self.proj_1x1 = make.stage(d_inner, make.conv(d_outer, d_inner))
        kernel = 21 if causal else 5
        self.spp_dw = nn.ModuleList(
            make.stage(d_inner, make.conv(d_inner, d_inner, kernel, min(k + 1, 2), groups=d_inner), act=causal)
            for k in range(depth)
        )
        if variant == "original":
            self.final_norm = make.stage(d_inner)
            self.conv_1x1_exp = make.stage(d_outer, make.conv(d_inner, d_outer), act=False)
            self.module_act = make.stage(d_outer)
        elif causal:
            self.res_conv = make.conv(d_inner, d_outer)
            self.skipinit_gain = nn.Parameter(torch.zeros(()))
        else:
            self.final_norm = make.stage(d_inner)
            self.res_conv = make.conv(d_inner, d_outer)

    def merged_scales(self, x: Tensor) -> Tensor:
        """Compute and merge all time scales: (b, d_outer, m) -> (b, d_inner, m), m a multiple of 2 ** (depth - 1)."""
        scales = [self.spp_dw[0](self.proj_1x1(x))]
        for coarser in list(self.spp_dw)[1:]:
            scales.append(coarser(scales[-1]))
        merged = scales.pop()
        while scales:
            merged = scales.pop() + merged.repeat_interleave(2, dim=-1)
        return merged

    def forward(self, x: Tensor) -> Tensor:
        """(b, d_outer, m) -> (b, d_outer, m)."""
        y = self.merged_scales(x)
        if self.variant == "original":
            return self.module_act(x + self.conv_1x1_exp(self.final_norm(y)))
        if self.variant == "causal":
            return x + self.skipinit_gain * self.res_conv(y)
        return x + self.res_conv(self.final_norm(y))


class TransformAverageConcatenate(nn.Module):
    """Exchanges information between the feature groups, frame by frame (Luo et al. 2020, arXiv:1910.14104)."""

    def __init__(self, d: int, hidden: int) -> None:
        super().__init__()
        self.TAC_input = nn.Sequential(nn.Linear(d, hidden), nn.PReLU())
        self.TAC_mean = nn.Sequential(nn.Linear(hidden, hidden), nn.PReLU())
        self.TAC_output = nn.Sequential(nn.Linear(2 * hidden, d), nn.PReLU())
        self.TAC_norm = GlobalNorm(d)

    def forward(self, x: Tensor) -> Tensor:
        """(b, groups, d, m) -> (b, groups, d, m)."""
        own = self.TAC_input(x.transpose(2, 3))
        mean = self.TAC_mean(own.mean(1, keepdim=True)).expand_as(own)
        out = self.TAC_output(torch.cat([own, mean], -1)).transpose(2, 3)
        return x + self.TAC_norm(out.flatten(0, 1)).view_as(x)


class GroupCommBlock(nn.Module):
    """Exchanges information between the feature groups, then applies one narrow U-ConvBlock to each of them."""

    def __init__(self, groups: int, d_outer: int, d_inner: int, depth: int) -> None:
        super().__init__()
        self.groups = groups
        self.TAC = TransformAverageConcatenate(d_outer // groups, 3 * d_outer // groups)
        self.UBlock = UConvBlock("groupcomm", d_outer // groups, d_inner // groups, depth)

    def forward(self, x: Tensor) -> Tensor:
        """(b, d, m) -> (b, d, m)."""
        grouped = self.TAC(x.unflatten(1, (self.groups, -1)))
        return self.UBlock(grouped.flatten(0, 1)).view_as(x)


def synthesise(coefficients: Tensor, filters: Tensor, groups: int, hop: int) -> Tensor:
    """Compute a decoder's transposed convolution as one matrix product and an overlap-add.

    PyTorch's own transposed convolution took twice as long on a CPU, and 25 times as long with groups.

    Args:
        coefficients: (b, groups * d, m).
        filters: (groups * d, c, kernel), kernel 2 * hop + 1.
        groups: number of blocks of features that are decoded separately.
        hop: samples between frames.

    Returns:
        (b, groups * c, hop * m).
    """
    channels, kernel = filters.shape[1:]
    length = hop * coefficients.shape[-1]
    frames = filters.reshape(groups, -1, channels * kernel).mT @ coefficients.unflatten(1, (groups, -1))
    waves = F.fold(frames.flatten(1, 2), (1, length - hop + kernel), (1, kernel), stride=(1, hop))
    return waves[:, :, 0, hop : hop + length]

"""Computes SuDoRM-RF's blocks on a CPU, a tile of frames at a time.

Once a whole signal has been measured, a norm over features and time is one affine map per feature. So each step
computes a tile and measures it while it is in the cache, and the next step applies the map as it reads the tile. Frames
are rows, because both products and depthwise convolutions are fastest that way.
"""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.fast.cpu.linear import Activation, Linear
from stemsplit.fast.cpu.pool import Pool
from stemsplit.fast.cpu.tiles import Affine, Norm, Tile, normalising
from stemsplit.models.sudormrf import Config

ROWS = 512
"""Most frames in a tile. With 512 features, that is a megabyte, about the size of a core's own cache."""

REACH = 2
"""Frames on either side that a depthwise convolution covers."""


class Buffers:
    """Intermediate results of signals of one length. Passes do not depend on each other.

    Args:
        config: the network's hyperparameters.
        signals: number of signals that are computed together.
        frames: number of frames of each signal.
    """

    def __init__(self, config: Config, signals: int, frames: int) -> None:
        c = config
        self.signals, self.frames = signals, frames
        self._forwards = False
        self.coded = torch.empty(signals, frames, c.enc_num_basis)
        self.stream = torch.empty(signals, frames, c.out_channels)
        self.exchanged = torch.empty(signals, frames, c.out_channels if c.variant == "groupcomm" else 0)
        self.widened = torch.empty(signals, frames, c.in_channels)
        # Each signal is surrounded by the zero padding of the convolutions, which is never overwritten.
        self._scales = [
            torch.zeros(signals, REACH + (frames >> k) + REACH, c.in_channels) for k in range(c.upsampling_depth)
        ]
        self.scales = [scale[:, REACH:-REACH] for scale in self._scales]

    def tiles(self, scale: int = 0, unit: int = 1) -> list[Tile]:
        """Return all tiles of a scale, in the order in which to compute them. Each starts at a multiple of `unit`."""
        frames = self.frames >> scale
        count = -(-frames // ROWS)
        count += count % 2 if count > 1 else 0  # an even number divides between two threads
        size = -(-frames // (count * unit)) * unit
        starts = range(0, frames, size)
        tiles = [Tile(signal, start, min(start + size, frames)) for signal in range(self.signals) for start in starts]
        # Steps alternate in direction, so that a step finds what the one before wrote last in the cache.
        self._forwards = not self._forwards
        return tiles if self._forwards else tiles[::-1]

    def around(self, scale: int, tile: Tile) -> Tensor:
        """Return the frames of a scale from which a convolution with stride 2 computes this tile of the next."""
        return self._scales[scale][tile.signal, 2 * tile.start : 2 * tile.stop - 1 + 2 * REACH]


def dense(weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: Activation = "none") -> Linear:
    """Make a layer from a parameter or part of one."""
    return Linear(weight.detach(), None if bias is None else bias.detach(), dtype, activation)


def pointwise(conv: Any, dtype: torch.dtype, activation: Activation = "none") -> Linear:
    """Make a layer from a convolution over one frame, or over one window of samples."""
    return dense(conv.weight.flatten(1), conv.bias, dtype, activation)


def slope(act: Any) -> float:
    """Return what a PReLU with a single slope multiplies negative numbers by."""
    return float(act.weight.detach())


class Depthwise:
    """Convolves each feature over time; `norm` is the norm that follows.

    Args:
        stage: the network's convolution and norm.
        groups: number of feature groups, which share both.
    """

    def __init__(self, stage: Any, groups: int) -> None:
        self.stride = int(stage.conv.stride[0])
        self.weight = stage.conv.weight.detach().float().repeat(groups, 1, 1)
        self.bias = stage.conv.bias.detach().float().repeat(groups)
        self.norm = Norm(stage.norm, groups)

    def __call__(self, x: Tensor) -> Tensor:
        """Convolve (frames and `REACH` more on either side, d) -> (frames / stride, d)."""
        return self._convolved(x, self.weight, self.bias)

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # As an image one pixel high, because only images can have their features last.
        image = x[None, None].permute(0, 3, 1, 2)
        y = F.conv2d(image, weight[:, :, None], bias, (1, self.stride), groups=len(weight))
        return y[0, :, 0].mT

    def after(self, affine: Affine) -> Callable[[Tensor, int, bool, bool], Tensor]:
        """Return the convolution fused with an affine map before it.

        Returns:
            A callable of a tile without the map (frames as for `__call__`), the index of its signal, and whether the
            tile is the signal's first and its last. Frames outside the signal must be zero.
        """
        taps = self.weight[:, 0].T * affine.shift[:, None]
        weight = self.weight * affine.scale[..., None, None]
        bias = self.bias + taps.sum(1)
        # The map does not apply to the zeros outside the signal, so their share of the shift is subtracted again.
        before, behind = taps[:, :REACH].sum(1), taps[:, -1]

        def convolved(x: Tensor, signal: int, first: bool, last: bool) -> Tensor:
            y = self._convolved(x, weight[signal], bias[signal])
            if first:
                y[0] -= before[signal]
            if last:
                y[-1] -= behind[signal]
            return y

        return convolved


class Block:
    """Computes a U-ConvBlock.

    Args:
        block: the network's `UConvBlock`.
        dtype: type of the products.
        groups: number of feature groups, which share the block.
    """

    def __init__(self, block: Any, dtype: torch.dtype, groups: int = 1) -> None:
        self.groups = groups
        self.widen = pointwise(block.proj_1x1.conv, dtype)
        self.entry_norm = self.widened_norm = Norm(block.proj_1x1.norm, groups)
        self.widened_slope = slope(block.proj_1x1.act)
        self.depthwise = [Depthwise(stage, groups) for stage in block.spp_dw]
        self.merged_norm = Norm(block.final_norm.norm, groups)
        self.merged_slope = slope(block.final_norm.act)
        self.narrow = pointwise(block.res_conv, dtype)

    def enter(self, buffers: Buffers, tile: Tile) -> Tensor:
        """Compute the first step of a tile, on which `entry_norm` is measured."""
        return self.widened(buffers, tile)

    def widened(self, buffers: Buffers, tile: Tile) -> Tensor:
        """Widen a tile of the stream from `d_outer` to `d_inner` features."""
        x = tile.frames_of(buffers.stream)
        y = self.widen(x.view(len(x) * self.groups, -1))
        return tile.frames_of(buffers.widened).copy_(y.view(len(x), -1))

    def inside(self, pool: Pool, buffers: Buffers, entry: Affine) -> Affine:
        """Compute all time scales, merge them into the finest, and return `merged_norm` as an affine map."""
        scales = [self._finest(pool, buffers, entry)]
        for k in range(1, len(self.depthwise)):
            scales.append(self._coarser(pool, buffers, k, scales[-1]))
        return self._merged(pool, buffers, scales)

    def _finest(self, pool: Pool, buffers: Buffers, entry: Affine) -> Affine:
        def task(tile: Tile) -> Tensor:
            start, stop = max(tile.start - REACH, 0), min(tile.stop + REACH, buffers.frames)
            x = torch.empty(tile.stop - tile.start + 2 * REACH, buffers.widened.shape[-1])
            inner = x[start - tile.start + REACH : stop - tile.start + REACH]
            if len(inner) < len(x):  # at an end of the signal, the padding must be zero
                x.zero_()
            entry(buffers.widened[tile.signal, start:stop], tile.signal, out=inner)
            F.leaky_relu_(inner, self.widened_slope)
            return tile.frames_of(buffers.scales[0]).copy_(self.depthwise[0](x))

        return normalising(pool, task, buffers.tiles(), self.depthwise[0].norm)

    def _coarser(self, pool: Pool, buffers: Buffers, k: int, finer: Affine) -> Affine:
        convolved = self.depthwise[k].after(finer)
        frames = buffers.frames >> k

        def task(tile: Tile) -> Tensor:
            y = convolved(buffers.around(k - 1, tile), tile.signal, tile.start == 0, tile.stop == frames)
            return tile.frames_of(buffers.scales[k]).copy_(y)

        return normalising(pool, task, buffers.tiles(k), self.depthwise[k].norm)

    def _merged(self, pool: Pool, buffers: Buffers, scales: list[Affine]) -> Affine:
        deepest = len(scales) - 1
        shift = torch.stack([scale.shift for scale in scales]).sum(0)

        def task(tile: Tile) -> Tensor:
            merged = shift[tile.signal]
            for k in range(deepest, -1, -1):
                own = buffers.scales[k][tile.signal, tile.start >> k : tile.stop >> k]
                # Each frame of the coarser scale belongs to two of this one; the coarsest scale has no coarser one.
                frames = own.unflatten(0, (-1, 2)) if k < deepest else own
                coarser = merged[:, None] if k < deepest else merged
                out = frames if k == 0 else None
                merged = torch.addcmul(coarser, frames, scales[k].scale[tile.signal], out=out).view_as(own)
            return merged

        # Each tile has whole frames of every scale.
        return normalising(pool, task, buffers.tiles(unit=1 << deepest), self.merged_norm)

    def leave(self, buffers: Buffers, tile: Tile, merged: Affine) -> None:
        """Narrow a tile and add it to the stream."""
        y = F.leaky_relu_(merged(tile.frames_of(buffers.scales[0]), tile.signal), self.merged_slope)
        x = tile.frames_of(buffers.stream)
        x += self.narrow(y.view(len(y) * self.groups, -1)).view(x.shape)


class Exchange:
    """Exchanges information between the feature groups.

    Args:
        exchange: the network's `TransformAverageConcatenate`.
        groups: number of feature groups.
        dtype: type of the products.
    """

    def __init__(self, exchange: Any, groups: int, dtype: torch.dtype) -> None:
        self.groups = groups
        (own, own_act), (mean, mean_act) = exchange.TAC_input, exchange.TAC_mean
        out, out_act = exchange.TAC_output
        self.own, self.mean = dense(own.weight, own.bias, dtype), dense(mean.weight, mean.bias, dtype)
        hidden = own.out_features
        # The product with the mean is the same for all groups: computed once per frame instead of once per group.
        self.from_own = dense(out.weight[:, :hidden], out.bias, dtype)
        self.from_mean = dense(out.weight[:, hidden:], None, dtype)
        self.own_slope, self.mean_slope, self.out_slope = slope(own_act), slope(mean_act), slope(out_act)
        self.norm = Norm(exchange.TAC_norm, groups)

    def __call__(self, x: Tensor) -> Tensor:
        """Exchange information up to the norm, (frames, d) -> (frames, d)."""
        own = F.leaky_relu_(self.own(x.view(len(x) * self.groups, -1)).float(), self.own_slope)
        mean = own.unflatten(0, (-1, self.groups)).mean(1)
        mean = self.from_mean(F.leaky_relu_(self.mean(mean).float(), self.mean_slope)).float()
        out = self.from_own(own).float().unflatten(0, (-1, self.groups)) + mean[:, None]
        return F.leaky_relu_(out, self.out_slope).flatten(1)


class GroupedBlock(Block):
    """Exchanges information between the feature groups, then computes a U-ConvBlock that they share.

    Args:
        block: the network's `GroupCommBlock`.
        dtype: type of the products.
    """

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__(block.UBlock, dtype, block.groups)
        self.exchange = Exchange(block.TAC, block.groups, dtype)
        self.entry_norm = self.exchange.norm

    def enter(self, buffers: Buffers, tile: Tile) -> Tensor:
        """Compute the first step of a tile, on which `entry_norm` is measured."""
        return tile.frames_of(buffers.exchanged).copy_(self.exchange(tile.frames_of(buffers.stream)))

    def inside(self, pool: Pool, buffers: Buffers, entry: Affine) -> Affine:
        """Compute all time scales, merge them into the finest, and return `merged_norm` as an affine map."""

        def task(tile: Tile) -> Tensor:
            x = tile.frames_of(buffers.stream)
            x += entry(tile.frames_of(buffers.exchanged), tile.signal)
            return self.widened(buffers, tile)

        return super().inside(pool, buffers, normalising(pool, task, buffers.tiles(), self.widened_norm))


def run_blocks(pool: Pool, buffers: Buffers, blocks: list[Block], begin: Callable[[Tile], None]) -> None:
    """Run all blocks on the stream, after `begin` has written each of its tiles."""

    def first(tile: Tile) -> Tensor:
        begin(tile)
        return blocks[0].enter(buffers, tile)

    entry = normalising(pool, first, buffers.tiles(), blocks[0].entry_norm)
    for block, following in pairwise(blocks):
        entry = _leave_and_enter(pool, buffers, block, following, block.inside(pool, buffers, entry))
    last = blocks[-1]
    merged = last.inside(pool, buffers, entry)
    pool.run(lambda tile: last.leave(buffers, tile, merged), buffers.tiles())


def _leave_and_enter(pool: Pool, buffers: Buffers, block: Block, following: Block, merged: Affine) -> Affine:
    """Leave a block and enter the following one while the stream's tile is in the cache."""

    def task(tile: Tile) -> Tensor:
        block.leave(buffers, tile, merged)
        return following.enter(buffers, tile)

    return normalising(pool, task, buffers.tiles(), following.entry_norm)

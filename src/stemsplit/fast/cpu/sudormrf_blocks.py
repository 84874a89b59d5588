"""SuDoRM-RF's blocks on a CPU, a tile of frames at a time.

A norm over features and time is one affine map per feature once the whole signal has been seen. So each step computes a
tile and measures it while it is in the cache; the next step applies the map as it reads the tile. Frames are rows: both
products and depthwise convolutions are fastest so.
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
"""Most frames in a tile: with 512 features a megabyte, about a core's own cache."""

REACH = 2
"""Frames that a depthwise convolution sees on either side."""


class Buffers:
    """What lies between the steps of some signals of one length; nothing of one pass is seen by the next.

    Args:
        config: of the network.
        signals: computed together.
        frames: of each.
    """

    def __init__(self, config: Config, signals: int, frames: int) -> None:
        c = config
        self.signals, self.frames = signals, frames
        self._forth = False
        self.coded = torch.empty(signals, frames, c.enc_num_basis)
        self.stream = torch.empty(signals, frames, c.out_channels)
        self.words = torch.empty(signals, frames, c.out_channels if c.variant == "groupcomm" else 0)
        self.widened = torch.empty(signals, frames, c.in_channels)
        # With the zeros that the convolutions see around a signal: written here, and never again.
        self._scales = [
            torch.zeros(signals, REACH + (frames >> k) + REACH, c.in_channels) for k in range(c.upsampling_depth)
        ]
        self.scales = [scale[:, REACH:-REACH] for scale in self._scales]

    def tiles(self, scale: int = 0, unit: int = 1) -> list[Tile]:
        """All tiles of a scale, in the order in which to work on them; each starts at a multiple of `unit`."""
        frames = self.frames >> scale
        count = -(-frames // ROWS)
        count += count % 2 if count > 1 else 0  # two threads get as much to do
        size = -(-frames // (count * unit)) * unit
        found = [Tile(i, at, min(at + size, frames)) for i in range(self.signals) for at in range(0, frames, size)]
        # Back and forth: what one step wrote last, the next one finds in the cache.
        self._forth = not self._forth
        return found if self._forth else found[::-1]

    def around(self, scale: int, tile: Tile) -> Tensor:
        """What a convolution with stride 2 that gives this tile sees of a scale."""
        return self._scales[scale][tile.signal, 2 * tile.start : 2 * tile.stop - 1 + 2 * REACH]


def dense(weight: Tensor, bias: Tensor | None, dtype: torch.dtype, activation: Activation = "none") -> Linear:
    """A layer whose weights are a parameter, or a part of one."""
    return Linear(weight.detach(), None if bias is None else bias.detach(), dtype, activation)


def pointwise(conv: Any, dtype: torch.dtype, activation: Activation = "none") -> Linear:
    """A convolution that sees one frame at a time, or a window of samples."""
    return dense(conv.weight.flatten(1), conv.bias, dtype, activation)


def slope(act: Any) -> float:
    """What a PReLU with one slope for all features multiplies negative numbers by."""
    return float(act.weight.detach())


class Depthwise:
    """A convolution over time in each feature, with a norm behind it.

    Args:
        stage: convolution and norm.
        groups: of features, which share both.
    """

    def __init__(self, stage: Any, groups: int) -> None:
        self.stride = int(stage.conv.stride[0])
        self.weight = stage.conv.weight.detach().float().repeat(groups, 1, 1)
        self.bias = stage.conv.bias.detach().float().repeat(groups)
        self.norm = Norm(stage.norm, groups)

    def __call__(self, x: Tensor) -> Tensor:
        """(frames and REACH more on either side, d) -> (frames / stride, d)."""
        return self._convolved(x, self.weight, self.bias)

    def _convolved(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        # As an image one pixel high, as the layout with the features last is for images only.
        image = x[None, None].permute(0, 3, 1, 2)
        y = F.conv2d(image, weight[:, :, None], bias, (1, self.stride), groups=len(weight))
        return y[0, :, 0].mT

    def after(self, affine: Affine) -> Callable[[Tensor, int, bool, bool], Tensor]:
        """The convolution of what an affine map gives, for input to which it has not been applied.

        Returns:
            From a tile as above, its signal, and whether it is the signal's first and its last one; what lies outside
            of the signal is zero.
        """
        taps = self.weight[:, 0].T * affine.shift[:, None]
        weight = self.weight * affine.scale[..., None, None]
        bias = self.bias + taps.sum(1)
        # Outside there is nothing to shift: what the zeros there would have got is taken back.
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
    """A U-ConvBlock.

    Args:
        block: a `UConvBlock`.
        dtype: of the products.
        groups: of features, which share the block.
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
        """The first step of a tile: what `entry_norm` is to be measured on."""
        return self.widened(buffers, tile)

    def widened(self, buffers: Buffers, tile: Tile) -> Tensor:
        """Widen a tile of the stream."""
        x = tile.of(buffers.stream)
        y = self.widen(x.view(len(x) * self.groups, -1))
        return tile.of(buffers.widened).copy_(y.view(len(x), -1))

    def inside(self, pool: Pool, buffers: Buffers, entry: Affine) -> Affine:
        """All time scales, merged into the finest; what `merged_norm` does to them."""
        scales = [self._finest(pool, buffers, entry)]
        for k in range(1, len(self.depthwise)):
            scales.append(self._coarser(pool, buffers, k, scales[-1]))
        return self._merged(pool, buffers, scales)

    def _finest(self, pool: Pool, buffers: Buffers, entry: Affine) -> Affine:
        def task(tile: Tile) -> Tensor:
            start, stop = max(tile.start - REACH, 0), min(tile.stop + REACH, buffers.frames)
            x = torch.empty(tile.stop - tile.start + 2 * REACH, buffers.widened.shape[-1])
            inner = x[start - tile.start + REACH : stop - tile.start + REACH]
            if len(inner) < len(x):  # an end of the signal, around which there are zeros
                x.zero_()
            entry(buffers.widened[tile.signal, start:stop], tile.signal, out=inner)
            F.leaky_relu_(inner, self.widened_slope)
            return tile.of(buffers.scales[0]).copy_(self.depthwise[0](x))

        return normalising(pool, task, buffers.tiles(), self.depthwise[0].norm)

    def _coarser(self, pool: Pool, buffers: Buffers, k: int, finer: Affine) -> Affine:
        convolved = self.depthwise[k].after(finer)
        frames = buffers.frames >> k

        def task(tile: Tile) -> Tensor:
            y = convolved(buffers.around(k - 1, tile), tile.signal, tile.start == 0, tile.stop == frames)
            return tile.of(buffers.scales[k]).copy_(y)

        return normalising(pool, task, buffers.tiles(k), self.depthwise[k].norm)

    def _merged(self, pool: Pool, buffers: Buffers, scales: list[Affine]) -> Affine:
        deepest = len(scales) - 1
        shift = torch.stack([scale.shift for scale in scales]).sum(0)

        def task(tile: Tile) -> Tensor:
            merged = shift[tile.signal]
            for k in range(deepest, -1, -1):
                own = buffers.scales[k][tile.signal, tile.start >> k : tile.stop >> k]
                # Two frames to one of the coarser scale, except in the coarsest.
                frames = own.unflatten(0, (-1, 2)) if k < deepest else own
                coarser = merged[:, None] if k < deepest else merged
                out = frames if k == 0 else None
                merged = torch.addcmul(coarser, frames, scales[k].scale[tile.signal], out=out).view_as(own)
            return merged

        # Whole frames of every scale in each tile.
        return normalising(pool, task, buffers.tiles(unit=1 << deepest), self.merged_norm)

    def leave(self, buffers: Buffers, tile: Tile, merged: Affine) -> None:
        """Narrow a tile and add it to the stream."""
        y = F.leaky_relu_(merged(tile.of(buffers.scales[0]), tile.signal), self.merged_slope)
        x = tile.of(buffers.stream)
        x += self.narrow(y.view(len(y) * self.groups, -1)).view(x.shape)


class Exchange:
    """How feature groups exchange what they know.

    Args:
        exchange: a `TransformAverageConcatenate`.
        groups: how many.
        dtype: of the products.
    """

    def __init__(self, exchange: Any, groups: int, dtype: torch.dtype) -> None:
        self.groups = groups
        (own, own_act), (mean, mean_act) = exchange.TAC_input, exchange.TAC_mean
        out, out_act = exchange.TAC_output
        self.own, self.mean = dense(own.weight, own.bias, dtype), dense(mean.weight, mean.bias, dtype)
        hidden = own.out_features
        # The mean's share is the same for all groups: once a frame instead of once a group.
        self.from_own = dense(out.weight[:, :hidden], out.bias, dtype)
        self.from_mean = dense(out.weight[:, hidden:], None, dtype)
        self.own_slope, self.mean_slope, self.out_slope = slope(own_act), slope(mean_act), slope(out_act)
        self.norm = Norm(exchange.TAC_norm, groups)

    def __call__(self, x: Tensor) -> Tensor:
        """(frames, d) -> (frames, d), before the norm."""
        own = F.leaky_relu_(self.own(x.view(len(x) * self.groups, -1)).float(), self.own_slope)
        mean = own.unflatten(0, (-1, self.groups)).mean(1)
        mean = self.from_mean(F.leaky_relu_(self.mean(mean).float(), self.mean_slope)).float()
        out = self.from_own(own).float().unflatten(0, (-1, self.groups)) + mean[:, None]
        return F.leaky_relu_(out, self.out_slope).flatten(1)


class GroupedBlock(Block):
    """A U-ConvBlock that all feature groups share, after they have talked.

    Args:
        block: a `GroupCommBlock`.
        dtype: of the products.
    """

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        super().__init__(block.UBlock, dtype, block.groups)
        self.exchange = Exchange(block.TAC, block.groups, dtype)
        self.entry_norm = self.exchange.norm

    def enter(self, buffers: Buffers, tile: Tile) -> Tensor:
        """The first step of a tile: what `entry_norm` is to be measured on."""
        return tile.of(buffers.words).copy_(self.exchange(tile.of(buffers.stream)))

    def inside(self, pool: Pool, buffers: Buffers, entry: Affine) -> Affine:
        """All time scales, merged into the finest; what `merged_norm` does to them."""

        def task(tile: Tile) -> Tensor:
            x = tile.of(buffers.stream)
            x += entry(tile.of(buffers.words), tile.signal)
            return self.widened(buffers, tile)

        return super().inside(pool, buffers, normalising(pool, task, buffers.tiles(), self.widened_norm))


def one_after_another(pool: Pool, buffers: Buffers, blocks: list[Block], begin: Callable[[Tile], None]) -> None:
    """Run all blocks on the stream, of which `begin` writes a tile."""

    def first(tile: Tile) -> Tensor:
        begin(tile)
        return blocks[0].enter(buffers, tile)

    entry = normalising(pool, first, buffers.tiles(), blocks[0].entry_norm)
    for block, following in pairwise(blocks):
        entry = _passed(pool, buffers, block, following, block.inside(pool, buffers, entry))
    last = blocks[-1]
    merged = last.inside(pool, buffers, entry)
    pool.run(lambda tile: last.leave(buffers, tile, merged), buffers.tiles())


def _passed(pool: Pool, buffers: Buffers, block: Block, following: Block, merged: Affine) -> Affine:
    """Leave a block and enter the next one while the stream's tile is in the cache."""

    def task(tile: Tile) -> Tensor:
        block.leave(buffers, tile, merged)
        return following.enter(buffers, tile)

    return normalising(pool, task, buffers.tiles(), following.entry_norm)

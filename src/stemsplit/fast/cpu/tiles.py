"""Tiles of signals, and norms over whole signals that are measured tile by tile."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stemsplit.fast.cpu.pool import Pool


class Tile(NamedTuple):
    """Some frames of one of the signals that are computed together."""

    signal: int
    start: int
    stop: int

    @property
    def frames(self) -> slice:
        """Where they lie."""
        return slice(self.start, self.stop)

    def of(self, x: Tensor) -> Tensor:
        """The tile's part of (signals, m, d): (frames, d)."""
        return x[self.signal, self.frames]


class Affine(NamedTuple):
    """x * scale + shift: one map a signal, both (signals, d)."""

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor, signal: int, out: Tensor | None = None) -> Tensor:
        """(frames, d) of one of the signals -> (frames, d)."""
        return torch.addcmul(self.shift[signal], x, self.scale[signal], out=out)


class Norm:
    """A norm over features and time.

    Args:
        norm: a `GlobalNorm`.
        groups: of features, each normalised on its own with the same gain and bias.
    """

    def __init__(self, norm: Any, groups: int = 1) -> None:
        self.groups = groups
        self.gamma = norm.gamma.detach().double()
        self.beta = norm.beta.detach().double()

    def affine(self, moments: Tensor, lengths: tuple[int, ...]) -> Affine:
        """What the norm does to signals of which all tiles' means and variances (signals, tiles, 2, d) are known."""
        # float64: long sums, and a difference of squares.
        moments = moments.double()
        means, squares = moments.unbind(2)
        squares.addcmul_(means, means)
        whole = (_shares(lengths) @ moments.flatten(2)).view(len(moments), 2, self.groups, -1).mean(-1, keepdim=True)
        mean, square = whole.unbind(1)
        scale = self.gamma * (square - mean * mean + 1e-8).rsqrt()
        shift = torch.addcmul(self.beta, mean, scale, value=-1)
        return Affine(scale.float().flatten(1), shift.float().flatten(1))


@lru_cache(64)
def _shares(lengths: tuple[int, ...]) -> Tensor:
    """Each tile's share of its signal."""
    return torch.tensor(lengths, dtype=torch.float64) / sum(lengths)


def normalising(pool: Pool, task: Callable[[Tile], Tensor], tiles: list[Tile], norm: Norm) -> Affine:
    """Compute tiles (frames, d), and what a norm over all tiles of a signal does to them."""
    found: dict[Tile, tuple[Tensor, Tensor]] = {}

    def measured(tile: Tile) -> None:
        # Each feature's mean and variance in two passes: no difference of large numbers.
        found[tile] = torch.batch_norm_update_stats(task(tile), None, None, 0.0)

    pool.run(measured, tiles)
    # In the order of the tiles, whichever was done first: the same sums every time.
    signals = 1 + max(tile.signal for tile in tiles)
    ordered = sorted(found)
    moments = torch.stack([moment for tile in ordered for moment in found[tile]])
    lengths = tuple(tile.stop - tile.start for tile in ordered[: len(ordered) // signals])
    return norm.affine(moments.view(signals, len(lengths), 2, -1), lengths)

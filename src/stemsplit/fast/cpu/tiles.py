"""Defines tiles of signals, and norms over whole signals that are measured tile by tile."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor

from stemsplit.fast.cpu.pool import Pool


class Tile(NamedTuple):
    """Consecutive frames of one signal of a batch."""

    signal: int
    start: int
    stop: int

    @property
    def frames(self) -> slice:
        """The tile's frames as a slice."""
        return slice(self.start, self.stop)

    def frames_of(self, x: Tensor) -> Tensor:
        """Return the tile's frames of (signals, m, d) as a view, (frames, d)."""
        return x[self.signal, self.frames]


class Affine(NamedTuple):
    """The maps x * scale + shift, one for each signal; both tensors are (signals, d)."""

    scale: Tensor
    shift: Tensor

    def __call__(self, x: Tensor, signal: int, out: Tensor | None = None) -> Tensor:
        """Apply one signal's map, (frames, d) -> (frames, d)."""
        return torch.addcmul(self.shift[signal], x, self.scale[signal], out=out)


class Norm:
    """A norm over features and time.

    Args:
        norm: the network's `GlobalNorm`.
        groups: number of feature groups; each is normalised separately, with the same gain and bias.
    """

    def __init__(self, norm: Any, groups: int = 1) -> None:
        self.groups = groups
        self.gamma = norm.gamma.detach().double()
        self.beta = norm.beta.detach().double()

    def affine(self, moments: Tensor, lengths: tuple[int, ...]) -> Affine:
        """Return the norm as affine maps.

        Args:
            moments: means and variances of all tiles, (signals, tiles, 2, d).
            lengths: number of frames of each tile of a signal.
        """
        # In float64, because the sums are long and squares are subtracted.
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
    """Return each tile's share of its signal's frames."""
    return torch.tensor(lengths, dtype=torch.float64) / sum(lengths)


def normalising(pool: Pool, task: Callable[[Tile], Tensor], tiles: list[Tile], norm: Norm) -> Affine:
    """Compute tiles (frames, d), and return the norm over all tiles of a signal as affine maps."""
    measured: dict[Tile, tuple[Tensor, Tensor]] = {}

    def measure(tile: Tile) -> None:
        # Each feature's mean and variance in two passes, which avoids a difference of large numbers.
        measured[tile] = torch.batch_norm_update_stats(task(tile), None, None, 0.0)

    pool.run(measure, tiles)
    # In the order of the tiles, whichever finished first, so that the sums are always the same.
    signals = 1 + max(tile.signal for tile in tiles)
    ordered = sorted(measured)
    moments = torch.stack([moment for tile in ordered for moment in measured[tile]])
    lengths = tuple(tile.stop - tile.start for tile in ordered[: len(ordered) // signals])
    return norm.affine(moments.view(signals, len(lengths), 2, -1), lengths)

"""Estimates a song several times in ways that a perfect model would not notice, for the mean of all results."""

import math
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing

import torch
from torch import Tensor

from stemsplit.engine.overlap_add import Buffer, reflect

Compute = Callable[[Tensor], Tensor]
"""A function from mixtures (b, c, t) to estimates (b, n, c, t)."""


def inverted(x: Tensor) -> Tensor:
    """Invert the polarity. The function is its own inverse."""
    return -x


def swapped(x: Tensor) -> Tensor:
    """Swap left and right in every pair of channels, (..., c, t). The function is its own inverse."""
    return x.unflatten(-2, (-1, 2)).flip(-2).flatten(-3, -2)


def mid_side(x: Tensor) -> Tensor:
    """Turn left and right into mid and side in every pair of channels, (..., c, t). It is its own inverse."""
    left, right = x.unflatten(-2, (-1, 2)).unbind(-2)
    return torch.stack([left + right, left - right], -2).flatten(-3, -2) * math.sqrt(0.5)


def transforms(channels: int, together: int) -> list[Compute]:
    """Return what test-time augmentation does to mixtures: their polarity always, channels only in pairs.

    Args:
        channels: number of channels of the mixtures.
        together: number of channels that the network takes at once. One that takes single channels does not notice
            that two were swapped.
    """
    if channels % 2:
        return [inverted]
    return [inverted, mid_side] if together == 1 else [inverted, swapped, mid_side]


def augmented(compute: Compute, mixtures: Tensor, together: int) -> Tensor:
    """Return the mean of the estimates of mixtures and of the same mixtures transformed, each transformed back.

    Args:
        compute: function that estimates.
        mixtures: (b, c, t).
        together: number of channels that the network takes at once.

    Returns:
        (b, n, c, t).
    """
    total = compute(mixtures)
    ways = transforms(mixtures.shape[1], together)
    for way in ways:
        total = total + way(compute(way(mixtures)))
    return total / (len(ways) + 1)


def led_in(blocks: Iterable[Tensor], length: int) -> Iterator[Tensor]:
    """Yield a signal's own reflection, `length` samples of it, and then the signal, in blocks (c, some samples)."""
    source, held = iter(blocks), Buffer()
    held.fill(source, length + 1)
    if held.length:
        begin = held.samples(0, held.length)
        yield reflect(begin, length, 0)
    yield from source


def without_lead(estimates: Generator[Tensor, None, None], length: int) -> Generator[Tensor, None, None]:
    """Yield estimates (n, c, some samples) without their first `length` samples."""
    with closing(estimates):
        for estimate in estimates:
            rest = estimate[..., length:]
            length -= estimate.shape[-1] - rest.shape[-1]
            if rest.shape[-1]:
                yield rest


def offsets(hop: int, shifts: int) -> list[int]:
    """Return by how many samples each pass is shifted: evenly over a hop, from 0 on.

    >>> offsets(100, 4)
    [0, 25, 50, 75]
    """
    return [hop * shift // shifts for shift in range(shifts)]

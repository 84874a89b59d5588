"""Estimates a song several times in ways that a perfect model would not notice, for the mean of all results."""

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing

from torch import Tensor

from stemsplit.engine.cutting import Buffer, reflect
from stemsplit.models.ensemble import mid_side

Compute = Callable[[Tensor], Tensor]
"""A function from mixtures (b, c, t) to estimates (b, n, c, t)."""


def inverted(x: Tensor) -> Tensor:
    """Invert the polarity. The function is its own inverse."""
    return -x


def swapped(x: Tensor) -> Tensor:
    """Swap left and right in every pair of channels, (..., c, t). The function is its own inverse."""
    return x.unflatten(-2, (-1, 2)).flip(-2).flatten(-3, -2)


TRANSFORMS: Mapping[str, Compute] = {"polarity": inverted, "swap": swapped, "mid_side": mid_side}
"""Name that `ModelEntry.augmentations` has for a transform -> the transform, which is its own inverse."""


def augmented(compute: Compute, mixtures: Tensor, names: Sequence[str]) -> Tensor:
    """Return the mean of the estimates of mixtures and of the same mixtures transformed, each transformed back.

    Args:
        compute: function that estimates.
        mixtures: (b, c, t). If c is odd, only their polarity is changed.
        names: names of the transforms, from `TRANSFORMS`.

    Returns:
        (b, n, c, t).
    """
    total = compute(mixtures)
    in_pairs = mixtures.shape[1] % 2 == 0
    ways = [TRANSFORMS[name] for name in names if in_pairs or name == "polarity"]
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

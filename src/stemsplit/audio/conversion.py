"""Sample rates and channel layouts, block by block."""

from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import soxr

Block = npt.NDArray[np.float32]
"""(channels, samples)."""


def resampled(blocks: Iterable[Block], from_rate: int, to_rate: int) -> Iterator[Block]:
    """The same sound at another rate, block by block; equal to resampling it whole.

    Args:
        blocks: (c, any number of samples), at least one.
        from_rate: Hz.
        to_rate: Hz.
    """
    if from_rate == to_rate:
        yield from blocks
        return
    stream, channels = None, 0
    for block in blocks:
        if stream is None:
            channels = block.shape[0]
            stream = soxr.ResampleStream(from_rate, to_rate, channels, quality="VHQ")
        yield stream.resample_chunk(np.ascontiguousarray(block.T)).T
    if stream is not None:
        yield stream.resample_chunk(np.zeros((0, channels), np.float32), last=True).T


def layout(channels: int, together: int) -> list[int]:
    """Which of a song's channels each channel given to a model is.

    A model that takes two channels together gets a song's channels in pairs; a single or last odd one makes a pair with
    itself.

    >>> layout(1, 2), layout(2, 2), layout(5, 2), layout(3, 1)
    ([0, 0], [0, 1], [0, 1, 2, 3, 4, 4], [0, 1, 2])
    """
    return [min(index, channels - 1) for index in range(-(-channels // together) * together)]

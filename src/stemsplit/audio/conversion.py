"""Converts sample rates and channel layouts, block by block."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import numpy.typing as npt
import soxr

from stemsplit.audio.channels.speakers import grouped

Block = npt.NDArray[np.float32]
"""Samples as (channels, samples)."""


def resampled(blocks: Iterable[Block], from_rate: int, to_rate: int) -> Iterator[Block]:
    """Resample blocks; together, the results equal those of resampling the whole signal at once.

    Args:
        blocks: at least one block (c, any number of samples).
        from_rate: sample rate of the blocks in Hz.
        to_rate: sample rate of the results in Hz.
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


class Resampler:
    """Resamples a whole signal to its exact length in seconds, rounded up to a sample.

    Args:
        from_rate: sample rate of the signal in Hz.
        to_rate: sample rate of the results in Hz.
        channels: number of channels.
    """

    def __init__(self, from_rate: int, to_rate: int, channels: int) -> None:
        self.from_rate, self.to_rate, self.channels = from_rate, to_rate, channels
        self.stream = soxr.ResampleStream(from_rate, to_rate, channels, quality="VHQ")
        self.taken = self.given = 0

    def __call__(self, block: Block) -> Block:
        """Return what is ready after the next block (c, any number of samples)."""
        self.taken += block.shape[1]
        made: Block = self.stream.resample_chunk(np.ascontiguousarray(block.T)).T
        self.given += made.shape[1]
        return made

    def rest(self) -> Block:
        """Return what is left at the end of the signal, which silence follows."""
        missing = -(-self.taken * self.to_rate // self.from_rate) - self.given
        # Some more silence, as the last sample may lie behind the signal's last one.
        silence = np.zeros((2 + self.from_rate // self.to_rate, self.channels), np.float32)
        made: Block = self.stream.resample_chunk(silence, last=True).T
        return made[:, : max(missing, 0)]


def converted(blocks: Iterable[Block], from_rate: int, to_rate: int) -> Iterator[Block]:
    """Resample blocks as a `Resampler` does; the arguments are those of `resampled`."""
    if from_rate == to_rate:
        yield from blocks
        return
    resampler = None
    for block in blocks:
        resampler = resampler or Resampler(from_rate, to_rate, block.shape[0])
        yield resampler(block)
    if resampler is not None:
        yield resampler.rest()


def layout(channels: int, together: int, speakers: Sequence[str] = ()) -> list[int]:
    """Return the indices of a song's channels in the order in which a model gets them.

    A model that takes two channels together gets a song's channels in pairs: those of left and right speakers, if the
    speakers are known. A single channel, one without a partner, or a last odd one, is paired with itself.

    Args:
        channels: number of channels.
        together: number of channels that the model takes at once.
        speakers: the channels' speakers; if they are unknown, every two channels in turn are a pair.

    >>> layout(1, 2), layout(2, 2), layout(5, 2), layout(3, 1)
    ([0, 0], [0, 1], [0, 1, 2, 3, 4, 4], [0, 1, 2])
    >>> layout(6, 2, ("FL", "FR", "FC", "LFE", "BL", "BR"))
    [0, 1, 2, 2, 3, 3, 4, 5]
    """
    if together == 2:
        return [channel for pair in grouped(channels, speakers) for channel in pair]
    return [min(index, channels - 1) for index in range(-(-channels // together) * together)]

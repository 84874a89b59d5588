"""Reads several tracks of the same song in lockstep, a second at a time, so that none is in memory as a whole."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from stemsplit.audio import Block
from stemsplit.audio.samples import Samples
from stemsplit.errors import AudioError
from stemsplit.words import counted


@dataclass(frozen=True)
class Track:
    """A stream of samples, which can be read once.

    Args:
        label: name of the track in messages.
        sample_rate: sample rate in Hz.
        channels: number of channels.
        blocks: blocks (n, c, t) of any length.
        speakers: the channels' speakers, as `stemsplit.audio.Reader` has them.
    """

    label: str
    sample_rate: int
    channels: int
    blocks: Iterable[Block]
    speakers: Sequence[str] = ()


def cut(blocks: Iterable[Block], length: int) -> Iterator[Block]:
    """Yield the same samples in blocks of this length; the last block may be shorter."""
    waiting = Samples()
    for block in blocks:
        waiting.put(block)
        while waiting.length >= length:
            yield waiting.take(length)
    if waiting.length:
        yield waiting.take(waiting.length)


def check_alike(tracks: Sequence[Track]) -> None:
    """Raise AudioError if tracks differ in sample rate or channels."""
    first = tracks[0]
    for track in tracks:
        if track.sample_rate != first.sample_rate:
            raise AudioError(f"{track.label} has {track.sample_rate} Hz, but {first.label} {first.sample_rate} Hz")
        if track.channels != first.channels:
            channels = counted(track.channels, "channel")
            raise AudioError(f"{track.label} has {channels}, but {first.label} {first.channels}")


def in_step(tracks: Sequence[Track]) -> Iterator[list[Block]]:
    """Yield the tracks second by second.

    Args:
        tracks: at least one track.

    Yields:
        A block (n, c, t) of each track, a second long; the last blocks may be shorter.

    Raises:
        AudioError: the tracks differ in sample rate or channels, or, which is only known at their end, in length; or
            they have no samples; or one of them cannot be read.
    """
    check_alike(tracks)
    lengths = [0] * len(tracks)
    for blocks in zip_longest(*(cut(track.blocks, track.sample_rate) for track in tracks)):
        new = [0 if block is None else block.shape[-1] for block in blocks]
        lengths = [length + more for length, more in zip(lengths, new, strict=True)]
        if len(set(lengths)) == 1:
            yield list(blocks)
    for track, length in zip(tracks, lengths, strict=True):
        if length != lengths[0]:
            apart = counted(abs(length - lengths[0]), "sample")
            longer = "longer" if length > lengths[0] else "shorter"
            raise AudioError(f"{track.label} is {apart} {longer} than {tracks[0].label}")
    if not lengths[0]:
        raise AudioError(f"{tracks[0].label} has no samples")

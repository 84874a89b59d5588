"""Several tracks of the same song, read second by second, none of them ever whole."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

from stemsplit.audio import Block
from stemsplit.audio.samples import Samples
from stemsplit.errors import AudioError


@dataclass(frozen=True)
class Track:
    """Samples on their way, which are there to be read once.

    Args:
        label: what a person calls it.
        sample_rate: Hz.
        channels: how many.
        blocks: (n, channels, any number of samples) each.
    """

    label: str
    sample_rate: int
    channels: int
    blocks: Iterable[Block]


def counted(number: int, noun: str) -> str:
    """A number of things in words."""
    return f"{number} {noun}{'s' * (number != 1)}"


def cut(blocks: Iterable[Block], length: int) -> Iterator[Block]:
    """The same samples in blocks of that length; what is left at the end is shorter."""
    waiting = Samples()
    for block in blocks:
        waiting.put(block)
        while waiting.length >= length:
            yield waiting.take(length)
    if waiting.length:
        yield waiting.take(waiting.length)


def check_alike(tracks: Sequence[Track]) -> None:
    """Raises AudioError if tracks differ in sample rate or channels."""
    first = tracks[0]
    for track in tracks:
        if track.sample_rate != first.sample_rate:
            raise AudioError(f"{track.label} has {track.sample_rate} Hz, but {first.label} {first.sample_rate} Hz")
        if track.channels != first.channels:
            there = counted(track.channels, "channel")
            raise AudioError(f"{track.label} has {there}, but {first.label} {first.channels}")


def in_step(tracks: Sequence[Track]) -> Iterator[list[Block]]:
    """A second of each track, and the next, and so on; what is left at the end is shorter.

    Args:
        tracks: at least one.

    Yields:
        Blocks (n, c, t) of the tracks.

    Raises:
        AudioError: they differ in sample rate or channels, or, as turns out only in the end, in length; or they have no
            samples; or one cannot be read.
    """
    check_alike(tracks)
    lengths = [0] * len(tracks)
    for blocks in zip_longest(*(cut(track.blocks, track.sample_rate) for track in tracks)):
        there = [0 if block is None else block.shape[-1] for block in blocks]
        lengths = [length + more for length, more in zip(lengths, there, strict=True)]
        if len(set(lengths)) == 1:
            yield list(blocks)
    for track, length in zip(tracks, lengths, strict=True):
        if length != lengths[0]:
            by = counted(abs(length - lengths[0]), "sample") + (" longer" if length > lengths[0] else " shorter")
            raise AudioError(f"{track.label} is {by} than {tracks[0].label}")
    if not lengths[0]:
        raise AudioError(f"{tracks[0].label} has no samples")

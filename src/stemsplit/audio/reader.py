"""Songs, or parts of them, as blocks of samples, and what can be known of a song before any work goes into it."""

import math
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from stemsplit.audio.conversion import Block
from stemsplit.audio.decoders import open_source
from stemsplit.audio.formats import WAV, Format
from stemsplit.audio.source import UnreadableError
from stemsplit.audio.tags import read_tags
from stemsplit.errors import AudioError
from stemsplit.words import clock


class Reader:
    """Blocks (channels, samples) of a song, or of a part of it, in order.

    A part is the same samples as in the whole song, whatever the format. One thread at a time may use a reader.

    Args:
        path: the file.
        start: seconds into the song at which the part begins, to the nearest sample.
        duration: seconds of the part; None, or more than there are, for all that is left.
        stream: which of the file's audio streams, where it holds several, as a `.stem.mp4` does.

    Attributes:
        sample_rate: Hz.
        channels: how many.
        frames: how long the part is, by what the file says; None if it does not say.
        format: the song's own if it can be written, or else one that loses nothing of it.

    Raises:
        AudioError: it cannot be read, or ends before `start`; also while reading, when it turns out so, or damaged, cut
            off or not finite.
        ValueError: there is no such part in any song.
    """

    def __init__(self, path: Path, start: float = 0.0, duration: float | None = None, stream: int = 0) -> None:
        if not 0 <= start < math.inf:
            raise ValueError(f"a part starts at 0 s or later, not at {start} s")
        if duration is not None and not 0 < duration < math.inf:
            raise ValueError(f"a part lasts more than 0 s, not {duration} s")
        self.path, self.start = path, start
        try:
            self.source = open_source(path, stream)
        except UnreadableError as error:
            raise self._failed(error) from error
        self.sample_rate, self.channels = self.source.sample_rate, self.source.channels
        self.first = round(start * self.sample_rate)
        self.end = sys.maxsize if duration is None else self.first + round(duration * self.sample_rate)
        self.frames = self.source.frames
        if self.frames is not None:
            if self.first and self.first >= self.frames:
                self.close()
                raise self._too_short(self.frames)
            self.frames = min(self.frames, self.end) - self.first
        self.format = Format.like(self.source.container, self.source.coding, self.sample_rate, self.channels)

    def _failed(self, error: UnreadableError) -> AudioError:
        advice = f"; {error.advice}" if error.advice else ""
        return AudioError(f"cannot read {self.path} ({error.reason}){advice}")

    def _too_short(self, frames: int) -> AudioError:
        there = frames / self.sample_rate
        unit = 1_000 if math.floor(there) == math.floor(self.start) else 1  # milliseconds only where seconds are equal
        length, start = (clock(math.floor(unit * seconds) / unit, 3) for seconds in (there, self.start))
        return AudioError(f"{self.path} has only {length}; nothing to split from {start}")

    def _check_end(self, there: int) -> None:
        """Raises if the file ended, after `there` frames, too early."""
        said = self.source.frames
        # Decoders disagree by an encoder's delay; a tenth of a second is no cut.
        if said is not None and there < said - 0.1 * self.sample_rate:
            times = f"{there / self.sample_rate:.1f} of {said / self.sample_rate:.1f} s"
            raise UnreadableError(f"it is cut off: {times} are there")
        if self.first and there <= self.first:
            raise self._too_short(there)

    def __iter__(self) -> Iterator[Block]:
        try:
            place = self.source.skip(self.first)
            while place < self.end:
                if not len(frames := self.source.read()):
                    self._check_end(place)
                    return
                skipped = max(self.first - place, 0)
                part = frames[skipped : self.end - place]
                if not np.isfinite(part).all():
                    bad = int(np.argmin(np.isfinite(part).all(1))) + place + skipped
                    raise UnreadableError(f"a sample at {bad / self.sample_rate:.3f} s is not a number or infinite")
                place += len(frames)
                if len(part):
                    yield np.ascontiguousarray(part.T)
        except UnreadableError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Let go of the file."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Song:
    """What is known of a file, or of a part of it, after it was decoded once.

    Args:
        path: the file.
        sample_rate: Hz.
        channels: how many.
        frames: samples of each, in the part.
        format: see `Reader`.
        tags: see `read_tags`.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: Format = WAV
    tags: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def seconds(self) -> float:
        """Duration of the part."""
        return self.frames / self.sample_rate


def examine(
    path: Path, start: float = 0.0, duration: float | None = None, pulse: Callable[[], object] = lambda: None
) -> Song:
    """Decode a whole file, or a part of it, once, so that what is wrong with it is known before any work goes into it.

    Decoding takes about a thousandth of the song's duration.

    Args:
        path: the file.
        start: seconds into the song, to the nearest sample.
        duration: seconds; None for all that is left.
        pulse: called after every block; what it raises ends the work.

    Raises:
        AudioError: it cannot be read to its end, has nothing after `start`, or holds no samples.
        ValueError: there is no such part in any song.
    """
    with Reader(path, start, duration) as reader:
        frames = 0
        for block in reader:
            frames += block.shape[1]
            pulse()
        if frames == 0:
            what = "it" if duration is None else "the part asked for"
            raise AudioError(f"cannot read {path} ({what} has no samples)")
        return Song(path, reader.sample_rate, reader.channels, frames, reader.format, read_tags(path))

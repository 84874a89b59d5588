"""Reads songs, or excerpts of them, as blocks of samples, and examines songs before any work goes into them."""

import math
import shlex
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from stemsplit.audio.channels.positions import stated
from stemsplit.audio.channels.speakers import in_order
from stemsplit.audio.conversion import Block
from stemsplit.audio.decoders import open_source, whole
from stemsplit.audio.formats import WAV, Format
from stemsplit.audio.source import UnreadableError
from stemsplit.audio.tags import Tags, read_all
from stemsplit.errors import AudioError
from stemsplit.words import clock

LOWEST_RATE, HIGHEST_RATE = 1_000, 3_000_000
"""Sample rates in Hz that a recording can have; a header that says another one is wrong."""

ZEROED = (
    "export it anew, or set such samples to 0: "
    'ffmpeg -i {song} -af "aeval=if(isnan(val(ch))+isinf(val(ch))\\,0\\,val(ch)):c=same" -c:a pcm_f32le zeroed.wav'
)
"""What to do with a song that has samples that are not numbers."""

LONGEST_SECONDS = 48 * 3_600.0
"""Longest sound that is taken from a file that does not say how long it is: some have no end."""


class Reader:
    """Yields blocks (channels, samples) of a song, or of an excerpt of it, in order.

    An excerpt has the very samples that the whole song has there, in any format. One thread at a time may use a reader.

    Args:
        path: audio or video file.
        start: start of the excerpt in seconds, rounded to the nearest sample.
        duration: length of the excerpt in seconds; None, or more than the song has, for the rest of the song.
        track: number (from 1 on), language or title of the audio track, for files that hold several; empty for the
            default track.

    Attributes:
        sample_rate: sample rate in Hz.
        channels: number of channels.
        speakers: the speaker of each channel, such as "FL"; empty if the file does not say, and for mono and stereo.
            Whatever order the file has, channels come in WAV order (see `stemsplit.audio.channels.speakers`).
        frames: length of the excerpt by the file's header, in samples per channel, which may not be exact; None if the
            header does not hold it.
        format: the song's own format if it can be written, or else one that loses nothing of it.

    Raises:
        AudioError: the file cannot be read, or ends before `start`. While it is read: it is damaged or cut off, or has
            a sample that is not finite.
        ValueError: `start` or `duration` is out of range.
    """

    def __init__(self, path: Path, start: float = 0.0, duration: float | None = None, track: str = "") -> None:
        if not 0 <= start < math.inf:
            raise ValueError(f"start must be 0 s or later, not {start} s")
        if duration is not None and not 0 < duration < math.inf:
            raise ValueError(f"duration must be longer than 0 s, not {duration} s")
        self.path, self.start = path, start
        try:
            self.source = open_source(path, track)
            found = stated(path, self.source)
        except UnreadableError as error:
            raise self._failed(error) from error
        self.sample_rate, self.channels = self.source.sample_rate, self.source.channels
        self.speakers = tuple(found[channel] for channel in in_order(found))
        self.first = round(start * self.sample_rate)
        self.end = sys.maxsize if duration is None else self.first + round(duration * self.sample_rate)
        if not LOWEST_RATE <= self.sample_rate <= HIGHEST_RATE:
            self.close()
            raise self._failed(UnreadableError(f"its header says {self.sample_rate} Hz, which no recording has"))
        self.frames = self.source.frames
        if self.frames is not None:
            if self.first and self.first >= self.frames:
                self._check_start()
            self.frames = max(min(self.frames, self.end) - self.first, 0)
        self.format = Format.like(
            self.source.container,
            self.source.coding,
            self.sample_rate,
            self.channels,
            self.speakers,
            self.source.frames,
        )

    @property
    def notes(self) -> tuple[str, ...]:
        """What people should know of the file: the track that was chosen, damage, a missing end.

        Complete once the last block was read.
        """
        return tuple(text for text in (self.source.note, self.source.warning) if text)

    @property
    def jumps(self) -> bool:
        """Whether a later start is reached without decoding what lies before it."""
        return bool(getattr(getattr(self.source, "first", self.source), "is_exact", False))

    def _look_through(self) -> None:
        """Take the source that reads the whole file. Its order of channels may be another."""
        self.source = whole(self.path, self.source)
        self.order = in_order(stated(self.path, self.source))

    def _check_start(self) -> None:
        """Raise AudioError if the excerpt begins after the end."""
        try:
            self._look_through()
        except UnreadableError as error:
            raise self._failed(error) from error
        if self.source.promised is not None and self.first >= self.source.promised:
            self.close()
            raise self._too_short(self.source.promised)

    def _failed(self, error: UnreadableError) -> AudioError:
        advice = f"; {error.advice}" if error.advice else ""
        return AudioError(f"cannot read {self.path} ({error.reason}){advice}")

    def _too_short(self, frames: int) -> AudioError:
        there = frames / self.sample_rate
        unit = 1_000 if math.floor(there) == math.floor(self.start) else 1  # milliseconds only where seconds are equal
        length, start = (clock(math.floor(unit * seconds) / unit, 3) for seconds in (there, self.start))
        return AudioError(f"{self.path} has only {length}; nothing to split from {start}")

    def _check_end(self, there: int) -> None:
        """Raise UnreadableError or AudioError if the file ended too early, after `there` frames."""
        said = self.source.promised
        if said is not None and there < said - self.source.slack:
            times = f"{there / self.sample_rate:.1f} of {said / self.sample_rate:.1f} s"
            raise UnreadableError(f"it is cut off: {times} are there")
        if self.first and there <= self.first:
            raise self._too_short(there)

    def __iter__(self) -> Iterator[Block]:
        try:
            self._look_through()
            place = self.source.skip(self.first)
            while place < self.end:
                if not len(frames := self.source.read()):
                    self._check_end(place)
                    return
                skipped = max(self.first - place, 0)
                part = frames[skipped : self.end - place]
                if not np.isfinite(part).all():
                    bad = int(np.argmin(np.isfinite(part).all(1))) + place + skipped
                    reason = f"a sample at {bad / self.sample_rate:.3f} s is not a number or infinite"
                    raise UnreadableError(reason, ZEROED.format(song=shlex.quote(str(self.path))))
                place += len(frames)
                if len(part):
                    yield np.ascontiguousarray(part.T[self.order] if self.order else part.T)
        except UnreadableError as error:
            raise self._failed(error) from error

    def close(self) -> None:
        """Close the file."""
        self.source.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


@dataclass(frozen=True)
class Song:
    """The facts about a file, or an excerpt of it, from decoding it once.

    Args:
        path: audio or video file.
        sample_rate: sample rate in Hz.
        channels: number of channels.
        frames: length of the excerpt, in samples per channel.
        format: see `Reader`.
        tags: its tags and cover art.
        notes: what people should know of the file; see `Reader`.
        speakers: see `Reader`.
    """

    path: Path
    sample_rate: int
    channels: int
    frames: int
    format: Format = WAV
    tags: Tags = field(default_factory=Tags, hash=False)
    notes: tuple[str, ...] = ()
    speakers: tuple[str, ...] = ()

    @property
    def seconds(self) -> float:
        """Duration in seconds."""
        return self.frames / self.sample_rate


def examine(
    path: Path,
    start: float = 0.0,
    duration: float | None = None,
    pulse: Callable[[], object] = lambda: None,
    track: str = "",
) -> Song:
    """Decode a whole file, or an excerpt of it, once, so that errors are known before any work goes into it.

    Decoding takes about a thousandth of the song's duration.

    Args:
        path: audio or video file.
        start: start of the excerpt in seconds, rounded to the nearest sample.
        duration: length of the excerpt in seconds; None for the rest of the song.
        pulse: called after every block; it may raise to stop the work.
        track: see `Reader`.

    Raises:
        AudioError: the file cannot be read to its end, ends before `start`, or holds no samples.
        ValueError: `start` or `duration` is out of range.
    """
    with Reader(path, start, duration, track) as reader:
        frames = 0
        for block in reader:
            frames += block.shape[1]
            pulse()
            if reader.frames is None and frames > LONGEST_SECONDS * reader.sample_rate:
                raise AudioError(f"cannot read {path} (it has no end); split a part of it with --duration")
        if frames == 0:
            what = "it" if duration is None else "the excerpt"
            raise AudioError(f"cannot read {path} ({what} has no samples)")
        tags = read_all(path)
        notes = (*reader.notes, *((tags.note,) if tags.note else ()))
        about = (reader.format, tags, notes, reader.speakers)
        return Song(path, reader.sample_rate, reader.channels, frames, *about)

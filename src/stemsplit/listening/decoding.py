"""Decodes a track of a piece from any sample on, at the piece's rate and with the track's channels."""

from collections.abc import Iterator
from types import TracebackType
from typing import Self

import numpy as np

from stemsplit.audio import Block, Reader
from stemsplit.audio.conversion import converted
from stemsplit.errors import AudioError
from stemsplit.listening.piece import Role, Track


class Decoding:
    """Yields blocks (channels, samples) of a track, in order.

    The song itself may have another rate than its stems, or be mono where they are stereo: some formats hold only some
    rates and channels. It is converted as it was for them.

    Args:
        track: the track.
        sample_rate: sample rate of the piece in Hz.
        first: index of the first sample to yield.

    Attributes:
        frames: length by the file's header from `first` on, at the piece's rate; None if the header does not hold it.
        jumps: whether any other `first` is reached as fast.

    Raises:
        AudioError: the file cannot be read, has another rate or other channels, or ends before `first`. While it is
            read: it is damaged or cut off.
    """

    def __init__(self, track: Track, sample_rate: int, first: int = 0) -> None:
        self.track, self.sample_rate = track, sample_rate
        self.reader = Reader(track.path, track.start, track.duration, track.stream)
        rate, channels, self.jumps = self.reader.sample_rate, self.reader.channels, self.reader.jumps
        is_song = track.role == Role.song
        self.is_resampled = rate != sample_rate
        self.is_doubled = channels == 1 and track.channels == 2
        if (self.is_resampled and not is_song) or (channels != track.channels and not (is_song and self.is_doubled)):
            self.close()
            has = f"{rate} Hz and {channels} channel{'' if channels == 1 else 's'}"
            raise AudioError(f"{track.path.name} has {has}, not what the record says")
        self.dropped = first
        there = self.reader.frames
        self.frames = None if there is None else max(-(-there * sample_rate // rate) - first, 0)
        self.jumps = self.jumps and not self.is_resampled
        if first and not self.is_resampled:
            # Counted in samples: a sum of times in seconds could be rounded to another sample.
            begin, end = self.reader.first + first, self.reader.end
            self.close()
            duration = (end - begin) / rate if track.duration is not None else None
            self.reader, self.dropped = Reader(track.path, begin / rate, duration, track.stream), 0

    def __iter__(self) -> Iterator[Block]:
        for block in converted(self.reader, self.reader.sample_rate, self.sample_rate):
            part = block[:, self.dropped :]
            self.dropped -= block.shape[1] - part.shape[1]
            if part.shape[1]:
                yield np.repeat(part, 2, 0) if self.is_doubled else part

    def close(self) -> None:
        """Close the file."""
        self.reader.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

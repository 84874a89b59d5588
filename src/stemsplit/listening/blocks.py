"""Serves tracks as if each were a file of raw samples, of which any part can be read. No track is held in memory.

A few readers stay open where they are, so that nothing is decoded twice when reading goes on. A seek backwards in a
lossy file starts again from its beginning.
"""

import os
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from threading import Lock

import numpy as np

from stemsplit.audio import Block
from stemsplit.errors import AudioError
from stemsplit.listening.decoding import Decoding
from stemsplit.listening.piece import Piece, Track
from stemsplit.listening.turns import Turns

SAMPLES_PER_BLOCK = 1 << 17
"""Samples of all channels in a block, at most: 1.5 s of a stereo song."""

BYTES_PER_SAMPLE = 4

KEPT_BYTES = 64_000_000
"""Decoded blocks that are kept, in bytes: loops and a page's spectrogram ask for the same samples again."""

OPEN_READERS = 24
"""Most readers that stay open."""

READERS_PER_SOUND = 3
"""Most readers of one track that stay open: a page may play at one place, and draw another."""

NEAR = 16
"""Most blocks that are decoded and dropped rather than opening the file once more."""


@dataclass(frozen=True)
class Sound:
    """A track as it was when its piece was opened.

    Args:
        track: the track.
        sample_rate: Hz.
        frames: length, in samples per channel.
        state: size, time of the last change, and number of its file.
    """

    track: Track
    sample_rate: int
    frames: int
    state: tuple[int, int, int]

    @property
    def size(self) -> int:
        """Size of the raw samples, in bytes."""
        return self.frames * self.track.channels * BYTES_PER_SAMPLE

    @property
    def block_frames(self) -> int:
        """Length of each block but the last, in samples per channel."""
        return max(SAMPLES_PER_BLOCK // self.track.channels, 1)

    def check(self) -> None:
        """Raise AudioError if the file was changed since."""
        if state_of(self.track) != self.state:
            raise AudioError(f"{self.track.path.name} has changed; reload the page")


def state_of(track: Track) -> tuple[int, int, int]:
    """Return figures of a track's file that differ once it was changed.

    Raises:
        AudioError: there is no such file.
    """
    try:
        found = os.stat(track.path)  # noqa: PTH116
    except OSError as error:
        raise AudioError(f"cannot read {track.path.name} ({error.strerror})") from error
    return found.st_size, found.st_mtime_ns, found.st_ino


def sounds(piece: Piece) -> tuple[Sound, ...]:
    """Return the tracks of a piece as they are now.

    Raises:
        AudioError: a file is gone.
    """
    return tuple(Sound(track, piece.sample_rate, piece.frames, state_of(track)) for track in piece.tracks)


class Cursor:
    """Reads a track on from some place, with a file that stays open.

    Args:
        sound: the track.
        frames: where to start, in samples per channel.

    Raises:
        AudioError: the file cannot be read, or was changed.
    """

    def __init__(self, sound: Sound, frames: int = 0) -> None:
        sound.check()
        self.sound, self.place = sound, frames
        self.decoding = Decoding(sound.track, sound.sample_rate, frames)
        self.blocks, self.rest = iter(self.decoding), np.empty((sound.track.channels, 0), np.float32)

    @property
    def jumps(self) -> bool:
        """Whether a reader can start anywhere in the file at once."""
        return self.decoding.jumps

    def read(self, frames: int) -> Block:
        """Return the next samples (c, t).

        Raises:
            AudioError: the file cannot be read on, or is shorter than the piece.
        """
        parts, missing = [self.rest], frames - self.rest.shape[1]
        while missing > 0 and (block := next(self.blocks, None)) is not None:
            parts.append(block)
            missing -= block.shape[1]
        joined = np.concatenate(parts, 1) if len(parts) > 1 else parts[0]
        self.rest = joined[:, frames:].copy()
        self.place += frames
        if missing > 0:
            # Decoders of lossy codecs disagree by an encoder's delay.
            if self.jumps or missing > self.sound.sample_rate // 10:
                raise AudioError(f"{self.sound.track.path.name} ends too early; split the song again")
            joined = np.pad(joined, ((0, 0), (0, missing)))
        return joined[:, :frames]

    def close(self) -> None:
        """Close the file."""
        self.decoding.close()


class Blocks:
    """Reads parts of tracks, for many threads at once.

    Args:
        kept_bytes: decoded blocks to keep, in bytes.
    """

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self.kept_bytes, self.is_closed = kept_bytes, False
        self._kept: OrderedDict[tuple[Sound, int], bytes] = OrderedDict()
        self._size = 0
        self._waiting: list[Cursor] = []  # the one that waits longest first
        self._lock, self._turns = Lock(), Turns()

    def part(self, sound: Sound, first: int, last: int) -> Iterator[bytes]:
        """Yield the bytes of a track's raw samples, interleaved float32 in little-endian order.

        Args:
            sound: the track.
            first: index of the first byte.
            last: index of the last byte, below `sound.size`.

        Raises:
            AudioError: the file cannot be read.
        """
        size = sound.block_frames * sound.track.channels * BYTES_PER_SAMPLE
        for number in range(first // size, last // size + 1):
            begin = number * size
            yield self.block(sound, number)[max(first - begin, 0) : last + 1 - begin]

    def block(self, sound: Sound, number: int) -> bytes:
        """Return one block of a track.

        Raises:
            AudioError: the file cannot be read.
        """
        with self._turns.on(sound):  # the next thread may read on where this one stops
            with self._lock:
                if (sound, number) in self._kept:
                    self._kept.move_to_end((sound, number))
                    return self._kept[sound, number]
            begin = number * sound.block_frames
            cursor = self._at(sound, begin)
            try:
                samples = cursor.read(min(sound.block_frames, sound.frames - begin))
            except BaseException:
                cursor.close()
                raise
            self._put_back(cursor)
            data = np.ascontiguousarray(samples.T, "<f4").tobytes()
            self._keep((sound, number), data)
            return data

    def _at(self, sound: Sound, begin: int) -> Cursor:
        """Return a cursor that stands at a frame."""
        with self._lock:
            before = [each for each in self._waiting if each.sound == sound and each.place <= begin]
            nearest = max(before, key=lambda each: each.place, default=None)
            if nearest and nearest.jumps and begin - nearest.place > NEAR * sound.block_frames:
                nearest = None
            if nearest:
                self._waiting.remove(nearest)
        if nearest is None:
            return Cursor(sound, begin)
        try:
            while nearest.place < begin:
                if self.is_closed:
                    raise AudioError("stopped")
                nearest.read(min(sound.block_frames, begin - nearest.place))
        except BaseException:
            nearest.close()
            raise
        return nearest

    def _put_back(self, cursor: Cursor) -> None:
        """Let a cursor wait, and close those that wait too long."""
        if cursor.place >= cursor.sound.frames:
            cursor.close()
            return
        with self._lock:
            self._waiting.append(cursor)
            same = [each for each in self._waiting if each.sound == cursor.sound]
            closing = same[: max(len(same) - READERS_PER_SOUND, 0)]
            closing += self._waiting[: max(len(self._waiting) - len(closing) - OPEN_READERS, 0)]
            if self.is_closed:
                closing = [*self._waiting]
            for each in closing:
                if each in self._waiting:
                    self._waiting.remove(each)
        for each in closing:
            each.close()

    def _keep(self, key: tuple[Sound, int], data: bytes) -> None:
        with self._lock:
            self._kept[key] = data
            self._size += len(data)
            while self._size > self.kept_bytes and self._kept:
                self._size -= len(self._kept.popitem(last=False)[1])

    def close(self) -> None:
        """Close all files that wait. A file that is being read is closed by the thread that reads it."""
        with self._lock:
            self.is_closed = True
            waiting, self._waiting = self._waiting, []
            self._kept.clear()
            self._size = 0
        for each in waiting:
            each.close()

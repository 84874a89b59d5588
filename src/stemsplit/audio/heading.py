"""Reads what the header of a song says, as `Reader` does; of ordinary WAV and FLAC files, in a tenth of its time.

A plan has hundreds of thousands of songs, and needs four numbers of each. A file is ordinary if nothing about it has to
be weighed: one recording in plain samples, in mono or stereo, whose sizes agree. All others are opened by `Reader`,
which is also who refuses what cannot be read.
"""

import os
import stat
import struct
from dataclasses import dataclass
from pathlib import Path

from stemsplit.audio.containers.extent import Extent
from stemsplit.audio.containers.extents import judge
from stemsplit.audio.reader import HIGHEST_RATE, LOWEST_RATE, Reader
from stemsplit.audio.refusals import MARKS
from stemsplit.disk.folder import EVERYWHERE

HEAD = 4_096
"""Bytes in which the header of an ordinary file ends."""

DISGUISED = 1 << 13
"""Bytes of sound in which compressed sound is looked for that seems to be samples: as long as a frame of DTS or AC-3.
With a mark in there, `decoders.is_disguised` looks at more; it looks at every file once more before it is split.
"""

PLAIN = {(1, 8), (1, 16), (1, 24), (1, 32), (3, 32), (3, 64)}
"""Codings of WAV files whose samples are plain, and their bits."""

HARMLESS = {b"fmt ", b"JUNK", b"junk", b"PAD ", b"FLLR", b"LIST", b"bext", b"id3 ", b"iXML"}
"""Chunks that may stand before the sound of an ordinary WAV file."""

HEADER = 26
"""Bytes of a FLAC file that hold the facts of its sound."""

SYNC = (b"\xff\xf8", b"\xff\xf9")
"""First bytes of a FLAC file's frames."""

MOST_BLOCKS = 100
"""Blocks of metadata that are walked through in a FLAC file."""


@dataclass(frozen=True, slots=True)
class Heading:
    """What the header of a song, or of an excerpt of it, says.

    Args:
        sample_rate: Hz.
        channels: number of channels.
        frames: length of the excerpt in samples per channel; None if the header does not hold it.
        speakers: see `Reader`.
    """

    sample_rate: int
    channels: int
    frames: int | None
    speakers: tuple[str, ...] = ()


def _of_wave(path: Path, descriptor: int, head: bytes, size: int) -> Heading | None:
    """Return what an ordinary WAV file says; None if it is another file."""
    place, form = 12, b""
    while (name := head[place : place + 4]) in HARMLESS:
        length = int.from_bytes(head[place + 4 : place + 8], "little")
        if name == b"fmt ":
            form, again = head[place + 8 : place + 24], bool(form)
            if len(form) < 16 or again:
                return None
        place += 8 + length + length % 2
    begin, promised = place + 8, int.from_bytes(head[place + 4 : place + 8], "little")
    if name != b"data" or len(head) < begin or not form:
        return None
    coding, channels, rate, _, block, bits = struct.unpack("<HHIIHH", form)
    if (coding, bits) not in PLAIN or channels not in (1, 2) or block != channels * bits // 8:
        return None
    left = size - begin - promised
    if not promised or promised % block or left < 0 or int.from_bytes(head[4:8], "little") > size - 7:
        return None
    if left > 3:  # more than padding
        extent = Extent(begin, promised, b"its own")
        with path.open("rb") as file:
            judge(extent, file, size, head)
        if extent.warning or extent.mended:
            return None
    if bits == 16 and channels == 2:
        sound = head[begin:] if size <= HEAD else os.pread(descriptor, DISGUISED, begin)
        for mark in MARKS:
            if mark in sound:
                return None
    return Heading(rate, channels, promised // block)


def _of_flac(descriptor: int, head: bytes) -> Heading | None:
    """Return what an ordinary FLAC file says; None if it is another file."""
    facts = int.from_bytes(head[18:26], "big")
    rate, channels, bits = facts >> 44, (facts >> 41 & 7) + 1, (facts >> 36 & 31) + 1
    frames = facts & ((1 << 36) - 1)
    if head[4] & 0x7F or head[5:8] != b"\0\0\x22" or channels > 2 or bits not in (8, 16, 24) or not frames:
        return None
    place = 4
    for _ in range(MOST_BLOCKS):
        block = head[place : place + 4] if place + 4 <= len(head) else os.pread(descriptor, 4, place)
        place += 4 + int.from_bytes(block[1:], "big")
        if len(block) < 4 or block[0] & 0x80:
            break
    return Heading(rate, channels, frames) if os.pread(descriptor, 2, place) in SYNC else None


def _ordinary(path: Path) -> Heading | None:
    """Return what an ordinary file says; None if it is not one, or cannot be read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # noqa: PTH116  # before it is opened: a device may act on that
            return None
        descriptor = os.open(path, os.O_RDONLY | EVERYWHERE)
    except (OSError, ValueError):
        return None
    try:
        about = os.fstat(descriptor)
        if not stat.S_ISREG(about.st_mode):
            return None
        head = os.pread(descriptor, HEAD, 0)
        if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
            return _of_wave(path, descriptor, head, about.st_size)
        return _of_flac(descriptor, head) if head[:4] == b"fLaC" and len(head) > HEADER else None
    except OSError:
        return None
    finally:
        os.close(descriptor)


def heading(path: Path, start: float = 0.0, duration: float | None = None, track: str = "") -> Heading:
    """Return what the header of a song, or of an excerpt of it, says.

    Args:
        path: audio or video file.
        start: start of the excerpt in seconds.
        duration: length of the excerpt in seconds; None for the rest of the song.
        track: see `Reader`.

    Raises:
        AudioError: the file cannot be read, or ends before `start`.
        ValueError: `start` or `duration` is out of range.
    """
    is_whole = not start and duration is None and not track
    found = _ordinary(path) if is_whole and hasattr(os, "pread") else None  # Windows has none
    if found and LOWEST_RATE <= found.sample_rate <= HIGHEST_RATE:
        return found
    with Reader(path, start, duration, track) as reader:
        return Heading(reader.sample_rate, reader.channels, reader.frames, reader.speakers)

"""Joins MP4 files of one track each into one file with all tracks, side by side, without encoding them again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import IO

import numpy as np
import numpy.typing as npt

from stemsplit.audio.containers.mp4 import content

Numbers = npt.NDArray[np.int64]

LARGEST_BOX = 1 << 31
"""Bytes after which another box of sound begins: some programs read the sizes of boxes as 32 bits only."""

WIDE = 1 << 32
"""Size of a file, in bytes, from which its offsets need 64 bits."""

BLOCK = 1 << 20
"""Bytes that are copied at once."""

KIND = b"isom\0\0\2\0isomiso2mp41"
"""Content of the first box: what kind of MP4 the file is."""

OTHER_FORM = "its index is not like that of a newly encoded track"

SHOWN, HIDDEN = 3, 2
"""Flags of a track that is played unless another is chosen, and of one that is not."""


def box(name: bytes, inside: bytes) -> bytes:
    """Return a box."""
    return (8 + len(inside)).to_bytes(4) + name + inside


@dataclass(frozen=True)
class Part:
    """A file of one track.

    Args:
        file: the file.
        heading: content of the box about the whole file, `mvhd`.
        track: content of the box about the track, `trak`.
        start: offset of the track's first frame in the file; the others follow without gaps.
        sizes: bytes of each frame.
        together: number of frames in about half a second.
    """

    file: IO[bytes]
    heading: bytes
    track: bytes
    start: int
    sizes: Numbers
    together: int

    @property
    def chunks(self) -> Numbers:
        """Bytes of each chunk of `together` frames, which are stored as one."""
        return np.add.reduceat(self.sizes, np.arange(0, len(self.sizes), self.together))


def _numbers(data: bytes, size: int = 4) -> Numbers:
    return np.frombuffer(data[: len(data) // size * size], f">u{size}").astype(np.int64)


def read_part(file: IO[bytes]) -> Part:
    """Read what the index of a file with one track says.

    Raises:
        OSError: it is not a file as ffmpeg writes it: whole, with one track, and without gaps between its frames.
    """
    try:
        return _read_part(file)
    except (ValueError, IndexError) as error:
        raise OSError(OTHER_FORM) from error


def _read_part(file: IO[bytes]) -> Part:
    """Read a file as `read_part` does; other errors mean that it has another form."""
    end = file.seek(0, 2)
    table = (b"moov", b"trak", b"mdia", b"minf", b"stbl")
    found = {name: content(file, 0, end, *table, name) for name in (b"stsz", b"stco", b"co64", b"stsc", b"stts")}
    heading, track = content(file, 0, end, b"moov", b"mvhd"), content(file, 0, end, b"moov", b"trak")
    one, count = (int(number) for number in _numbers(found[b"stsz"][4:12]))
    sizes = np.full(count, one) if one else _numbers(found[b"stsz"][12:])
    offsets = _numbers(found[b"stco"][8:]) if found[b"stco"] else _numbers(found[b"co64"][8:], 8)
    runs = _numbers(found[b"stsc"][8:]).reshape(-1, 3)
    # Each run of chunks has the same number of frames, up to the next run's first chunk.
    frames = np.repeat(runs[:, 1], np.diff(np.append(runs[:, 0], len(offsets) + 1)))
    ends = np.append(0, np.cumsum(sizes))
    places = ends[np.append(0, np.cumsum(frames))[:-1]]
    start = int(offsets[0])
    if len(sizes) != count or not np.array_equal(offsets, start + places) or start + ends[-1] > end:
        raise OSError(OTHER_FORM)
    length, timescale = int(_numbers(found[b"stts"][8:])[1]), int(_numbers(heading)[3])
    _header(track, 1)
    return Part(file, heading, track, start, sizes, max(timescale // (2 * length), 1))


def _replaced(inside: bytes, way: Mapping[bytes, object]) -> bytes:
    """Return the content of a box, with some of the boxes in it replaced.

    Args:
        inside: content of the box.
        way: name of a box in it -> the new box, which may be empty, or a dictionary like this one for those in it.
    """
    made, place = [], 0
    while place + 8 <= len(inside):
        size, name = int.from_bytes(inside[place : place + 4]), inside[place + 4 : place + 8]
        if size < 8:
            raise OSError(OTHER_FORM)
        new = way.get(name, inside[place : place + size])
        if isinstance(new, Mapping):
            new = box(name, _replaced(inside[place + 8 : place + size], new))
        assert isinstance(new, bytes)
        made.append(new)
        place += size
    return b"".join(made)


def _content(inside: bytes, wanted: bytes) -> bytes:
    """Return the content of the first box of a name in another box; raise ValueError if there is none."""
    place = 0
    while place + 8 <= len(inside):
        size = max(int.from_bytes(inside[place : place + 4]), 8)
        if inside[place + 4 : place + 8] == wanted:
            return inside[place + 8 : place + size]
        place += size
    raise ValueError(f"box {wanted!r} is missing")


def _header(track: bytes, number: int) -> bytes:
    """Return the box `tkhd` of a track with its number in the file; the first one is played unless another is chosen.

    All tracks are alternatives to one another.
    """
    inside = bytearray(_content(track, b"tkhd"))
    inside[1:4] = (SHOWN if number == 1 else HIDDEN).to_bytes(3)
    wide = inside[0] == 1
    place = 20 if wide else 12
    inside[place : place + 4] = number.to_bytes(4)
    group = place + 4 + 4 + (8 if wide else 4) + 8 + 2
    inside[group : group + 2] = (1).to_bytes(2)
    return box(b"tkhd", bytes(inside))


def _track(part: Part, number: int, offsets: Sequence[int], wide: bool) -> bytes:
    """Return the box of a track, whose chunks begin at other offsets than in its own file."""
    count, last = len(offsets), len(part.sizes) - (len(offsets) - 1) * part.together
    runs = [(1, part.together, 1)] if last == part.together or count > 1 else []
    if last != part.together:
        runs.append((count, last, 1))
    stsc = bytes(4) + len(runs).to_bytes(4) + b"".join(value.to_bytes(4) for run in runs for value in run)
    places = bytes(4) + count.to_bytes(4) + np.asarray(offsets, ">u8" if wide else ">u4").tobytes()
    chunks = box(b"co64" if wide else b"stco", places)
    # A track has one of the two boxes for offsets.
    table = {b"stsc": box(b"stsc", stsc), b"stco": chunks, b"co64": chunks}
    way = {b"tkhd": _header(part.track, number), b"mdia": {b"minf": {b"stbl": table}}}
    return box(b"trak", _replaced(part.track, way))


def _laid_out(parts: Sequence[Part], largest: int) -> tuple[list[list[int]], list[int]]:
    """Lay out the chunks of all tracks in turn.

    Returns:
        The offset of each chunk of each track; and the size of each box that holds them, with its header of 8 bytes.
    """
    chunks = [part.chunks.tolist() for part in parts]
    offsets: list[list[int]] = [[] for _ in parts]
    place = len(box(b"ftyp", KIND))
    sizes: list[int] = []
    for turn in range(max(map(len, chunks))):
        needed = sum(each[turn] for each in chunks if turn < len(each))
        if not sizes or sizes[-1] + needed > largest:
            sizes.append(8)
            place += 8
        sizes[-1] += needed
        for own, each in zip(offsets, chunks, strict=True):
            if turn < len(each):
                own.append(place)
                place += each[turn]
    return offsets, sizes


def _copy(part: Part, begin: int, size: int, file: IO[bytes]) -> None:
    """Copy bytes of a part's sound; raise OSError if they are not there."""
    part.file.seek(part.start + begin)
    while size:
        block = part.file.read(min(size, BLOCK))
        if not block:
            raise OSError("a newly encoded track is no longer whole")
        file.write(block)
        size -= len(block)


def join(parts: Sequence[Part], extras: bytes, file: IO[bytes], largest: int = LARGEST_BOX) -> None:
    """Write a file with the tracks of several files, half a second of each in turn; the index is at its end.

    Each track keeps its own edit list, so tracks that play in step in their own files do so here. The same files give
    the same bytes.

    Args:
        parts: the tracks, in order; the first is the one that is played unless another is chosen.
        extras: boxes that go into `moov.udta`; empty for none.
        file: empty file, open for writing.
        largest: largest size of a box of sound in bytes.

    Raises:
        OSError: a file cannot be read or written.
    """
    offsets, sizes = _laid_out(parts, largest)
    chunks = [part.chunks.tolist() for part in parts]
    done, turn = [0] * len(parts), 0
    file.write(box(b"ftyp", KIND))
    for size in sizes:
        file.write(size.to_bytes(4) + b"mdat")
        left = size - 8
        while left:
            for index, part in enumerate(parts):
                if turn < len(chunks[index]):
                    needed = chunks[index][turn]
                    _copy(part, done[index], needed, file)
                    done[index] += needed
                    left -= needed
            turn += 1
    heading = parts[0].heading[:-4] + (len(parts) + 1).to_bytes(4)
    wide = file.tell() >= WIDE or largest < LARGEST_BOX
    tracks = [_track(part, number, offsets[number - 1], wide) for number, part in enumerate(parts, 1)]
    told = box(b"udta", extras) if extras else b""
    file.write(box(b"moov", box(b"mvhd", heading) + b"".join(tracks) + told))

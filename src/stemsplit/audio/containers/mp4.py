"""Reads what MP4 files say of their tracks, where ffmpeg does not tell it in all versions."""

import json
import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

LARGEST = 1 << 26
"""Largest size in bytes of a box that is read into memory."""


@dataclass
class Boxes:
    """What the boxes of an MP4 file say.

    Attributes:
        titles: title of each audio track, in order; empty where it has none.
        stems: names of the stems of a `.stem.mp4` (Native Instruments), which are the tracks after the first.
        fragmented: whether the sound lies in fragments, as live recordings have it: no header holds the length then.
    """

    titles: list[str] = field(default_factory=list)
    stems: list[str] = field(default_factory=list)
    fragmented: bool = False


def boxes(file: IO[bytes], begin: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Yield the name of each box between two offsets, and where its content begins and ends."""
    while begin + 8 <= end:
        file.seek(begin)
        head = file.read(16)
        size, name, content = int.from_bytes(head[:4], "big"), head[4:8], begin + 8
        if size == 1 and len(head) == 16:
            size, content = int.from_bytes(head[8:], "big"), begin + 16
        elif size == 0:
            size = end - begin
        if size < content - begin:
            return
        yield name, content, min(begin + size, end)
        begin += size


def content(file: IO[bytes], begin: int, end: int, *way: bytes) -> bytes:
    """Return the content of the first box that a list of names leads to, box by box; empty if there is none."""
    for name, start, last in boxes(file, begin, end):
        if name == way[0]:
            if way[1:]:
                return content(file, start, last, *way[1:])
            file.seek(start)
            return file.read(min(last - start, LARGEST))
    return b""


def text(file: IO[bytes], begin: int, end: int) -> str:
    """Return the text of a box."""
    file.seek(begin)
    return file.read(min(end - begin, 4_096)).decode(errors="replace").strip("\0 \t\r\n")


def title(file: IO[bytes], begin: int, end: int) -> str:
    """Return the title in the `udta` box of a track; empty if there is none."""
    for name, content, last in boxes(file, begin, end):
        if name == b"name":
            return text(file, content, last)
        if name == b"\xa9nam":  # its length and its language come first
            return text(file, content + 4, last)
        if name == b"titl":  # flags and its language come first
            return text(file, content + 6, last)
    return ""


def track(file: IO[bytes], begin: int, end: int) -> str | None:
    """Return the title of a track, which may be empty; None if it holds no sound."""
    found, sound = "", False
    for name, content, last in boxes(file, begin, end):
        if name == b"udta":
            found = title(file, content, last)
        elif name == b"mdia":
            for inner, start, _ in boxes(file, content, last):
                if inner == b"hdlr":
                    file.seek(start + 8)
                    sound = file.read(4) == b"soun"
    return found if sound else None


def sound_track(file: IO[bytes], number: int) -> tuple[int, int]:
    """Return where the content of an audio track's box begins and ends; (0, 0) if there is none of this number."""
    for name, begin, end in boxes(file, 0, file.seek(0, os.SEEK_END)):
        if name == b"moov":
            for inner, start, last in boxes(file, begin, end):
                if inner == b"trak" and track(file, start, last) is not None:
                    number -= 1
                    if not number:
                        return start, last
            break
    return 0, 0


def played(file: IO[bytes], sample_rate: int, number: int = 1) -> tuple[int, int]:
    """Return which samples of a track of an MP4 a player plays, by its edit list: the first, and how many.

    Args:
        file: an MP4.
        sample_rate: Hz.
        number: number of the audio track, from 1 on.

    Returns:
        (0, 0) if the file is not whole, does not count in samples, or has another number of edits than one.
    """
    end = file.seek(0, os.SEEK_END)
    heading = content(file, 0, end, b"moov", b"mvhd")
    edits = content(file, *sound_track(file, number), b"edts", b"elst")
    # After version and flags, `mvhd` has two times of 4 or 8 bytes before the timescale.
    place = 20 if heading[:1] == b"\1" else 12
    form, size = (">Qq", 16) if edits[:1] == b"\1" else (">Ii", 8)
    if int.from_bytes(heading[place : place + 4], "big") != sample_rate or edits[4:8] != b"\0\0\0\1":
        return 0, 0
    if len(edits) < 8 + size:
        return 0, 0
    length, first = struct.unpack(form, edits[8 : 8 + size])
    return first, length


def stem_names(data: bytes) -> list[str]:
    """Return the names in the JSON of a `stem` box; none if it is malformed."""
    try:
        stems = json.loads(data.rstrip(b"\0").decode())["stems"]
        return [str(stem["name"]) for stem in stems]
    except (ValueError, KeyError, TypeError, RecursionError):
        return []


def read_boxes(path: Path) -> Boxes | None:
    """Read what an MP4 or QuickTime file says of its tracks; None if it is neither.

    Raises:
        OSError: the file cannot be read.
    """
    found = Boxes()
    with path.open("rb") as file:
        start = file.read(12)
        if start[4:8] not in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
            return None
        for name, content, last in boxes(file, 0, file.seek(0, os.SEEK_END)):
            found.fragmented |= name == b"moof"
            if name == b"moov" and last - content <= LARGEST and not found.titles:
                for inner, begin, end in boxes(file, content, last):
                    if inner == b"trak" and (said := track(file, begin, end)) is not None:
                        found.titles.append(said)
                    elif inner == b"udta":
                        for kind, first, final in boxes(file, begin, end):
                            if kind == b"stem":
                                file.seek(first)
                                found.stems = stem_names(file.read(min(final - first, 1 << 20)))
    return found

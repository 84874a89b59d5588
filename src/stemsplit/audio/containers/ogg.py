"""Reads and changes the pages of Ogg files: whether all are there, and their serial number."""

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Translates every byte into the one with its bits in reverse order."""

CONTINUED, FIRST, LAST = 1, 2, 4
"""Flags of a page: it begins in the midst of a packet; it is the first, or the last, of its stream."""


@dataclass
class Pages:
    """What the pages of an Ogg file are like.

    Attributes:
        links: number of recordings that follow one another.
        cut: whether the file ends in the midst of a page.
        ended: whether the last page is marked as the last.
        missing: whether pages are missing, or there is something else between them.
    """

    links: int = 0
    cut: bool = False
    ended: bool = False
    missing: bool = False

    @property
    def is_plain(self) -> bool:
        """Whether it is one recording from its first page to its last."""
        return self.links == 1 and self.ended and not self.missing

    @property
    def warning(self) -> str:
        """What people should know of the file; empty if there is nothing."""
        if self.links > 1:
            return "several recordings are joined in it; all of them are split"
        if self.missing:
            return "parts of it are missing or damaged; what can be decoded is split"
        if not self.ended and not self.cut:
            return "its end is not marked (it was never finished, or cut from a stream); all that is there is split"
        return ""


def look_through(path: Path) -> Pages:
    """Read the headers of all pages of an Ogg file (Vorbis, Opus, FLAC, Speex).

    Raises:
        OSError: the file cannot be read.
    """
    pages, expected = Pages(), dict[bytes, int]()
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        place = file.seek(0)
        beginning = False
        while len(head := file.read(27)) == 27:
            if head[:4] != b"OggS":
                file.seek(place)
                if not find(file):
                    break
                pages.missing, place = True, file.tell()
                continue
            flags, serial, sequence = head[5], head[14:18], int.from_bytes(head[18:22], "little")
            if flags & FIRST and not beginning:
                pages.links += 1
                expected.clear()
            beginning = bool(flags & FIRST)
            pages.missing |= not beginning and expected.get(serial) != sequence
            expected[serial] = sequence + 1
            sizes = file.read(head[26])
            place += 27 + head[26] + sum(sizes)
            pages.ended, pages.cut = bool(flags & LAST), place > end
            file.seek(place)
        if place < end and end - place < 27:
            file.seek(place)
            pages.cut |= file.read(4) == b"OggS"
    return pages


def find(file: IO[bytes]) -> bool:
    """Move a file to its next page after this place; return whether there is one."""
    start = file.tell() + 1
    file.seek(start)
    while block := file.read(1 << 16):
        if (place := block.find(b"OggS")) >= 0:
            file.seek(start + place)
            return True
        start += max(len(block) - 3, 1)
        if len(block) < 4:
            break
        file.seek(start)
    return False


def checksum(page: bytes | bytearray) -> int:
    """Return the CRC-32 of a page whose checksum field is zero.

    Ogg uses zlib's polynomial, but with the most significant bit first and without the two complements. So this is
    zlib's checksum of the mirrored bytes, mirrored.
    """
    mirrored = zlib.crc32(page.translate(MIRRORED), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int(f"{mirrored:032b}"[::-1], 2)


def renumber(file: IO[bytes], serial: int) -> None:
    """Give the one stream of an Ogg file a serial number, in place; libsndfile derives one from the time of day.

    Its pages are counted anew, too.
    """
    file.seek(0)
    count = 0
    while len(head := file.read(27)) == 27 and head[:4] == b"OggS":
        sizes = file.read(head[26])
        page = bytearray(head + sizes + file.read(sum(sizes)))
        page[14:18] = serial.to_bytes(4, "little")
        page[18:22] = count.to_bytes(4, "little")
        page[22:26] = bytes(4)
        page[22:26] = checksum(page).to_bytes(4, "little")
        file.seek(-len(page), 1)
        file.write(page)
        count += 1

"""Reads and changes the pages of Ogg files: whether the last one is there, and their serial number."""

import zlib
from pathlib import Path
from typing import IO

MIRRORED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))
"""Translates every byte into the one with its bits in reverse order."""


def ends_as_ogg(path: Path) -> bool:
    """Return whether the last page of an Ogg file (Vorbis, Opus, FLAC) is marked as its end."""
    with path.open("rb") as file:
        # A page is at most 65,307 bytes long; its sixth byte holds the flags.
        file.seek(max(path.stat().st_size - 70_000, 0))
        end = file.read()
    page = end.rfind(b"OggS")
    return 0 <= page < len(end) - 5 and bool(end[page + 5] & 4)


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

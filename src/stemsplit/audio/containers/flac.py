"""Finds the last frame of a FLAC file, which tells how long the sound is, whatever the header says."""

import os
import re
from pathlib import Path

SYNC = re.compile(rb"\xff[\xf8\xf9]")
"""Matches the beginning of a frame."""

SEARCHED = 1 << 18
"""Bytes at the end of a file in which its last frame is looked for."""

SIZES = {
    1: 192,
    **{code: 576 << (code - 2) for code in range(2, 6)},
    **{code: 256 << (code - 8) for code in range(8, 16)},
}
"""Code in a frame's header -> samples per channel of the frame (RFC 9639, section 9.1.1)."""


def crc8(data: bytes) -> int:
    """Return the checksum of a frame's header."""
    crc = 0
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc << 1 ^ 0x107) if crc & 0x80 else crc << 1
    return crc


def coded(data: bytes) -> tuple[int, int]:
    """Return a number that is coded as UTF-8 codes characters, and the bytes that it takes; (0, 0) if it is not."""
    if not data or 0x80 <= data[0] < 0xC0 or data[0] == 0xFF:
        return 0, 0
    length = 1 if data[0] < 0x80 else 8 - (data[0] ^ 0xFF).bit_length()
    value = data[0] if length == 1 else data[0] & (0x7F >> length)
    for byte in data[1:length]:
        if byte & 0xC0 != 0x80:
            return 0, 0
        value = value << 6 | byte & 0x3F
    return (value, length) if len(data) >= length else (0, 0)


def end_of_frame(data: bytes, block: int) -> int | None:
    """Return the number of the first sample after a frame; None if the bytes do not begin with a frame.

    Args:
        data: bytes from the beginning of the frame on.
        block: samples per channel of every frame, where the frame's header counts frames instead of samples.
    """
    value, length = coded(data[4:11])
    end = 4 + length
    code, size = data[2] >> 4 if len(data) > 4 else 0, 0
    if not length or code == 0 or data[2] & 15 == 15:
        return None
    if code in (6, 7):
        width = code - 5
        size, end = int.from_bytes(data[end : end + width], "big") + 1, end + width
    else:
        size = SIZES[code]
    end += {12: 1, 13: 2, 14: 2}.get(data[2] & 15, 0)
    if len(data) <= end or crc8(data[:end]) != data[end]:
        return None
    return value + size if data[1] & 1 else value * block + size


def last_sample(path: Path) -> int | None:
    """Return the number of samples per channel by the last frame; None if none is found.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(26)
        if start[:4] != b"fLaC":
            return None
        file.seek(max(file.seek(0, os.SEEK_END) - SEARCHED, 0))
        data = file.read()
    block = int.from_bytes(start[8:10], "big")
    for match in reversed(list(SYNC.finditer(data))):
        if (end := end_of_frame(data[match.start() : match.start() + 16], block)) is not None:
            return end
    return None

"""Writes the tags of MP3 files, because libsndfile hands them to LAME as if all text were Latin-1."""

from collections.abc import Mapping
from typing import IO

FRAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "tracknumber": b"TRCK",
    "date": b"TDRC",
    "genre": b"TCON",
}
"""Tag -> the ID3 frame that holds it."""

BLOCK = 1 << 20
"""Bytes that are moved at once."""


def size(number: int) -> bytes:
    """Return a number as ID3 writes sizes: seven bits per byte, so that no byte looks like the start of audio."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(tags: Mapping[str, str]) -> bytes:
    """Return an ID3v2.4 tag in UTF-8; empty if there are no tags."""
    texts = {FRAMES[key]: b"\3" + text.encode() for key, text in tags.items()}
    frames = b"".join(name + size(len(text)) + bytes(2) + text for name, text in texts.items())
    return b"ID3\4\0\0" + size(len(frames)) + frames if frames else b""


def prepend(file: IO[bytes], head: bytes) -> None:
    """Insert bytes at the beginning of a file, in place: every block moves up, from the last one on."""
    end = file.seek(0, 2)
    while end:
        start = max(end - BLOCK, 0)
        file.seek(start)
        block = file.read(end - start)
        file.seek(start + len(head))
        file.write(block)
        end = start
    file.seek(0)
    file.write(head)

"""Reads the tags of WAV and AIFF files, and writes those that a WAV's own texts cannot say."""

import io
from typing import IO

from stemsplit.audio.containers.riff import append_chunk, chunks, walk
from stemsplit.audio.tagging.id3 import id3, read_id3
from stemsplit.audio.tagging.values import LARGEST, LARGEST_TEXT, Found, Texts, text

INFO = {
    b"INAM": "title",
    b"IART": "artist",
    b"IPRD": "album",
    b"ITRK": "tracknumber",
    b"IPRT": "tracknumber",
    b"ICRD": "date",
    b"IGNR": "genre",
}
"""Name of a text in a WAV -> the tag."""

AIFF = {b"NAME": "title", b"AUTH": "artist"}
"""Name of a text in an AIFF -> the tag."""


def read_chunks(file: IO[bytes]) -> Found:
    """Return what the tags of a WAV or AIFF file say: those in ID3 first, then its own texts."""
    found, own = Found(), Found()
    for name, size in chunks(file):
        if size > LARGEST:
            continue
        if name in (b"id3 ", b"ID3 "):
            found.fill(read_id3(io.BytesIO(file.read(size))))
        elif name == b"LIST" and (info := io.BytesIO(file.read(size))).read(4) == b"INFO":
            for part, length in walk(info, "little"):
                if part in INFO and length <= LARGEST_TEXT and INFO[part] not in own.texts:
                    own.add(INFO[part], text(info.read(length).partition(b"\0")[0]))
        elif name in AIFF and size <= LARGEST_TEXT:
            own.add(AIFF[name], text(file.read(size).partition(b"\0")[0]))
    found.fill(own)
    return found


def write_wav(file: IO[bytes], tags: Texts, picture: bytes) -> None:
    """Append an ID3 tag to a WAV file.

    Args:
        file: RIFF or RF64 file.
        tags: tags, each with its values.
        picture: cover art; empty if there is none.
    """
    if tag := id3(tags, picture):
        append_chunk(file, b"id3 ", tag + bytes(len(tag) % 2))


def write_aiff(file: IO[bytes], tags: Texts, picture: bytes) -> None:
    """Append an ID3 tag to an AIFF file; the arguments are those of `write_wav`."""
    if tag := id3(tags, picture):
        append_chunk(file, b"ID3 ", tag)

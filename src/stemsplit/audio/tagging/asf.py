"""Reads the tags of ASF files (wma, asf), which are in objects of the file's header."""

from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from stemsplit.audio.tagging.pictures import LINK
from stemsplit.audio.tagging.values import LARGEST, LARGEST_TEXT, MANY, Found

HEADER = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")
CONTENT = bytes.fromhex("3326b2758e66cf11a6d900aa0062ce6c")
EXTENDED_CONTENT = bytes.fromhex("40a4d0d207e3d21197f000a0c95ea850")
EXTENSION = bytes.fromhex("b503bf5f2ea9cf118ee300c00c205365")
METADATA = bytes.fromhex("eacbf8c5af5b77488467aa8c44fa4cca")
LIBRARY = bytes.fromhex("941c23449894d149a1411d134e457054")
KINDS = (CONTENT, EXTENDED_CONTENT, METADATA, LIBRARY)
"""Kinds of objects that may have tags. Of several values, the first is in the first of these, wherever it is."""

NAMES = {
    "title": "title",
    "author": "artist",
    "wm/albumtitle": "album",
    "wm/albumartist": "albumartist",
    "wm/tracknumber": "tracknumber",
    "wm/partofset": "discnumber",
    "wm/year": "date",
    "wm/genre": "genre",
    "date": "date",  # as ffmpeg writes it
}
"""Name of an attribute in lower case -> the tag."""

TEXT, NUMBERS, PICTURE = 0, {2, 3, 4, 5}, "wm/picture"


def number(raw: bytes) -> int:
    """Return a number as ASF writes it."""
    return int.from_bytes(raw, "little")


def wide(raw: bytes) -> str:
    """Return a text up to its end, which is a zero."""
    return raw.decode("utf-16-le", "replace").partition("\0")[0]


def read_picture(raw: bytes, found: Found) -> None:
    """Offer the picture of an attribute: its kind, its size, two texts, and the picture."""
    size = number(raw[1:5])
    texts = raw[5 : len(raw) - size].decode("utf-16-le", "replace").split("\0")
    if len(raw) > 5 and 0 < size <= len(raw) - 5 and texts[0] != LINK:
        found.offer(raw[0], size, lambda: raw[len(raw) - size :])


def add(name: str, kind: int, raw: bytes, found: Found) -> None:
    """Add what an attribute says."""
    name = name.lower()
    if name == PICTURE:
        read_picture(raw, found)
    elif name in NAMES and len(raw) <= LARGEST_TEXT:
        if kind == TEXT:
            found.add(NAMES[name], wide(raw))
        elif kind in NUMBERS and raw:
            found.add(NAMES[name], str(number(raw)))


def content(raw: bytes, found: Found) -> None:
    """Add the title and the author that each file says in one place."""
    sizes = [number(raw[place : place + 2]) for place in range(0, 10, 2)]
    for key, start, size in (("title", 10, sizes[0]), ("artist", 10 + sizes[0], sizes[1])):
        if value := wide(raw[start : start + size]):
            found.add(key, value)


def attributes(raw: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield the name, type and value of each attribute of one value."""
    place = 2
    for _ in range(number(raw[:2])):
        size = number(raw[place : place + 2])
        name = wide(raw[place + 2 : place + 2 + size])
        place += 2 + size
        kind, size = number(raw[place : place + 2]), number(raw[place + 2 : place + 4])
        yield name, kind, raw[place + 4 : place + 4 + size]
        place += 4 + size


def library(raw: bytes) -> Iterator[tuple[str, int, bytes]]:
    """Yield the name, type and value of each attribute that may be large or have several values."""
    place = 2
    for _ in range(number(raw[:2])):
        names, kind, size = (number(raw[place + at : place + at + n]) for at, n in ((4, 2), (6, 2), (8, 4)))
        name = wide(raw[place + 12 : place + 12 + names])
        place += 12 + names
        yield name, kind, raw[place : place + size]
        place += size


def objects(file: IO[bytes], end: int) -> Iterator[tuple[bytes, bytes]]:
    """Yield the kind and content of each object that may have tags, up to a limit of bytes."""
    left = LARGEST
    for _ in range(MANY):
        start, head = file.tell(), file.read(24)
        size = number(head[16:])
        if len(head) < 24 or start + 24 > end or size < 24:
            return
        if head[:16] == EXTENSION:  # whose content is further objects, behind 22 bytes
            size = 46
        elif head[:16] in KINDS and size <= left:
            left -= size
            yield head[:16], file.read(size - 24)
        file.seek(start + size)


def read_asf(file: IO[bytes]) -> Found:
    """Return what the tags of an ASF file say. The file is at its beginning."""
    head, found, plain = file.read(30), Found(), Found()
    for kind, raw in sorted(objects(file, number(head[16:24])), key=lambda item: KINDS.index(item[0])):
        with suppress(ValueError):
            if kind == CONTENT:
                content(raw, plain)
                continue
            for name, type_, value in attributes(raw) if kind == EXTENDED_CONTENT else library(raw):
                add(name, type_, value, found)
    # The first author is in a place of its own, and further ones are attributes.
    for key, values in plain.texts.items():
        found.texts[key] = values + found.texts.get(key, [])
    return found

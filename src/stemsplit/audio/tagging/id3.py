"""Reads and makes ID3 tags, which MP3 files begin or end with and other files have in a chunk."""

import io
import re
import zlib
from collections.abc import Iterator
from functools import cache
from typing import IO

from stemsplit.audio.libsndfile import opened
from stemsplit.audio.tagging.pictures import LINK, mime
from stemsplit.audio.tagging.values import (
    FRONT,
    LARGEST,
    LARGEST_PICTURE,
    LARGEST_TEXT,
    LONGEST,
    MANY,
    MOST,
    Found,
    Texts,
    counted,
    text,
)

FRAMES = {
    "title": b"TIT2",
    "artist": b"TPE1",
    "album": b"TALB",
    "albumartist": b"TPE2",
    "tracknumber": b"TRCK",
    "discnumber": b"TPOS",
    "date": b"TDRC",
    "genre": b"TCON",
}
"""Tag -> the ID3 frame that holds it."""

NAMES = {frame: key for key, frame in FRAMES.items()} | {
    b"TT2": "title",
    b"TP1": "artist",
    b"TAL": "album",
    b"TP2": "albumartist",
    b"TRK": "tracknumber",
    b"TPA": "discnumber",
    b"TCO": "genre",
}
"""ID3 frame -> the tag that it holds, but for dates before version 2.4."""

ENCODINGS = {1: "utf-16", 2: "utf-16-be"}
"""Number of an encoding -> Python's name of it, where a character takes two bytes or more."""

SILENT_MP3 = 4 * (b"\xff\xfb\x90\x64" + bytes(413))
"""Four silent frames at 128 kbit/s, the fewest that libsndfile accepts as an MP3."""


@cache
def genre_name(number: int) -> str:
    """Return the name of one of ID3's numbered genres; empty if there is none. libsndfile knows them."""
    tag = b"TAG" + bytes(124) + bytes([min(number, 255)])
    with opened(io.BytesIO(SILENT_MP3 + tag)) as numbered:
        return str(numbered.genre)


def genres(said: str) -> list[str]:
    """Return the names of genres, which old MP3s give as numbers, alone or in parentheses before a name."""
    match = re.fullmatch(r"((?:\(\d{1,3}\))*)(.*)", said, re.S)
    assert match
    numbers, name = re.findall(r"\d+", match[1])[:MOST], match[2]
    if re.fullmatch(r"\d{1,3}", name):
        numbers, name = [*numbers, name], ""
    if name:
        return [name]
    return list(filter(None, (genre_name(int(number)) for number in numbers))) or [said]


def number(raw: bytes) -> int:
    """Return a number of seven bits per byte, as ID3 writes sizes."""
    value = 0
    for byte in raw:
        value = value << 7 | byte & 0x7F
    return value


def synchronised(raw: bytes) -> bytes:
    """Undo the zeros that keep bytes of a tag from looking like the start of audio."""
    return raw.replace(b"\xff\0", b"\xff")


def inflated(raw: bytes) -> bytes:
    """Return the content of a compressed frame, up to the size of the largest picture.

    Raises:
        zlib.error: it is damaged.
    """
    return zlib.decompressobj().decompress(raw, LARGEST_PICTURE + LARGEST_TEXT)


def frame_size(body: bytes, place: int, version: int) -> int:
    """Return the size of the frame at a place in a tag. Some programs write version 2.4 with sizes of version 2.3."""
    raw = body[place + 4 : place + 8]
    if version < 4:
        return int.from_bytes(raw)
    sizes = [number(raw), int.from_bytes(raw)][max(raw, default=0) > 0x7F :]
    for size in sizes:
        after = body[place + 10 + size : place + 14 + size]
        if place + 10 + size == len(body) or re.fullmatch(rb"[A-Z0-9]{4}|\0+", after):
            return size
    return sizes[0]


def content(raw: bytes, flags: int, version: int, plain: bool) -> bytes:
    """Return the content of a frame; empty if it is encrypted.

    Args:
        raw: frame without its head.
        flags: second byte of the frame's flags.
        version: 3 or 4.
        plain: whether the tag has no zeros that keep it from looking like audio.
    """
    if version == 3:
        compressed, encrypted, grouped = flags & 0x80, flags & 0x40, flags & 0x20
        raw = raw[bool(grouped) + 4 * bool(compressed) :]
    else:
        compressed, encrypted, grouped = flags & 0x08, flags & 0x04, flags & 0x40
        raw = raw[bool(grouped) + 4 * (flags & 1) :]
        if flags & 2 or not plain:
            raw = synchronised(raw)
    if encrypted:
        return b""
    try:
        return inflated(raw) if compressed else raw
    except zlib.error:
        return b""


def frames(body: bytes, version: int, plain: bool) -> Iterator[tuple[bytes, bytes]]:
    """Yield the name and content of each frame of a tag."""
    place, wide = 0, version > 2
    name_size, head = (4, 10) if wide else (3, 6)
    for _ in range(MANY):
        if place + head >= len(body) or not body[place]:
            return
        name = body[place : place + name_size]
        size = frame_size(body, place, version) if wide else int.from_bytes(body[place + 3 : place + 6])
        raw = body[place + head : place + head + size]
        if len(raw) < size:
            return
        flags = body[place + 9] if wide else 0
        if name in NAMES or name in (b"APIC", b"PIC", b"TYER", b"TYE", b"TDAT", b"TDA"):
            yield name, content(raw, flags, version, plain) if wide else raw
        place += head + size


def values(raw: bytes) -> list[str]:
    """Return the texts of a text frame."""
    if not raw or len(raw) > LARGEST_TEXT:
        return []
    if coding := ENCODINGS.get(raw[0]):
        return [part.strip("\ufeff") for part in raw[1:].decode(coding, "replace").split("\0", MOST)[:MOST]]
    return [text(part) for part in raw[1:].split(b"\0", MOST)[:MOST]] if raw[0] in (0, 3) else []


def read_picture(raw: bytes, name: bytes, found: Found) -> None:
    """Offer the picture of a picture frame."""
    coding, rest = raw[:1], raw[1:]
    if name == b"PIC":
        kind, rest = rest[:3], rest[3:]
    else:
        kind, _, rest = rest.partition(b"\0")
    number, rest = rest[:1], rest[1:]
    if coding in (b"\1", b"\2"):  # the description's end is a zero of two bytes
        places = range(0, min(len(rest) - 1, LARGEST_TEXT), 2)
        end = next((place for place in places if rest[place : place + 2] == b"\0\0"), len(rest))
        rest = rest[end + 2 :]
    else:
        rest = rest.partition(b"\0")[2]
    if kind != LINK.encode():
        found.offer(number[0] if number else 0, len(rest), lambda: rest)


def read_id3(file: IO[bytes]) -> Found:
    """Return what the ID3 tag at a file's position says. The file is then behind the tag, or where it was."""
    found, start = Found(), file.tell()
    head = file.read(10)
    if len(head) < 10 or head[:3] != b"ID3" or not 2 <= head[3] <= 4:
        file.seek(start)
        return found
    version, flags, size = head[3], head[5], number(head[6:])
    end = start + 10 + size + (10 if flags & 0x10 and version == 4 else 0)
    body = file.read(size) if size <= LARGEST else b""
    file.seek(end)
    plain = not flags & 0x80
    if version < 4 and not plain:
        body, plain = synchronised(body), True
    if flags & 0x40:
        if version == 2:  # compressed, in a way that nobody ever defined
            return found
        body = body[number(body[:4]) :] if version == 4 else body[4 + int.from_bytes(body[:4]) :]
    dates: dict[bytes, list[str]] = {}
    for name, raw in frames(body, version, plain):
        if name in (b"APIC", b"PIC"):
            read_picture(raw, name, found)
        elif name not in NAMES or name == b"TDRC":
            dates[name] = values(raw)
        else:
            for value in values(raw):
                for part in genres(value[:LONGEST]) if NAMES[name] == "genre" else [value]:
                    found.add(NAMES[name], part)
    for date in dated(dates):
        found.add("date", date)
    return found


def dated(dates: dict[bytes, list[str]]) -> list[str]:
    """Return the dates, which versions before 2.4 write as a year, and a day and month of two digits each."""
    said = {name: "".join(texts[:1]).strip() for name, texts in dates.items()}
    if said.get(b"TDRC"):
        return dates[b"TDRC"]
    year, day = (said.get(new) or said.get(old, "") for new, old in ((b"TYER", b"TYE"), (b"TDAT", b"TDA")))
    if re.fullmatch(r"\d{4}", year) and re.fullmatch(r"\d{4}", day):
        year = f"{year}-{day[2:]}-{day[:2]}"
    return [year] if year else []


def read_oldest(tag: bytes) -> Found:
    """Return what a tag of 128 bytes at the end of an MP3 says."""
    found = Found()
    places = {"title": (3, 33), "artist": (33, 63), "album": (63, 93), "date": (93, 97)}
    for key, (start, end) in places.items():
        found.add(key, text(tag[start:end].partition(b"\0")[0]))
    if not tag[125] and tag[126]:
        found.add("tracknumber", str(tag[126]))
    if tag[127] < 255:
        found.add("genre", genre_name(tag[127]))
    return found


def size(number: int) -> bytes:
    """Return a number as ID3 writes sizes: seven bits per byte, so that no byte looks like the start of audio."""
    return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))


def id3(tags: Texts, picture: bytes = b"") -> bytes:
    """Return an ID3v2.4 tag in UTF-8; empty if there are no tags and no picture."""
    contents = {FRAMES[key]: b"\3" + "\0".join(texts).encode() for key, texts in counted(tags).items() if key in FRAMES}
    if picture:
        contents[b"APIC"] = b"\0" + mime(picture).encode() + b"\0" + bytes([FRONT]) + b"\0" + picture
    frames = b"".join(name + size(len(raw)) + bytes(2) + raw for name, raw in contents.items())
    return b"ID3\4\0\0" + size(len(frames)) + frames if frames else b""

"""Reads and writes the tags of MP4 files (m4a, mp4, mov), which are in the atom moov.udta.meta.ilst."""

import re
from collections.abc import Iterator
from typing import IO

from stemsplit.audio.tagging.id3 import genre_name
from stemsplit.audio.tagging.pictures import mime
from stemsplit.audio.tagging.values import FRONT, LARGEST_TEXT, MANY, Found, Texts, counted, text

ITEMS = {
    b"\xa9nam": "title",
    b"\xa9ART": "artist",
    b"\xa9alb": "album",
    b"aART": "albumartist",
    b"\xa9day": "date",
    b"\xa9gen": "genre",
    b"trkn": "tracknumber",
    b"disk": "discnumber",
}
"""Name of an atom -> the tag."""

UTF_8, PICTURES = 1, {"image/jpeg": 13, "image/png": 14, "image/bmp": 27}
"""Kinds of values: text, and the types of pictures that there can be."""


def atoms(file: IO[bytes], end: int) -> Iterator[tuple[bytes, int]]:
    """Yield the name and end of each atom from the file's position on. The file is then at the atom's content."""
    for _ in range(MANY):
        start, head = file.tell(), file.read(8)
        if start + 8 > end or len(head) < 8:
            return
        size = int.from_bytes(head[:4])
        if size == 1:
            size = int.from_bytes(file.read(8))
        stop = start + size if size else end
        if stop < file.tell() or stop > end:
            return
        yield head[4:], stop
        file.seek(stop)


def inside(file: IO[bytes], end: int, *names: bytes) -> int:
    """Go to the content of an atom in atoms, and return its end; 0 if there is none."""
    for wanted in names:
        for name, stop in atoms(file, end):
            if name == wanted:
                end = stop
                break
        else:
            return 0
        if wanted == b"meta":  # which has a version before its atoms, except in QuickTime's files
            start = file.tell()
            if file.read(8)[4:] != b"hdlr":
                start += 4
            file.seek(start)
    return end


def pair(raw: bytes) -> str:
    """Return a number and a total, as in 3/12; the number alone if the total is not known."""
    number, total = int.from_bytes(raw[2:4]), int.from_bytes(raw[4:6])
    return (f"{number}/{total}" if total else str(number)) if number or total else ""


def read_mp4(file: IO[bytes]) -> Found:
    """Return what the tags of an MP4 file say."""
    found = Found()
    end = file.seek(0, 2)
    file.seek(0)
    end = inside(file, end, b"moov", b"udta", b"meta", b"ilst")
    for name, stop in atoms(file, end):
        for part, part_end in atoms(file, stop) if name in ITEMS or name in (b"covr", b"gnre") else ():
            start = file.tell() + 8  # behind the type of the data and a language
            size = part_end - start
            if part != b"data" or size < 0:
                continue
            file.seek(start)
            if name == b"covr":
                # The first of several is the front.
                found.offer(0 if found.rank < 256 else FRONT, size, lambda size=size: file.read(size))  # type: ignore[misc]
            elif size > LARGEST_TEXT:
                continue
            elif name == b"gnre":
                number = int.from_bytes(file.read(2))
                if 0 < number < 256 and "genre" not in found.texts:
                    found.add("genre", genre_name(number - 1))
            else:
                raw = file.read(size)
                found.add(ITEMS[name], pair(raw) if name in (b"trkn", b"disk") else text(raw))
    return found


def atom(name: bytes, content: bytes) -> bytes:
    """Return an atom."""
    return (8 + len(content)).to_bytes(4) + name + content


def data(kind: int, content: bytes) -> bytes:
    """Return the atom that holds a value; its kind says what the bytes are."""
    return atom(b"data", kind.to_bytes(4) + bytes(4) + content)


def numbered(value: str) -> bytes:
    """Return a number and a total as `pair` reads them; empty if they are not numbers."""
    match = re.fullmatch(r"\s*(\d{1,4})\s*(?:/\s*(\d{1,4})\s*)?", value)
    return bytes(2) + b"".join(int(each or 0).to_bytes(2) for each in match.groups()) if match else b""


def tags_atom(tags: Texts, picture: bytes) -> bytes:
    """Return the atom `meta` with tags and cover art, which goes into `udta`; empty if there is nothing to say."""
    items = []
    for name, key in ITEMS.items():
        values = counted(tags).get(key, ())
        if name in (b"trkn", b"disk"):
            pairs = [numbered(value) + bytes(2 if name == b"trkn" else 0) for value in values[:1] if numbered(value)]
            items += [atom(name, data(0, each)) for each in pairs]
        elif values:
            items.append(atom(name, b"".join(data(UTF_8, value.encode()) for value in values)))
    if kind := PICTURES.get(mime(picture)):
        items.append(atom(b"covr", data(kind, picture)))
    if not items:
        return b""
    handler = atom(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    return atom(b"meta", bytes(4) + handler + atom(b"ilst", b"".join(items)))


def write_mp4(file: IO[bytes], tags: Texts, picture: bytes) -> None:
    """Write tags in place of those of an MP4 file whose last atom is `moov`, as ffmpeg leaves it.

    Raises:
        OSError: another atom is the last.
    """
    if not (made := tags_atom(tags, picture)):
        return
    made = atom(b"udta", made)
    end = file.seek(0, 2)
    file.seek(0)
    for name, stop in atoms(file, end):
        start = file.tell() - 8
        if name == b"moov" and stop == end:
            break
    else:
        raise OSError("its tags cannot be written, as its index is not at its end")
    parts = b""
    for name, stop in atoms(file, end):
        if name != b"udta":
            parts += atom(name, file.read(stop - file.tell()))
    # An atom that players skip takes the room of what is shorter than before.
    spare = end - start - len(atom(b"moov", parts + made))
    file.seek(start)
    file.write(atom(b"moov", parts + made + (atom(b"free", bytes(max(spare - 8, 0))) if spare > 0 else b"")))

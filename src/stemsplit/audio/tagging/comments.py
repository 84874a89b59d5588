"""Reads and makes Vorbis comments, which FLAC and all Ogg files have."""

import base64
from collections.abc import Mapping
from contextlib import suppress

from stemsplit.audio.tagging.pictures import block, read_block
from stemsplit.audio.tagging.values import LARGEST_TEXT, MANY, Found, Texts, cleaned, text

NAMES = {key.upper(): key for key in ("title", "artist", "album", "albumartist", "tracknumber", "tracktotal")} | {
    "DISCNUMBER": "discnumber",
    "DISCTOTAL": "disctotal",
    "DATE": "date",
    "GENRE": "genre",
    "ALBUM ARTIST": "albumartist",
    "ALBUM_ARTIST": "albumartist",
    "TOTALTRACKS": "tracktotal",
    "TOTALDISCS": "disctotal",
    "YEAR": "date",
    "TRACK": "tracknumber",
    "DISC": "discnumber",
}
"""Name of a comment -> the tag; the usual name of each comes first."""

PICTURE = "METADATA_BLOCK_PICTURE"


def split(packet: bytes) -> tuple[bytes, list[bytes]]:
    """Return who wrote a list of comments, and the comments; what is cut off is left out."""
    place = 0
    parts: list[bytes] = []

    def part() -> bytes | None:
        nonlocal place
        size = int.from_bytes(packet[place : place + 4], "little")
        if place + 4 + size > len(packet) or place + 4 > len(packet):
            return None
        place += 4 + size
        return packet[place - size : place]

    vendor = part()
    count = int.from_bytes(packet[place : place + 4], "little")
    place += 4
    while vendor is not None and len(parts) < min(count, MANY) and (comment := part()) is not None:
        parts.append(comment)
    return vendor or b"", parts


def read_comments(packet: bytes, found: Found) -> None:
    """Add what a list of comments says."""
    others: dict[str, list[str]] = {}
    for comment in split(packet)[1]:
        head, _, value = comment.partition(b"=")
        name = text(head[:100]).upper()
        if name == PICTURE:
            with suppress(ValueError):
                read_block(base64.b64decode(value), found)
        elif name == "COVERART":  # an older way
            with suppress(ValueError):
                picture = base64.b64decode(value)
                found.offer(0, len(picture), lambda picture=picture: picture)  # type: ignore[misc]
        elif (key := NAMES.get(name)) and len(value) <= LARGEST_TEXT:
            if name.lower() == key:
                found.add(key, text(value))
            else:
                others.setdefault(key, []).append(text(value))
    said = cleaned(found.texts)
    found.texts |= {key: values for key, values in others.items() if key not in said}
    for kind in ("track", "disc"):
        if any("/" in number for number in found.texts.get(f"{kind}number", ())):
            found.texts.pop(f"{kind}total", None)


def totals(tags: Texts) -> Mapping[str, tuple[str, ...]]:
    """Return the tags with the total also in a tag of its own where it stands behind the number, as in 3/12."""
    found = dict(tags)
    for kind in ("track", "disc"):
        _, _, total = "".join(found.get(f"{kind}number", ())[:1]).partition("/")
        if total.strip().isdecimal():
            found.setdefault(f"{kind}total", (total.strip(),))
    return found


def with_comments(packet: bytes, tags: Texts, picture: bytes = b"") -> bytes:
    """Return a list of comments with other tags; who wrote it stays, as do comments that are not tags of ours.

    Args:
        packet: list of comments.
        tags: tags, each with its values.
        picture: cover art that goes among the comments, as in Ogg files.
    """
    vendor, before = split(packet)
    comments = [comment for comment in before if text(comment.partition(b"=")[0]).upper() not in (*NAMES, PICTURE)]
    comments += [f"{key.upper()}={value}".encode() for key, values in totals(tags).items() for value in values]
    if picture:
        comments.append(PICTURE.encode() + b"=" + base64.b64encode(block(picture)))
    parts = [len(comment).to_bytes(4, "little") + comment for comment in (vendor, *comments)]
    return parts[0] + len(comments).to_bytes(4, "little") + b"".join(parts[1:])

"""Reads and makes the block that holds a picture in FLAC and Ogg files, and tells pictures' types."""

from stemsplit.audio.tagging.values import FRONT, Found

TYPES = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png", b"GIF8": "image/gif", b"BM": "image/bmp"}
"""How a picture begins -> its type."""

LINK = "-->"
"""Stands in place of a picture's type where only its address is given."""


def mime(picture: bytes) -> str:
    """Return the type of a picture, from its first bytes; `image/` if it is not known."""
    if picture[:4] == b"RIFF" and picture[8:12] == b"WEBP":
        return "image/webp"
    return next((name for start, name in TYPES.items() if picture.startswith(start)), "image/")


def read_block(block: bytes, found: Found) -> None:
    """Offer the picture of a FLAC picture block.

    Raises:
        ValueError: the block is damaged.
    """
    place = 4
    parts = []
    for _ in range(2):  # type and description
        size = int.from_bytes(block[place : place + 4])
        parts.append(block[place + 4 : place + 4 + size])
        place += 4 + size
    size = int.from_bytes(block[place + 16 : place + 20])
    start = place + 20
    if size > len(block) - start:
        raise ValueError("a picture is cut off")
    if parts[0] != LINK.encode():
        found.offer(int.from_bytes(block[:4]), size, lambda: block[start : start + size])


def block(picture: bytes) -> bytes:
    """Return a FLAC picture block with a front cover. Its width, height and colours are zero: not told."""
    name = mime(picture).encode()
    sizes = [FRONT, len(name)]
    head = b"".join(number.to_bytes(4) for number in sizes) + name
    return head + bytes(4) + bytes(16) + len(picture).to_bytes(4) + picture

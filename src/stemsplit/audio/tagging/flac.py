"""Reads and writes the tags of FLAC files: blocks before the first frame."""

from collections.abc import Iterator
from contextlib import suppress
from typing import IO

from stemsplit.audio.tagging.comments import read_comments, with_comments
from stemsplit.audio.tagging.moving import replace_head
from stemsplit.audio.tagging.pictures import block, read_block
from stemsplit.audio.tagging.values import LARGEST, MANY, Found, Texts

COMMENTS, PADDING, PICTURE = 4, 1, 6
"""Kinds of blocks."""

LAST = 0x80
"""Marks the last block."""


def blocks(file: IO[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the kind and size of each block from the file's position on. The file is then at the block's content."""
    for _ in range(MANY):
        head = file.read(4)
        if len(head) < 4:
            return
        content, size = file.tell(), int.from_bytes(head[1:])
        yield head[0] & ~LAST, size
        file.seek(content + size)
        if head[0] & LAST:
            return


def read_flac(file: IO[bytes]) -> Found:
    """Return what the tags of a FLAC file say. The file is behind its first four bytes."""
    found, left = Found(), LARGEST
    for kind, size in blocks(file):
        if kind not in (COMMENTS, PICTURE) or size > left:
            continue
        left -= size
        if kind == COMMENTS:
            read_comments(file.read(size), found)
        else:
            with suppress(ValueError):
                read_block(file.read(size), found)
    return found


def write_flac(file: IO[bytes], tags: Texts, picture: bytes) -> None:
    """Write tags into a FLAC file that has a block of comments, as all encoders leave it there."""
    file.seek(4)
    found: list[tuple[int, bytes]] = []
    for kind, size in blocks(file):
        content = file.read(size)
        if kind != PADDING:
            found.append((kind, with_comments(content, tags) if kind == COMMENTS else content))
    replaced = file.tell()
    if picture:
        found.append((PICTURE, block(picture)))
    # Padding takes the room of what is shorter than before.
    spare = replaced - 4 - sum(4 + len(content) for _, content in found)
    if spare > 0:
        found.append((PADDING, bytes(max(spare - 4, 0))))
    parts = [bytes([kind]) + len(content).to_bytes(3) + content for kind, content in found]
    parts[-1] = bytes([parts[-1][0] | LAST]) + parts[-1][1:]
    replace_head(file, b"fLaC" + b"".join(parts), replaced)

"""Reads and changes the chunks of WAV and AIFF files, where libsndfile does not."""

from collections.abc import Iterator
from typing import IO, Literal

Order = Literal["little", "big"]
KINDS: dict[bytes, Order] = {b"RIFF": "little", b"RF64": "little", b"FORM": "big"}


def walk(file: IO[bytes], order: Order) -> Iterator[tuple[bytes, int]]:
    """Yield the name and size of each chunk from the file's position on. The file is then at the chunk's content."""
    # A name of zeros is padding. If a size is all ones, the size is stored in a chunk before it, see EBU Tech 3306.
    large = 0
    while len(head := file.read(8)) == 8 and head[:4] != bytes(4):
        size, content = int.from_bytes(head[4:], order), file.tell()
        if head[:4] == b"ds64":
            large = int.from_bytes(file.read(16)[8:], order)
            file.seek(content)
        elif size == 0xFFFF_FFFF:
            if not large:
                return
            size = large
        yield head[:4], size
        file.seek(content + size + size % 2)


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield the name and size of each chunk of a WAV or AIFF file, as `walk` does; nothing for other files."""
    order = KINDS.get(file.read(12)[:4])
    if order is not None:
        yield from walk(file, order)


def append_chunk(file: IO[bytes], name: bytes, content: bytes) -> None:
    """Append a chunk to a finished RIFF, RF64 or AIFF file.

    Args:
        file: the file, open for reading and writing.
        name: four letters, which stand before the size of the content.
        content: what the chunk holds.
    """
    file.seek(0)
    kind = file.read(4)
    end = file.seek(0, 2)
    padded = content + bytes(len(content) % 2)
    file.write(bytes(end % 2) + name + len(content).to_bytes(4, KINDS[kind]) + padded)
    size = file.tell() - 8
    wide = kind == b"RF64"  # whose sizes are in the chunk that comes first
    file.seek(20 if wide else 4)
    file.write(size.to_bytes(8 if wide else 4, KINDS[kind]))


def forget_time(file: IO[bytes]) -> None:
    """Set the time in a float WAV's, or AIFF's, PEAK chunk to zero, so that the same samples give the same bytes."""
    file.seek(0)
    for name, _ in chunks(file):
        if name == b"PEAK":
            file.seek(4, 1)  # the version
            file.write(bytes(4))
        if name in (b"PEAK", b"data", b"SSND"):
            return

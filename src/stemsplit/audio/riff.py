"""The chunks of WAV and AIFF files, as far as libsndfile leaves them to us."""

from collections.abc import Iterator
from typing import IO, Literal

Order = Literal["little", "big"]
KINDS: dict[bytes, Order] = {b"RIFF": "little", b"RF64": "little", b"FORM": "big"}


def walk(file: IO[bytes], order: Order) -> Iterator[tuple[bytes, int]]:
    """Name and size of one chunk after the other, from where the file stands; then it stands at the chunk's content."""
    # A size of all ones stands for one that is written elsewhere; a name of zeros is no chunk.
    while len(head := file.read(8)) == 8 and head[:4] != bytes(4) and head[4:] != b"\xff" * 4:
        size, content = int.from_bytes(head[4:], order), file.tell()
        yield head[:4], size
        file.seek(content + size + size % 2)


def chunks(file: IO[bytes]) -> Iterator[tuple[bytes, int]]:
    """Name and size of each chunk of a WAV or AIFF file, which then stands at its content; none of any other file."""
    order = KINDS.get(file.read(12)[:4])
    if order is not None:
        yield from walk(file, order)


def forget_time(file: IO[bytes]) -> None:
    """Take the time of writing out of a float WAV's PEAK chunk, so that the same samples give the same bytes."""
    file.seek(0)
    for name, _ in chunks(file):
        if name == b"PEAK":
            file.seek(4, 1)  # the version
            file.write(bytes(4))
        if name in (b"PEAK", b"data"):
            return

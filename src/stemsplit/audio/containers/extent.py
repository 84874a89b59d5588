"""Defines where the sound lies in a file that holds it as one block, with its size before it."""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal

from stemsplit.audio.containers.spliced import Spliced

Order = Literal["little", "big"]


@dataclass(frozen=True, slots=True)
class Field:
    """A number in a header that depends on the size of the sound: `size // per + plus`.

    Args:
        offset: offset of the number in the header.
        width: bytes of the number, which become all ones if they are too few.
        order: their order.
        plus: what is added to the size.
        per: what the size is divided by.
    """

    offset: int
    width: int
    order: Order
    plus: int = 0
    per: int = 1

    def put(self, header: bytearray, size: int) -> None:
        """Put the number into a header."""
        value = min(size // self.per + self.plus, (1 << 8 * self.width) - 1)
        header[self.offset : self.offset + self.width] = value.to_bytes(self.width, self.order)


@dataclass
class Extent:
    """Where the sound lies in a file.

    Args:
        begin: offset of its first byte.
        promised: its size in bytes by the header; None if the header leaves it open.
        header: bytes to read before the sound instead of the file's own; empty to keep those.
        fields: where that header holds the size.
        size: its size in bytes as it should be read.
        cut: how much of it is missing; empty if all is there.
        warning: what people should know of its end; empty if that is as it should be.
        mended: whether the file has to be read with that header, and to the end of the sound only.
    """

    begin: int
    promised: int | None
    header: bytes = b""
    fields: tuple[Field, ...] = ()
    size: int = 0
    cut: str = ""
    warning: str = ""
    mended: bool = False

    def open(self, path: Path) -> IO[bytes]:
        """Return the file as one whose header is right and that ends with its sound."""
        header = bytearray(self.header)
        for field in self.fields:
            field.put(header, self.size)
        before = bytes(header) if header else (0, self.begin)
        return io.BufferedReader(Spliced(path, [before, (self.begin, self.begin + self.size)]), 1 << 17)

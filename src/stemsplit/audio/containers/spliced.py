"""Presents parts of a file, and bytes before them, as if they were one file."""

import io
from collections.abc import Sequence
from pathlib import Path


class Spliced(io.RawIOBase):
    """A read-only file made of bytes and of stretches of another file, one after the other.

    A header that says something else than the file's own can so be read without writing to the file.

    Args:
        path: the other file.
        pieces: bytes as they are, and stretches (start, end) of the other file.

    Attributes:
        failure: first error of reading the other file; after it, the file seems to end. Callers from C cannot be told
            otherwise.
    """

    def __init__(self, path: Path, pieces: Sequence[bytes | tuple[int, int]]) -> None:
        self.file = path.open("rb")
        self.failure: OSError | None = None
        self.pieces: list[tuple[int, int, bytes | int]] = []
        self.size = self.place = 0
        for piece in pieces:
            length = len(piece) if isinstance(piece, bytes) else piece[1] - piece[0]
            self.pieces.append((self.size, self.size + length, piece if isinstance(piece, bytes) else piece[0]))
            self.size += length

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True

    def tell(self) -> int:
        """Return the position."""
        return self.place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move to a position, which may be beyond the end."""
        self.place = max(0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self.place, io.SEEK_END: self.size}[whence])
        return self.place

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]  # of any buffer
        """Read into a buffer, at most to the end of a piece."""
        for start, end, what in self.pieces:
            if start <= self.place < end:
                data = self._read(what, self.place - start, min(len(buffer), end - self.place))
                buffer[: len(data)] = data
                self.place += len(data)
                return len(data)
        return 0

    def _read(self, what: bytes | int, offset: int, length: int) -> bytes:
        """Return some bytes of a piece."""
        if isinstance(what, bytes):
            return what[offset : offset + length]
        try:
            self.file.seek(what + offset)
            return self.file.read(length)
        except OSError as error:
            self.failure = self.failure or error
            return b""

    def close(self) -> None:
        """Close both files."""
        self.file.close()
        super().close()

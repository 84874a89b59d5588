"""Replaces the beginning of a file by one of another length, in place."""

from typing import IO

BLOCK = 1 << 20
"""Bytes that are moved at once."""


def move(file: IO[bytes], start: int, end: int, by: int) -> None:
    """Move one block of a file."""
    file.seek(start)
    block = file.read(end - start)
    file.seek(start + by)
    file.write(block)


def replace_head(file: IO[bytes], head: bytes, replaced: int = 0) -> None:
    """Put bytes in place of a file's beginning.

    Args:
        file: file that can be read and written.
        head: new beginning.
        replaced: length of the old beginning, in bytes.
    """
    end, by = file.seek(0, 2), len(head) - replaced
    starts = range(replaced, end, BLOCK)
    # Away from what is still to be moved: from the last block on if the file grows.
    for start in (reversed(starts) if by > 0 else starts) if by else ():
        move(file, start, min(start + BLOCK, end), by)
    file.truncate(end + by)
    file.seek(0)
    file.write(head)

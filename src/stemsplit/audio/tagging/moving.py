"""Replaces the beginning of a file by a longer one, in place."""

from typing import IO

BLOCK = 1 << 20
"""Bytes that are moved at once."""


def replace_head(file: IO[bytes], head: bytes, replaced: int = 0) -> None:
    """Put bytes in place of a file's beginning.

    Args:
        file: file that can be read and written.
        head: new beginning, no shorter than the old one.
        replaced: length of the old beginning, in bytes.
    """
    end, by = file.seek(0, 2), len(head) - replaced
    assert by >= 0, "nothing of a file moves down"
    # From the last block on: nothing is written over what is still to be moved.
    for start in reversed(range(replaced, end if by else replaced, BLOCK)):
        file.seek(start)
        block = file.read(min(BLOCK, end - start))
        file.seek(start + by)
        file.write(block)
    file.seek(0)
    file.write(head)

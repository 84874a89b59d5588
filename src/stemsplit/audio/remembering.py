"""Remembers what a look through a whole file found, until the file changes: whoever listens to it jumps in it often."""

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FILES = 64
"""Files of which is remembered what was found."""

SETTLED_SECONDS = 2.0
"""Age from which a file is trusted to be told apart from a later one: the clocks of some disks tick so slowly."""


def until_changed(look: Callable[[Path], T]) -> Callable[[Path], T]:
    """Return a function that looks through each file once, and again when it was changed.

    Args:
        look: looks through a file. What it returns is shared, and may not be changed; what it raises is not remembered.
    """

    @lru_cache(FILES)
    def looked(path: Path, _size: int, _changed: int, _number: int) -> T:
        return look(path)

    def remembered(path: Path) -> T:
        found = path.stat()
        if time.time() - found.st_mtime < SETTLED_SECONDS:
            return look(path)
        return looked(path.absolute(), found.st_size, found.st_mtime_ns, found.st_ino)

    return remembered

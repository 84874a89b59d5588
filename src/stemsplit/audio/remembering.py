"""Remembers what was found by reading a whole file, until the file changes: listening seeks in it often."""

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

FILES = 64
"""Number of files whose findings are remembered."""

SETTLED_SECONDS = 2.0
"""Age in seconds from which a file's time tells it from a later version: the clocks of some disks tick that slowly."""


def until_changed(look: Callable[[Path], T]) -> Callable[[Path], T]:
    """Return a function that looks through each file once, and again when it has changed.

    Args:
        look: looks through a file. What it returns is shared, so must not be changed; what it raises is not kept.
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

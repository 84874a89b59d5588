"""Checks free space before files are written."""

import errno
import os
import shutil
from pathlib import Path

from stemsplit.errors import AudioError


def existing_ancestor(path: Path) -> Path:
    """Return the path itself if it exists, or else the nearest folder above it that does."""
    # os.path.exists: Path.exists raises for a path in a folder that may not be entered.
    while not os.path.exists(path) and path != path.parent:  # noqa: PTH110
        path = path.parent
    return path


def free_space(folder: Path) -> int | None:
    """Return the bytes that are free on the disk of a folder, which need not exist yet; None if that is unknown."""
    try:
        return shutil.disk_usage(existing_ancestor(folder)).free
    except OSError:
        return None


def too_little(folder: Path, needed: float, free: float) -> str:
    """Return the message for a disk that has too little space."""
    there = f"{free / 1e6:,.0f} MB are free"
    return f"the stems need {needed / 1e6:,.0f} MB in {folder}, where {there}; choose another disk with -o"


def check_space(folder: Path, needed: float) -> None:
    """Check the free space of a disk.

    Args:
        folder: folder on the disk; it need not exist yet.
        needed: bytes.

    Raises:
        AudioError: fewer bytes are free.
    """
    free = free_space(folder)
    if free is not None and needed > free:
        raise AudioError(too_little(folder, needed, free)) from OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

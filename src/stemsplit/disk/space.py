"""Checks free space before files are written."""

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


def check_space(folder: Path, needed: float) -> None:
    """Check the free space of a disk.

    Args:
        folder: folder on the disk; it need not exist yet.
        needed: bytes.

    Raises:
        AudioError: fewer bytes are free.
    """
    free = shutil.disk_usage(existing_ancestor(folder)).free
    if needed > free:
        raise AudioError(f"the stems need {needed / 1e6:,.0f} MB in {folder}, where {free / 1e6:,.0f} MB are free")

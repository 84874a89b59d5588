"""Finds the real paths of many files; what is above them is looked up once."""

import os
import stat
from pathlib import Path


class RealPaths:
    """Finds real paths as `os.path.realpath` does, but each folder's once.

    What happens to a folder meanwhile is not seen: make one for each look at a tree.
    """

    def __init__(self) -> None:
        self.folders: dict[str, str] = {}

    def folder(self, folder: str) -> str:
        """Return the real path of a folder, which need not exist."""
        if (real := self.folders.get(folder)) is None:
            real = self.folders[folder] = os.path.realpath(folder)
        return real

    def of(self, path: str | Path) -> str:
        """Return the real path of a file, which need not exist."""
        folder, name = os.path.split(path)
        if name in ("", os.curdir, os.pardir) or os.name == "nt":
            return os.path.realpath(path)
        try:
            if stat.S_ISLNK(os.lstat(path).st_mode):
                return os.path.realpath(path)
        except (OSError, ValueError):
            return os.path.realpath(path)
        return os.path.join(self.folder(folder), name)  # noqa: PTH118  # as realpath gives them

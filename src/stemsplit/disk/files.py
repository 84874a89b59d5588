"""Reads files within limits; moves and removes files, and opens stemsplit's own, without following links."""

import errno
import os
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path, PurePath
from typing import IO

from stemsplit.disk.folder import EVERYWHERE, Folder, is_link, read_at_most, refuse_irregular

TEXT_LIMIT = 16_000_000
"""Largest size in bytes of a text that a person or this program wrote: a registry, a config, a record."""


def open_regular(path: Path) -> BufferedReader:
    """Open a regular file for reading. Links are followed, because the user named the path.

    Raises:
        OSError: it cannot be read, or is a device, a pipe or a folder.
    """
    descriptor = os.open(path, os.O_RDONLY | EVERYWHERE)
    try:
        refuse_irregular(descriptor, path)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def read(path: Path, limit: int = TEXT_LIMIT) -> bytes:
    """Read a regular file.

    Raises:
        OSError: it cannot be read, or has more than `limit` bytes.
    """
    with open_regular(path) as file:
        return read_at_most(file, limit, path)


def read_text(path: Path, limit: int = TEXT_LIMIT) -> str:
    """Read the text of a regular file in UTF-8.

    Raises:
        OSError: it cannot be read, or has more than `limit` bytes.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read(path, limit).decode("utf-8")


def move(source: Path, target: Path) -> None:
    """Move a file to another name on the same file system. An older file or link of that name is replaced.

    Raises:
        OSError: it cannot be moved.
    """
    with Folder(source.parent) as old, Folder(target.parent) as new:
        old.move(source.name, new, target.name)
        new.sync()


def remove(path: Path) -> int | None:
    """Remove a file or a link.

    Returns:
        Size in bytes; None if there was no file.

    Raises:
        OSError: it cannot be removed.
    """
    try:
        size = path.lstat().st_size
        path.unlink()
    except FileNotFoundError:
        return None
    return size


def remove_empty_folder(path: Path) -> None:
    """Remove a folder if it is empty."""
    with suppress(OSError):
        path.rmdir()


def open_own(path: Path, append: bool) -> IO[bytes]:
    """Open a file of stemsplit's own for writing; create it if it does not exist.

    Args:
        path: file to open.
        append: whether to keep its content and write behind it.

    Raises:
        OSError: it cannot be opened. Or it is a link, not a regular file, or has more names, so that stemsplit cannot
            have made it and writing could change a file elsewhere.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0)
    with Folder(path.parent) as folder:
        if folder.has(path.name) and is_link(folder.stat(path.name)):
            raise foreign(path)
        descriptor = folder.open(path.name, flags)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise foreign(path)
        if not append:
            os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, "ab" if append else "wb")
    except BaseException:
        os.close(descriptor)
        raise


def foreign(path: Path) -> OSError:
    """Return the error for something of the name of stemsplit's own file that stemsplit did not make."""
    return FileExistsError(errno.EEXIST, "it was not made by stemsplit; move it away", str(path))


def size_of_own(path: Path) -> int:
    """Return the size in bytes of a file of stemsplit's own; 0 if there is none.

    Raises:
        OSError: stemsplit cannot have made it (see `open_own`).
    """
    try:
        status = path.lstat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
        raise foreign(path)
    return status.st_size


def make_below(root: Path, relative: PurePath) -> Path:
    """Make a folder below one of stemsplit's own, and that one too if it does not exist.

    Args:
        root: folder of stemsplit's own.
        relative: path of the new folder, relative to `root`.

    Raises:
        OSError: it cannot be made, or a step below `root` is a link.
    """
    root.mkdir(parents=True, exist_ok=True)
    with Folder(root) as top:
        top.descend(relative, make=True).close()
    return root / relative


def names_below(root: Path, relative: PurePath) -> list[str]:
    """Return the names in a folder below one of stemsplit's own; none if there is no such folder.

    Raises:
        OSError: it cannot be read, or a step below `root` is a link.
    """
    try:
        with Folder(root) as top, top.descend(relative) as folder:
            return folder.names()
    except FileNotFoundError:
        return []


def remove_below(root: Path, relative: PurePath) -> int | None:
    """Remove a file or a link below a folder of stemsplit's own.

    Returns:
        Size in bytes; None if there was no file.

    Raises:
        OSError: it cannot be removed, or a step on the way to it is a link.
    """
    try:
        with Folder(root) as top, top.descend(relative.parent) as folder:
            size = folder.stat(relative.name).st_size
            folder.remove(relative.name)
    except FileNotFoundError:
        return None
    return size


def size_of(path: Path) -> int | None:
    """Return the size in bytes of a regular file; None for anything else, a link included."""
    try:
        status = path.lstat()
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None

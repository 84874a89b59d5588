"""Reads files within limits, replaces them whole or not at all, moves and removes them without following links."""

import errno
import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path, PurePath
from typing import IO, Any

from stemsplit.disk.folder import EVERYWHERE, Folder, flush, is_link, read_at_most, refuse_irregular
from stemsplit.disk.lock import is_there, try_lock
from stemsplit.disk.owner import is_local, machine

TEXT_LIMIT = 16_000_000
"""Largest size in bytes of a text that a person or this program wrote: a registry, a config, a record."""

DAY = 86_400.0
"""Seconds of a day."""

TRIES = 100
"""Attempts to take a name that other processes take and release again and again."""


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


def _shortened(name: str) -> str:
    """Return the beginning of a name, so that a suffix still fits."""
    return os.fsdecode(os.fsencode(name)[:100])


def _drop_abandoned(folder: Folder, beginning: str, now: float) -> None:
    """Remove the unfinished files of killed processes: no process holds their locks.

    The locks of two machines may not know of each other. So another machine's file stays for a day, by the clock of the
    disk's machine.

    Args:
        folder: folder of the files.
        beginning: beginning of their names.
        now: time at which a file was changed just now, in seconds.
    """
    pattern = re.compile(rf"{re.escape(beginning)}(?P<machine>[0-9a-f]{{8}})?[0-9a-f]{{8}}\.partial")
    for name in folder.names():
        if not (found := pattern.fullmatch(name)):
            continue
        with suppress(OSError):
            descriptor = folder.open(name, os.O_RDWR)
            try:
                status, locked = os.fstat(descriptor), try_lock(descriptor)
                ours = locked is True and (found["machine"] == machine(folder)[:8] or is_local(folder))
                if stat.S_ISREG(status.st_mode) and (ours or (locked is not False and now - status.st_mtime > DAY)):
                    folder.remove(name)
            finally:
                os.close(descriptor)


def _create_locked(folder: Folder, name: str) -> IO[bytes]:
    """Create a file and lock it.

    Raises:
        OSError: it cannot be created.
    """
    for _ in range(TRIES):
        file = folder.create(name)
        try_lock(file.fileno())
        if is_there(file.fileno(), folder, name):
            return file
        file.close()  # before the lock, another process removed it as abandoned
    raise FileNotFoundError(f"{folder.path / name} was removed again and again")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file whole or not at all: it gets its name when the block ends and everything is on the disk.

    Args:
        path: file to write. A link of that name is replaced, not followed.

    Yields:
        A file to write to. It can also be read and sought in.

    Raises:
        OSError: it cannot be written. An older file of that name is kept.
    """
    with Folder(path.parent) as folder, replacing_in(folder, path.name) as file:
        yield file


@contextmanager
def replacing_in(folder: Folder, name: str) -> Iterator[IO[bytes]]:
    """Write a file in an open folder whole or not at all, as `replacing` does."""
    beginning = f".{_shortened(name)}."
    partial = f"{beginning}{machine(folder)[:8]}{os.urandom(4).hex()}.partial"
    with _create_locked(folder, partial) as file:
        try:
            _drop_abandoned(folder, beginning, os.fstat(file.fileno()).st_mtime)
            yield file
            file.flush()
            flush(file.fileno())
            if os.name == "nt":  # where an open file keeps its name
                file.close()
            folder.move(partial, folder, name)
        except BaseException:
            with suppress(OSError):  # closing writes what is buffered, which may fail again
                file.close()
            folder.remove(partial)
            raise
    folder.sync()


def create_once(path: Path, content: bytes) -> None:
    """Make a small file, whole or not at all, unless something of that name exists: the first process wins.

    Raises:
        OSError: it cannot be made; the file system may have no hard links.
    """
    part = path.with_name(f".{_shortened(path.name)}.{os.urandom(4).hex()}")
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            flush(file.fileno())
        with suppress(FileExistsError):
            os.link(part, path)
    finally:
        part.unlink(missing_ok=True)


def move(source: Path, target: Path) -> None:
    """Move a file to another name on the same file system. An older file or link of that name is replaced.

    Raises:
        OSError: it cannot be moved.
    """
    with Folder(source.parent) as old, Folder(target.parent) as new:
        old.move(source.name, new, target.name)
        new.sync()


def link(path: Path, target: str) -> None:
    """Make a symbolic link. An older file of that name is replaced.

    Raises:
        OSError: the file system has no links, or the link cannot be made.
    """
    part = path.with_name(f".{_shortened(path.name)}.{os.urandom(4).hex()}")
    part.symlink_to(target)
    try:
        move(part, path)
    except OSError:
        remove(part)
        raise


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


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")

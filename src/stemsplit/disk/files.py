"""Single files: read within limits, replaced whole or not at all, moved and removed without following links."""

import errno
import hashlib
import json
import os
import re
import shutil
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path, PurePath
from typing import IO, Any

from stemsplit.disk.folder import EVERYWHERE, Folder, is_link, read_at_most, refuse_irregular
from stemsplit.disk.lock import is_there, try_lock
from stemsplit.errors import AudioError

TEXT_LIMIT = 16_000_000
"""Bytes of a text that a person or this program wrote: a registry, a config, a record."""

TRIES = 100
"""After which a name that others take and give up again and again is left to them."""


def open_regular(path: Path) -> BufferedReader:
    """Open a file for reading; the last step may be a link, as it is the user who named it.

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
    """The content of a regular file.

    Raises:
        OSError: it cannot be read, or has more than `limit` bytes.
    """
    with open_regular(path) as file:
        return read_at_most(file, limit, path)


def read_text(path: Path, limit: int = TEXT_LIMIT) -> str:
    """The text of a regular file in UTF-8.

    Raises:
        OSError: it cannot be read, or has more than `limit` bytes.
        UnicodeDecodeError: it is not UTF-8.
    """
    return read(path, limit).decode("utf-8")


def _cut(name: str) -> str:
    """The beginning of a name that leaves room for more in a longer one."""
    return os.fsdecode(os.fsencode(name)[:100])


def _drop_abandoned(folder: Folder, pattern: re.Pattern[str]) -> None:
    """Remove what killed processes left of files that they were writing: nobody has the lock of these."""
    for name in filter(pattern.fullmatch, folder.names()):
        with suppress(OSError):
            descriptor = folder.open(name, os.O_RDWR)
            try:
                if stat.S_ISREG(os.fstat(descriptor).st_mode) and try_lock(descriptor) is True:
                    folder.remove(name)
            finally:
                os.close(descriptor)


def _begin(folder: Folder, name: str) -> IO[bytes]:
    """A new file, locked.

    Raises:
        OSError: it cannot be made.
    """
    for _ in range(TRIES):
        file = folder.create(name)
        try_lock(file.fileno())
        if is_there(file.fileno(), folder, name):
            return file
        file.close()  # taken for an abandoned one before it was locked
    raise FileNotFoundError(f"{folder.path / name} is removed again and again")


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Write a file anew, whole or not at all: it gets its name when the block ends and all is on the disk.

    Args:
        path: of the file. A link of that name is replaced, not followed.

    Yields:
        What to write into; it may be read and moved about in too.

    Raises:
        OSError: it cannot be written; what was there is still there.
    """
    with Folder(path.parent) as folder:
        beginning = f".{_cut(path.name)}."
        _drop_abandoned(folder, re.compile(rf"{re.escape(beginning)}[0-9a-f]{{8}}\.partial"))
        name = f"{beginning}{os.urandom(4).hex()}.partial"
        with _begin(folder, name) as file:
            try:
                yield file
                file.flush()
                os.fsync(file.fileno())
                if os.name == "nt":  # where an open file keeps its name
                    file.close()
                folder.move(name, folder, path.name)
            except BaseException:
                with suppress(OSError):  # what is still to be written fails once more
                    file.close()
                folder.remove(name)
                raise
        folder.sync()


def move(source: Path, target: Path) -> None:
    """Move a file to another name on the same file system, over what is there; a link is replaced, not followed.

    Raises:
        OSError: it cannot be moved.
    """
    with Folder(source.parent) as old, Folder(target.parent) as new:
        old.move(source.name, new, target.name)
        new.sync()


def link(path: Path, target: str) -> None:
    """Make a symbolic link, over a file that is there.

    Raises:
        OSError: the file system has no links, or it cannot be made.
    """
    part = path.with_name(f".{_cut(path.name)}.{os.urandom(4).hex()}")
    part.symlink_to(target)
    try:
        move(part, path)
    except OSError:
        remove(part)
        raise


def remove(path: Path) -> int | None:
    """Remove a file, or a link itself.

    Returns:
        Bytes of the file; None if there was none.

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
    """Remove a folder, if there is nothing in it."""
    with suppress(OSError):
        path.rmdir()


def open_own(path: Path, append: bool) -> IO[bytes]:
    """Open a file of ours for writing: a new one, or one that is there, to append to or to write anew.

    Raises:
        OSError: it cannot be opened; or this program cannot have made it: it is a link, is not a regular file or has
            further names, so that writing into it would change something elsewhere.
    """
    flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else 0)
    with Folder(path.parent) as folder:
        if folder.has(path.name) and is_link(folder.stat(path.name)):
            raise in_the_way(path)
        descriptor = folder.open(path.name, flags)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise in_the_way(path)
        if not append:
            os.ftruncate(descriptor, 0)
        return os.fdopen(descriptor, "ab" if append else "wb")
    except BaseException:
        os.close(descriptor)
        raise


def in_the_way(path: Path) -> OSError:
    """The error to raise where something that is not ours has the name of a file of ours."""
    return FileExistsError(errno.EEXIST, "what lies there was not made by stemsplit; move it away", str(path))


def size_of_own(path: Path) -> int:
    """Bytes of a file of ours; 0 if there is none.

    Raises:
        OSError: this program cannot have made it (see `open_own`).
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return 0
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        raise in_the_way(path)
    return found.st_size


def make_below(root: Path, way: PurePath) -> Path:
    """Make a folder some steps below one of ours, and the one of ours too if need be.

    Raises:
        OSError: it cannot be made, or a step below the root is a link.
    """
    root.mkdir(parents=True, exist_ok=True)
    with Folder(root) as top:
        top.descend(way, make=True).close()
    return root / way


def names_below(root: Path, way: PurePath) -> list[str]:
    """The names in a folder some steps below one of ours; none if there is no such folder.

    Raises:
        OSError: it cannot be read, or a step below the root is a link.
    """
    try:
        with Folder(root) as top, top.descend(way) as folder:
            return folder.names()
    except FileNotFoundError:
        return []


def remove_below(root: Path, way: PurePath) -> int | None:
    """Remove a file some steps below a folder of ours, or a link itself.

    Returns:
        Bytes of the file; None if there was none.

    Raises:
        OSError: it cannot be removed, or a step on the way to it is a link.
    """
    try:
        with Folder(root) as top, top.descend(way.parent) as folder:
            size = folder.stat(way.name).st_size
            folder.remove(way.name)
    except FileNotFoundError:
        return None
    return size


def size_of(path: Path) -> int | None:
    """Bytes of a regular file; None if there is none, or a link."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None


def existing_ancestor(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    # os.path.exists: Path.exists raises where a folder on the way may not be entered.
    while not os.path.exists(path) and path != path.parent:  # noqa: PTH110
        path = path.parent
    return path


def check_space(folder: Path, needed: float) -> None:
    """Raises AudioError if the disk that `folder` is, or will be, on has fewer than `needed` bytes free."""
    free = shutil.disk_usage(existing_ancestor(folder)).free
    if needed > free:
        raise AudioError(f"the stems need {needed / 1e6:,.0f} MB in {folder}, where {free / 1e6:,.0f} MB are free")


BLOCK = 1 << 20
"""Bytes that are read at once."""


def sha256(path: Path, pulse: Callable[[], object] = lambda: None) -> str:
    """Digest of a file, in hexadecimal.

    Args:
        path: a regular file.
        pulse: called before every block; what it raises ends the work.

    Raises:
        OSError: it cannot be read, or is not a regular file.
    """
    digest = hashlib.sha256()
    with open_regular(path) as file:
        while block := file.read(BLOCK):
            pulse()
            digest.update(block)
    return digest.hexdigest()


def write_json(path: Path, content: Any) -> None:
    """Write JSON, whole or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")

"""Makes and replaces files whole or not at all, also if the process is killed meanwhile."""

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from stemsplit.disk.files import move, remove
from stemsplit.disk.folder import Folder, flush
from stemsplit.disk.lock import TRIES, is_there, try_lock
from stemsplit.disk.owner import is_local, machine

DAY = 86_400.0
"""Seconds of a day."""


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


def write_json(path: Path, content: Any) -> None:
    """Write a JSON file whole or not at all."""
    with replacing(path) as file:
        file.write(json.dumps(content, indent=2).encode() + b"\n")

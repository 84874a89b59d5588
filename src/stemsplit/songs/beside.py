"""Writes further files beside a song's record, such as a page to listen to, and never over what others made."""

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from stemsplit.disk import Folder
from stemsplit.disk.atomic import replacing_in
from stemsplit.disk.files import TEXT_LIMIT
from stemsplit.disk.limits import why
from stemsplit.errors import AudioError

HEAD = 4_096
"""Bytes at the beginning of a file in which its mark is looked for."""

FORCED = "--force writes over it"
"""What to try if another file is in the way, for commands that have --force."""


def is_ours(folder: Folder, name: str, mark: bytes) -> bool:
    """Return whether a file is one of stemsplit's own: a regular file of one name, with the mark at its beginning.

    Raises:
        OSError: the file cannot be read.
    """
    found = folder.stat(name)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        return False
    descriptor = folder.open(name, os.O_RDONLY)
    try:
        return mark in os.read(descriptor, HEAD)
    finally:
        os.close(descriptor)


def content(path: Path) -> bytes:
    """Return the content of a file; nothing if it does not exist, is not a regular file, or is too large for a text."""
    try:
        with Folder(path.parent) as folder:
            return folder.read(path.name, TEXT_LIMIT)
    except OSError:
        return b""


def obstacle(path: Path, mark: bytes, force: bool = False, advice: str = FORCED) -> str:
    """Return a message about what is in the place of a file to write; empty if the file may be written.

    Args:
        path: file to write.
        mark: what each such file has in its first 4,096 bytes.
        force: whether any regular file may be replaced.
        advice: what to try if a file of others is there.
    """
    try:
        with Folder(path.parent) as folder:
            if not folder.has(path.name):
                return ""
            if not stat.S_ISREG(folder.stat(path.name).st_mode):
                return f"{path} is already there, and is not a file; move it away"
            if force or is_ours(folder, path.name, mark):
                return ""
    except FileNotFoundError:
        return ""  # the folder is made with the stems
    except OSError as error:
        return f"cannot write {path} ({why(error)})"
    return f"{path} is already there, and not as stemsplit left it; {advice}"


@contextmanager
def writing(path: Path, mark: bytes, force: bool = False, advice: str = FORCED) -> Iterator[IO[bytes]]:
    """Write a file whole or not at all, unless something that stemsplit did not make is in its place.

    Args:
        path: file to write, in a folder that exists.
        mark: what each such file has in its first 4,096 bytes.
        force: whether any regular file may be replaced.
        advice: what to try if a file of others is there.

    Yields:
        A file to write to.

    Raises:
        AudioError: it cannot be written.
    """
    if told := obstacle(path, mark, force, advice):
        raise AudioError(told)
    try:
        with Folder(path.parent) as folder, replacing_in(folder, path.name) as file:
            yield file
    except OSError as error:
        raise AudioError(f"cannot write {path} ({why(error)})") from error

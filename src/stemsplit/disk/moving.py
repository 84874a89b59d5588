"""Moves files between folders that are held open, also on disks that cannot move them there."""

import errno
import os
import shutil
from typing import IO

from stemsplit.disk.atomic import replacing_in
from stemsplit.disk.folder import Folder, refuse_irregular

BLOCK = 1 << 20
"""Bytes that are copied or compared at once."""


def _opened(folder: Folder, name: str) -> IO[bytes]:
    """Open a regular file in an open folder for reading."""
    file = os.fdopen(folder.open(name, os.O_RDONLY), "rb")
    try:
        refuse_irregular(file.fileno(), folder.path / name)
    except BaseException:
        file.close()
        raise
    return file


def move_between(old: Folder, name: str, new: Folder, new_name: str) -> None:
    """Move a file to another open folder, even if the disk cannot move files between the two.

    A disk that is put together of several ones (mergerfs, Unraid, overlays) may be one disk by its number and yet not
    move a file from folder to folder. There, the file is copied whole or not at all, and stays in its old place, too,
    until it is removed at last.

    Raises:
        OSError: it cannot be moved or copied; a file of the new name is kept.
    """
    try:
        old.move(name, new, new_name)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        with _opened(old, name) as source, replacing_in(new, new_name) as target:
            shutil.copyfileobj(source, target, BLOCK)
            old.stat(name)  # else another process has moved it meanwhile, and others may have a newer one there
        old.remove(name)
    new.sync()


def equal(folder: Folder, name: str, other: Folder, other_name: str) -> bool:
    """Return whether two files in open folders have the same content; no link is followed."""
    try:
        with _opened(folder, name) as one, _opened(other, other_name) as two:
            while block := one.read(BLOCK):
                if block != two.read(len(block)):
                    return False
            return not two.read(1)
    except OSError:
        return False

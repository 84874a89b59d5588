"""Locks on open files, which end with the process that holds them."""

import os
import sys

from stemsplit.disk.folder import Folder


def try_lock(descriptor: int) -> bool | None:
    """Take the lock of an open file.

    Returns:
        True if it is ours; False if another process, or another opening of the file, has it; None where the file system
        knows no locks.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Windows says so where someone else has it.
        return False if sys.platform == "win32" else None
    return True


def is_there(descriptor: int, folder: Folder, name: str) -> bool:
    """Whether a name in a folder still is that of an open file: who had the lock may have removed the file."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat(name))
    except FileNotFoundError:
        return False

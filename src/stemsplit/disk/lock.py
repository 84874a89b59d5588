"""Locks open files. A lock ends with its process."""

import os
import sys

from stemsplit.disk.folder import Folder

TRIES = 100
"""Attempts to take a name that other processes take and release again and again."""


def try_lock(descriptor: int) -> bool | None:
    """Lock an open file, without waiting.

    Returns:
        True if this process has the lock now; False if another process, or another descriptor of the file, has it; None
        if the file system does not support locks.
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
        # On Windows, this means that the lock is taken.
        return False if sys.platform == "win32" else None
    return True


def is_there(descriptor: int, folder: Folder, name: str) -> bool:
    """Return whether an open file still has its name in a folder: an earlier owner may have removed it."""
    try:
        return os.path.samestat(os.fstat(descriptor), folder.stat(name))
    except FileNotFoundError:
        return False

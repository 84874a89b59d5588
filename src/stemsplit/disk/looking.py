"""Looks at hidden folders without changing anything: whose they are, and whether a process works in them."""

import errno
import os
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass

from stemsplit.disk.claim import LOCK, MADE, NAME, PREFIX, ForeignError
from stemsplit.disk.first_turn import enter_new
from stemsplit.disk.folder import Folder, is_link
from stemsplit.disk.listed import Listed, is_gone
from stemsplit.disk.owner import WORK, is_dead
from stemsplit.disk.turn import owner_in


@dataclass(frozen=True, slots=True)
class Look:
    """What a hidden folder shows.

    Args:
        name: name of the folder.
        host: name of its owner's machine; empty if unknown.
        process: number of its owner's process; None if unknown, or if it gave up.
        silent_seconds: time since the owner's last sign of life, by the disk's clock and this machine's.
        is_live: whether the owner certainly works (True), or is certainly gone (False); None if nobody here can tell.
        takeovers: how many processes died, or went silent, at this work before.
        files: names of the files in it, and in the folders in it that processes work in.
    """

    name: str
    host: str
    process: int | None
    silent_seconds: float | None
    is_live: bool | None
    takeovers: int
    files: frozenset[str]


def is_locked(descriptor: int) -> bool | None:
    """Return whether another process has locked an open file; None if the file system does not support locks.

    On Unix, this takes a shared lock for an instant, which others that only look can take at the same time.
    """
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)
        except OSError:
            return True
        return False
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return None
    return False


def _lock_of(folder: Folder) -> tuple[bool | None, float | None]:
    """Return whether a folder's lock is held, and the seconds since it was touched; None, None if there is no lock."""
    try:
        lock = folder.open(LOCK, os.O_RDONLY)
    except FileNotFoundError:
        return False, None
    try:
        status = os.fstat(lock)
        if not stat.S_ISREG(status.st_mode) or status.st_size:
            raise ForeignError(errno.EEXIST, "its lock is another file", str(folder.path))
        return is_locked(lock), max(0.0, time.time() - status.st_mtime)
    finally:
        os.close(lock)


def look(out: Folder, name: str) -> Look:
    """Look at a hidden folder.

    Raises:
        ForeignError: it is not one of stemsplit's.
        OSError: it cannot be read, or was removed just now.
    """
    if not NAME.fullmatch(name):
        raise ForeignError(errno.EEXIST, "not a name that stemsplit gives", str(out.path / name))
    found = out.stat(name)
    if is_link(found) or not stat.S_ISDIR(found.st_mode):
        raise ForeignError(errno.EEXIST, "not a folder of stemsplit", str(out.path / name))
    with out.enter(name) as whole:
        owner, files = owner_in(whole), set(whole.names())
        is_beside = owner is not None and owner.beside and whole.has(owner.work)
        with whole.enter(owner.work) if owner and is_beside else whole.duplicate() as place:
            locked, silent = _lock_of(place)
        for work in filter(WORK.fullmatch, tuple(files)):
            with suppress(OSError), whole.enter(work) as inner:
                files |= set(inner.names())
        gone = is_dead(owner, whole, None if locked is None else not locked)
        if gone:
            Listed(out, whole).check()
            for work in filter(WORK.fullmatch, files):
                with whole.enter(work) as inner:
                    Listed(whole, inner).check()
    is_live = None if gone is None else not gone
    if owner is None:
        return Look(name, "", None, silent, is_live, 0, frozenset(files))
    return Look(name, owner.host, owner.process or None, silent, is_live, owner.takeovers, frozenset(files))


def looks(out: Folder) -> Iterator[Look | ForeignError]:
    """Look at all hidden folders; for other things of such a name, yield why they are not.

    Folders that are being made are passed over.

    Raises:
        OSError: the folder cannot be listed.
    """
    for name in sorted(filter(lambda name: name.startswith(PREFIX), out.names())):
        try:
            if MADE.fullmatch(name):
                enter_new(out, name).close()
            else:
                yield look(out, name)
        except ForeignError as error:  # which may name a file in the folder
            yield ForeignError(errno.EEXIST, error.strerror, str(out.path / name))
        except OSError as error:
            if not is_gone(error):
                yield ForeignError(errno.EEXIST, f"it cannot be read ({error.strerror})", str(out.path / name))

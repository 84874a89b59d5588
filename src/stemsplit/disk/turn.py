"""Takes turns in hidden folders: one process at a time has the turn, on whatever machines the processes are.

The locks of two machines may not know of each other. So a turn is taken by steps that every file system does at once or
not at all: a folder is made, or the file whose name says whose turn it is (see `owner`) is renamed. A lock only tells
sooner, on one machine, that an owner is dead. Elsewhere, an owner is taken for gone if its beat did not change for a
while, on the watcher's own clock. Such an owner may come back. So its successor works in a folder of its own beside it,
and first removes the file `undecided`. Without that file, the earlier owner cannot decide anything any more.
"""

import errno
import os
from contextlib import ExitStack, suppress
from dataclasses import replace

from stemsplit.disk.folder import Folder
from stemsplit.disk.listed import (
    LOCK,
    UNDECIDED,
    ForeignError,
    Listed,
    is_empty_file,
    is_gone,
    translated,
)
from stemsplit.disk.lock import is_there, try_lock
from stemsplit.disk.owner import WORK, Owner

LOOKS = 3
"""Largest number of looks at a folder's names. While a file is renamed, both names may be seen, or neither."""


class BusyError(BlockingIOError):
    """Another process works in the folder.

    Args:
        folder: path of the folder.
        beat: number that changes as long as that process is alive.
        owner: that process, if its name is known.
        alive: whether it is certainly alive, though it may be stopped: it has a lock that holds for everybody.
    """

    def __init__(self, folder: str, beat: int, owner: Owner | None = None, alive: bool = False) -> None:
        super().__init__(errno.EWOULDBLOCK, "another process works in it", folder)
        self.beat, self.owner, self.alive = beat, owner, alive


class GoneError(OSError):
    """The folder was removed, or taken over, by another process just now; the next try finds what is there then."""


def looked_at(folder: Folder) -> tuple[Owner | None, list[str]]:
    """Return the owner of a hidden folder, and all names in the folder at that moment.

    Raises:
        ForeignError: it has several owners, or one that stemsplit did not make.
    """
    for _ in range(LOOKS):
        names = folder.names()
        owners = [owner for name in names if (owner := Owner.parsed(name))]
        if len(owners) == 1:
            break
    if len(owners) > 1:
        raise ForeignError(errno.EEXIST, "it has several owners", str(folder.path))
    if owners and not is_empty_file(folder.stat(owners[0].name)):
        raise ForeignError(errno.EEXIST, "its owner is another file", str(folder.path))
    return owners[0] if owners else None, names


def owner_in(folder: Folder) -> Owner | None:
    """Return the owner of a hidden folder; None if it has none, like those of earlier versions.

    Raises:
        ForeignError: it has several, or one that stemsplit did not make.
    """
    return looked_at(folder)[0]


def make_empty(folder: Folder, name: str) -> None:
    """Make an empty file that is not there yet."""
    os.close(folder.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL))


def open_lock(folder: Folder) -> int:
    """Open a folder's lock, and return its descriptor.

    Raises:
        ForeignError: the lock was not made by stemsplit.
        GoneError: the lock was removed just now.
    """
    try:
        lock = folder.open(LOCK, os.O_RDWR)
    except OSError as error:
        raise translated(error, "its lock is not a file", folder.path) from error
    status = os.fstat(lock)
    if status.st_nlink and is_empty_file(status) and status.st_uid == folder.identity().st_uid:
        return lock
    os.close(lock)
    if not status.st_nlink:
        raise GoneError(errno.ENOENT, "its lock was removed", str(folder.path))
    raise ForeignError(errno.EEXIST, "its lock is another file", str(folder.path))


def clear_away(folder: Folder) -> None:
    """Empty a hidden folder that has no owner: remove its own files, and the folders that earlier owners worked in.

    Raises:
        OSError: it cannot be removed.
    """
    folder.remove(LOCK)  # first: a lock alone is that of an earlier version
    for name in filter(WORK.fullmatch, folder.names()):
        with folder.enter(name) as work:
            files = Listed(folder, work)
            files.check()
            files.clear()
            for each in (LOCK, UNDECIDED):
                work.remove(each)
        with suppress(OSError):
            folder.remove_folder(name)
    folder.remove(UNDECIDED)


def rename(folder: Folder, name: str, to: str) -> None:
    """Rename a file or folder to a name that nothing else ever has. Of several processes that try, one succeeds.

    Raises:
        OSError: another process was faster.
    """
    try:
        folder.move(name, folder, to)
    except OSError as error:
        # The answer to a step that was done may be lost on a network, and the step be tried once more.
        if not is_gone(error) or not folder.has(to):
            raise


class Turn:
    """A turn of this process in a hidden folder: the first one there, or one after another process's.

    Args:
        whole: the hidden folder, which is closed with the turn.

    Attributes:
        owner: this process as its owner.
        folder: folder to work in: the whole one, or one in it.
        lock: descriptor of that folder's lock.
        earlier: folders of earlier processes that may still be alive, but cannot decide anything any more.
    """

    owner: Owner

    def __init__(self, whole: Folder) -> None:
        self.whole, self.folder, self.earlier = whole, whole, list[Listed]()
        self.files, self.lock = Listed(whole, whole), -1
        self._undo = ExitStack()
        """The clean-up that is done if the turn cannot be taken."""

    def is_at(self, out: Folder, name: str) -> bool:
        """Return whether the hidden folder still has its name."""
        try:
            return os.path.samestat(out.stat(name), self.whole.identity())
        except OSError:
            return False

    def is_mine(self) -> bool:
        """Return whether this process still has the turn."""
        try:
            return self.whole.has(self.owner.name)
        except OSError:
            return False

    def _lock_new(self, folder: Folder) -> None:
        """Make the lock of a folder that is this process's, and take it."""
        make_empty(folder, LOCK)
        self.lock = open_lock(folder)
        self._undo.callback(self.unlock)
        if try_lock(self.lock) is False or not is_there(self.lock, folder, LOCK):
            raise GoneError(errno.ENOENT, "another process was faster", str(folder.path))

    def give_up(self) -> None:
        """Give up the turn but keep all files, for the next process that does the same work."""
        with suppress(OSError):
            self.whole.move(self.owner.name, self.whole, replace(self.owner, process=0).name)

    def end(self) -> None:
        """End the turn, and empty the folder. Its listed files have to be removed before.

        Raises:
            OSError: something cannot be removed, or another process has the turn now.
        """
        others = set(self.folder.names()) - {LOCK, UNDECIDED, self.owner.name}
        if others := {name for name in others if not WORK.fullmatch(name)}:
            raise OSError(errno.ENOTEMPTY, f"it holds {min(others)}", str(self.folder.path))
        # A lock alone is that of an earlier version. But where an earlier owner may live, this would let it decide.
        if self.folder is self.whole and self.is_mine() and not self.whole.has(UNDECIDED):
            make_empty(self.whole, UNDECIDED)
        self.whole.remove(self.owner.name, missing_ok=False)
        # From now on it is nobody's. The lock is closed first: some disks keep an open file under another name.
        self.unlock()
        clear_away(self.whole)

    def unlock(self) -> None:
        """Give up the lock."""
        if self.lock >= 0:
            os.close(self.lock)
        self.lock = -1

    def close(self) -> None:
        """Close the lock and all folders."""
        self.unlock()
        for files in self.earlier[1:]:
            files.folder.close()
        if self.folder is not self.whole:
            self.folder.close()
        self.whole.close()

"""Takes turns in hidden folders: one process at a time has the turn, on whatever machines the processes are.

The locks of two machines may not know of each other. So a turn is taken by steps that are single ones on every file
system: a folder is made, or the file whose name says whose turn it is (see `owner`) gets another name. A lock only
tells at once, on one machine, that an owner is dead. Elsewhere, an owner is taken for gone if its beat did not change
for a while, on the watcher's own clock. Such an owner may come back. So its successor works in a folder of its own
beside it, and first removes the file `undecided`, without which the earlier one cannot decide anything any more.
"""

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import Self

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
from stemsplit.disk.owner import WORK, Owner, host, is_dead, machine

NEW = "-new-"
"""What the name of a hidden folder has between its own and a token while the folder is made."""

TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EACCES if os.name == "nt" else errno.EEXIST}
"""The system's errors for a folder whose name is taken."""

UNMOVABLE = {errno.EXDEV, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}
"""The system's errors for disks that cannot give a folder another name: some mounts of object stores."""

LOOKS = 3
"""Looks at a folder's names: while a file gets another one, both may be seen, or neither."""


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


def _looked_at(folder: Folder) -> tuple[Owner | None, list[str]]:
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
    return _looked_at(folder)[0]


def _make(folder: Folder, name: str) -> None:
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
    """Remove what the hidden folder itself has a use for from a folder that is nobody's.

    Raises:
        OSError: it cannot be removed.
    """
    for name in filter(WORK.fullmatch, folder.names()):
        with folder.enter(name) as work:
            files = Listed(folder, work)
            files.check()
            files.clear()
            for each in (LOCK, UNDECIDED):
                work.remove(each)
        with suppress(OSError):
            folder.remove_folder(name)
    for each in (LOCK, UNDECIDED):  # in this order: a lock alone is that of an earlier version
        folder.remove(each)


def _rename(folder: Folder, name: str, to: str) -> None:
    """Give a file or folder a name that nothing else ever has. Of several processes that try so, one can.

    Raises:
        OSError: another process was faster.
    """
    try:
        folder.move(name, folder, to)
    except OSError as error:
        # The answer to a step that was done may be lost on a network, and the step be tried once more.
        if not is_gone(error) or not folder.has(to):
            raise


def _remove_new(out: Folder, name: str) -> None:
    """Remove a folder that was being made, and is nobody's."""
    with suppress(OSError), out.enter(name) as folder:
        for each in folder.names():
            if each in (LOCK, UNDECIDED) or Owner.parsed(each):
                folder.remove(each)
        out.remove_folder(name)


def drop_new(out: Folder, name: str) -> None:
    """Remove a folder that a killed process was making. Should that process be alive, it makes another one.

    Args:
        out: parent folder.
        name: name of the folder.

    Raises:
        ForeignError: stemsplit did not make it.
        OSError: it cannot be removed.
    """
    with out.enter(name) as folder:
        Listed(out, folder).check()
        if folder.has(LOCK):
            lock = open_lock(folder)
            locked = try_lock(lock)
            os.close(lock)
            if locked is False:
                return
    mine = f"{name[: name.index(NEW)]}{NEW}{os.urandom(8).hex()}"
    _rename(out, name, mine)
    _remove_new(out, mine)


class Turn:
    """A turn of this process in a hidden folder.

    Args:
        whole: the hidden folder, which is closed with the turn.
        stale: beat of an owner that is taken for gone: it showed no life for as long as one waits for it.

    Attributes:
        owner: this process as its owner.
        folder: folder to work in: the whole one, or one in it.
        lock: descriptor of that folder's lock.
        earlier: folders of earlier processes that may still be alive, but cannot decide anything any more.

    Raises:
        BusyError: another process works in the folder.
        ForeignError: it is not a folder of stemsplit.
        GoneError: it was removed just now, or another process was faster.
        OSError: the turn cannot be taken.
    """

    def __init__(self, whole: Folder, stale: int | None = None) -> None:
        self._hold(whole)
        with ExitStack() as undo:
            self._undo = undo
            self._take_over(stale)
            undo.pop_all()

    def _hold(self, whole: Folder) -> None:
        self.whole, self.folder, self.earlier = whole, whole, list[Listed]()
        self.files, self.lock = Listed(whole, whole), -1

    @classmethod
    def first(cls, out: Folder, name: str) -> Self:
        """Make a hidden folder, and take the first turn in it.

        It is made under another name, so that nobody ever sees it without an owner.

        Args:
            out: parent folder.
            name: name of the hidden folder, which is not there, or is empty.

        Raises:
            GoneError: another process was faster.
            OSError: it cannot be made.
        """
        turn = cls.__new__(cls)
        token = os.urandom(8).hex()
        new = f"{name}{NEW}{token}"
        out.make(new, 0o700)
        with ExitStack() as undo:
            turn._undo = undo
            undo.callback(_remove_new, out, new)
            turn._hold(out.enter(new))
            undo.callback(turn.whole.close)
            turn.owner = Owner(0, False, machine(turn.whole), os.getpid(), token, host())
            for each in (UNDECIDED, turn.owner.name):
                _make(turn.whole, each)
            if os.name != "nt":  # where a folder with an open file in it keeps its name
                turn._lock_new(turn.whole)
            turn._publish(out, new, name)
            if os.name == "nt":
                turn._lock_new(turn.whole)
                if not turn.is_mine():
                    raise GoneError(errno.ENOENT, "another process was faster", str(turn.whole.path))
            undo.pop_all()
        return turn

    def _publish(self, out: Folder, new: str, name: str) -> None:
        """Give the new folder its name, if that is free."""
        try:
            out.move(new, out, name)
        except OSError as error:
            if error.errno in UNMOVABLE:
                self._fill(out, name)
            elif error.errno not in TAKEN and not is_gone(error):
                raise
            elif not self.is_at(out, name):
                raise GoneError(errno.ENOENT, "another process was faster", str(out.path / name)) from error
        self.whole.path = out.path / name

    def _fill(self, out: Folder, name: str) -> None:
        """Make and fill the folder itself, on a disk that cannot give a folder another name."""
        try:
            out.make(name, 0o700)
        except FileExistsError as error:
            raise GoneError(errno.ENOENT, "another process was faster", str(out.path / name)) from error
        new, self.whole = self.whole, out.enter(name)
        self._undo.callback(self.whole.close)
        self._undo.callback(_remove_new, out, name)
        self.folder, self.files = self.whole, Listed(self.whole, self.whole)
        self.unlock()
        _make(self.whole, UNDECIDED)
        self._lock_new(self.whole)
        _make(self.whole, self.owner.name)
        if not (self.whole.has(UNDECIDED) and is_there(self.lock, self.whole, LOCK)):
            raise GoneError(errno.ENOENT, "it was taken for one that was given up", str(self.whole.path))
        _remove_new(out, new.path.name)
        new.close()

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
        _make(folder, LOCK)
        self.lock = open_lock(folder)
        self._undo.callback(self.unlock)
        if try_lock(self.lock) is False or not is_there(self.lock, folder, LOCK):
            raise GoneError(errno.ENOENT, "another process was faster", str(folder.path))

    def _take_over(self, stale: int | None) -> None:
        """Take the turn of an owner that is gone."""
        whole, (before, names) = self.whole, _looked_at(self.whole)
        if before is None:
            self._clear_if_nobodys(names)
        elif not self._has_lock(before):
            self._follow(before)
            return
        with whole.enter(before.work) if before and before.beside else whole.duplicate() as place, ExitStack() as undo:
            lock = open_lock(place)
            undo.callback(os.close, lock)
            locked = try_lock(lock)
            if not is_there(lock, place, LOCK):
                raise GoneError(errno.ENOENT, "its lock was removed", str(whole.path))
            dead = is_dead(before, whole, locked)
            beat = os.fstat(lock).st_mtime_ns + (int(before.token, 16) if before else 0)
            if dead is False or (dead and locked is False) or (dead is None and stale != beat):
                raise BusyError(str(whole.path), beat, before, alive=dead is False)
            if dead and not (before and before.beside):
                self.lock = lock
                self._continue(before)
                if self.lock == lock:
                    undo.pop_all()
            else:
                self._follow(before)

    def _has_lock(self, owner: Owner) -> bool:
        """Return whether an owner's lock is there: it removes that first when it ends its turn."""
        if not owner.beside:
            return self.whole.has(LOCK)
        try:
            with self.whole.enter(owner.work) as work:
                return work.has(LOCK)
        except FileNotFoundError:
            return False

    def _clear_if_nobodys(self, names: Sequence[str]) -> None:
        """Clear a folder without an owner away, if its process was killed when it had all but removed it.

        Raises:
            ForeignError: it is not a folder of stemsplit.
            GoneError: it was cleared away.
        """
        ours = all(name in (LOCK, UNDECIDED) or WORK.fullmatch(name) for name in names)
        if names == [LOCK] or not ours:  # as earlier versions made it
            if LOCK not in names:
                raise ForeignError(errno.EEXIST, "a folder without a lock", str(self.whole.path))
            return
        self.files.check()
        clear_away(self.whole)
        raise GoneError(errno.ENOENT, "it was given up", str(self.whole.path))

    def _next(self, before: Owner | None, beside: bool) -> Owner:
        takeovers = before.takeovers + bool(before.process) if before else 1
        return Owner(min(takeovers, 999_999), beside, machine(self.whole), os.getpid(), host=host())

    def _continue(self, before: Owner | None) -> None:
        """Go on in the folder of an owner that is certainly dead; this process has its lock."""
        self.files.check()
        self.owner = self._next(before, beside=False)
        with suppress(FileExistsError):
            _make(self.whole, UNDECIDED)
        _rename(self.whole, before.name if before else LOCK, self.owner.name)
        if before is None:
            self._lock_new(self.whole)

    def _follow(self, before: Owner | None) -> None:
        """Work in a new folder, beside an owner that may come back."""
        self.files.check()
        self.owner = self._next(before, beside=True)
        works = [name for name in self.whole.names() if WORK.fullmatch(name)]
        self.earlier = [self.files, *(self._opened(name) for name in works)]
        for files in self.earlier[1:]:
            files.check()
        self.whole.make(self.owner.work, 0o700)
        self._undo.callback(self._drop_work)
        self.folder = self.whole.enter(self.owner.work)
        self._undo.callback(self.folder.close)
        self._undo.callback(self._empty_work)
        _make(self.folder, UNDECIDED)
        self._lock_new(self.folder)
        _rename(self.whole, before.name if before else LOCK, self.owner.name)
        for files in self.earlier:
            files.folder.remove(UNDECIDED)
        try:
            for files in self.earlier:
                files.check()  # again: until then the earlier process may have made files, and decided something
        except ForeignError as error:
            self.give_up()
            raise BusyError(str(self.whole.path), 0, before) from error

    def _opened(self, name: str) -> Listed:
        folder = self.whole.enter(name)
        self._undo.callback(folder.close)
        return Listed(self.whole, folder)

    def _empty_work(self) -> None:
        with suppress(OSError):
            self.folder.remove(LOCK)
            self.folder.remove(UNDECIDED)

    def _drop_work(self) -> None:
        with suppress(OSError):
            self.whole.remove_folder(self.owner.work)

    def give_up(self) -> None:
        """Give up the turn but keep all files, for the next process that does the same work."""
        with suppress(OSError):
            self.whole.move(self.owner.name, self.whole, replace(self.owner, process=0).name)

    def end(self) -> None:
        """Empty the folder of all but its listed files, which must be removed before.

        Raises:
            OSError: something cannot be removed, or another process has the turn now.
        """
        others = set(self.folder.names()) - {LOCK, UNDECIDED, self.owner.name}
        if others := {name for name in others if not WORK.fullmatch(name)}:
            raise OSError(errno.ENOTEMPTY, f"it holds {min(others)}", str(self.folder.path))
        self.whole.stat(self.owner.name)
        if os.name == "nt":  # where an open file cannot be removed
            self.unlock()
        for folder in (self.folder, *(files.folder for files in self.earlier)):
            folder.remove(LOCK)
        # From now on it is nobody's. Its lock is gone before: a lock without an owner is that of an earlier version.
        self.whole.remove(self.owner.name, missing_ok=False)
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

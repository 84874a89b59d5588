"""Takes the turn in a hidden folder that another process made, and left, died in, or went silent in."""

import errno
import os
from collections.abc import Sequence
from contextlib import ExitStack, suppress

from stemsplit.disk.folder import Folder
from stemsplit.disk.listed import LOCK, UNDECIDED, ForeignError, Listed
from stemsplit.disk.lock import is_there, try_lock
from stemsplit.disk.owner import WORK, Owner, host, is_dead, machine
from stemsplit.disk.turn import BusyError, GoneError, Turn, clear_away, looked_at, make_empty, open_lock, rename


class NextTurn(Turn):
    """A turn after that of another process.

    Args:
        whole: the hidden folder, which is closed with the turn.
        stale: beat of an owner that is taken for gone: it showed no life for as long as one waits for it.

    Raises:
        BusyError: another process works in the folder.
        ForeignError: it is not a folder of stemsplit.
        GoneError: it was removed just now, or another process was faster.
        OSError: the turn cannot be taken.
    """

    def __init__(self, whole: Folder, stale: int | None = None) -> None:
        super().__init__(whole)
        with self._undo:
            self._take_over(stale)
            self._undo.pop_all()

    def _take_over(self, stale: int | None) -> None:
        """Take the turn of an owner that is gone."""
        whole, (before, names) = self.whole, looked_at(self.whole)
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
        """Clear away a folder without an owner, which a process was removing when it was killed.

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
        for files in self._check():
            files.folder.close()
        self.owner = self._next(before, beside=False)
        with suppress(FileExistsError):
            make_empty(self.whole, UNDECIDED)
        rename(self.whole, before.name if before else LOCK, self.owner.name)
        if before is None:
            self._lock_new(self.whole)

    def _follow(self, before: Owner | None) -> None:
        """Work in a new folder, beside an owner that may come back."""
        self.earlier = [self.files, *self._check()]
        self.owner = self._next(before, beside=True)
        self.whole.make(self.owner.work, 0o700)
        self._undo.callback(self._drop_work)
        self.folder = self.whole.enter(self.owner.work)
        self._undo.callback(self.folder.close)
        self._undo.callback(self._empty_work)
        make_empty(self.folder, UNDECIDED)
        self._lock_new(self.folder)
        rename(self.whole, before.name if before else LOCK, self.owner.name)
        for files in self.earlier:
            files.folder.remove(UNDECIDED)
        try:
            for files in self.earlier:
                files.check()  # again: until then the earlier process may have made files, and decided something
        except ForeignError as error:
            self.give_up()
            raise BusyError(str(self.whole.path), 0, before) from error

    def _check(self) -> list[Listed]:
        """Check the folder and those in it that processes worked in; return the latter.

        Raises:
            ForeignError: something in them is not stemsplit's.
        """
        self.files.check()
        works = list[Listed]()
        for name in filter(WORK.fullmatch, self.whole.names()):
            folder = self.whole.enter(name)
            self._undo.callback(folder.close)
            works.append(Listed(self.whole, folder))
            works[-1].check()
        return works

    def _empty_work(self) -> None:
        with suppress(OSError):
            self.folder.remove(LOCK)
            self.folder.remove(UNDECIDED)

    def _drop_work(self) -> None:
        with suppress(OSError):
            self.whole.remove_folder(self.owner.work)

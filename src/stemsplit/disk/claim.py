"""Gives one process at a time a hidden folder to work in. What a killed process leaves there, the next one finds."""

import errno
import os
import re
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import IO

from stemsplit.disk import heartbeat
from stemsplit.disk.first_turn import NEW, FirstTurn, drop_new
from stemsplit.disk.folder import Folder, flush, refuse_irregular
from stemsplit.disk.listed import (
    FOREIGN,
    LIST,
    LOCK,
    UNDECIDED,
    ForeignError,
    Listed,
    OtherUserError,
    is_gone,
    is_own,
    translated,
)
from stemsplit.disk.lock import TRIES
from stemsplit.disk.next_turn import NextTurn
from stemsplit.disk.turn import BusyError, GoneError, Turn

PREFIX = ".stemsplit-"
"""Prefix of the folders' names."""

NAME = re.compile(rf"{re.escape(PREFIX)}[0-9a-f]{{16}}(-[1-9])?")
"""Whole name: a hash of the work, and a number if the name without one is taken by something else."""

MADE = re.compile(rf"{NAME.pattern}{re.escape(NEW)}[0-9a-f]{{16}}")
"""Name of a folder while it is made."""

MOST_NAMES = 10
"""Names that are tried. If all are taken by something else, the work stops."""

__all__ = ["LIST", "LOCK", "BusyError", "Claim", "ForeignError", "TakenOverError", "claim", "leftovers"]


class TakenOverError(Exception):
    """Another process took over the work, because this one showed no sign of life for a while.

    Args:
        folder: path of the folder.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(f"another process took over the work in {folder}, or the folder was removed")


class Claim(Listed):
    """A folder that belongs to this process until `release`. Files that a killed process left in it are still there.

    It is a real folder of this user, on the same file system as its parent, with a lock, a list of the files to be made
    in it, and no other files. A folder of another shape is not stemsplit's: it is not entered and not touched.

    A lock library would not do: the lock file is deleted with the folder, and a process that waits for a deleted file
    gets a lock that protects nothing.

    Args:
        out: parent folder.
        name: name of the folder.
        make: whether to make the folder if it does not exist.
        stale: beat of an owner that is taken for gone: it showed no life for as long as one waits for it.
        users: further numbers that this process's user has on that disk.

    Attributes:
        earlier: folders of earlier processes that may still be alive. They cannot decide anything any more; what they
            decided before can be carried out.

    Raises:
        BusyError: another process works in the folder.
        ForeignError: something of that name is not stemsplit's.
        OSError: the folder cannot be made.
    """

    def __init__(
        self, out: Folder, name: str, make: bool = True, stale: int | None = None, users: Collection[int] = ()
    ) -> None:
        self.name, self.users = name, users
        self._released = False
        self.listed = set[str]()
        self.out = out.duplicate()
        try:
            self.turn = self._taken(make, stale)
        except BaseException:
            self.out.close()
            raise
        self.folder, self.earlier = self.turn.folder, self.turn.earlier
        if not self.earlier:
            self.listed = self.turn.files.listed
        for files in self.earlier:
            files.out = self.out
        try:
            heartbeat.begin(self.turn.lock, self.folder.path / LOCK)
        except RuntimeError:  # the system starts no more threads
            self.leave()
            raise

    @property
    def takeovers(self) -> int:
        """How many processes died, or went silent, at this work before."""
        return self.turn.owner.takeovers

    @property
    def is_lost(self) -> bool:
        """Whether another process took over the work."""
        return not self._released and not self.turn.is_mine() and not self.is_removed

    @property
    def is_removed(self) -> bool:
        """Whether the folder was removed meanwhile: by a process that took over the work, and is done with it."""
        return not self._released and not self.turn.is_at(self.out, self.name)

    @property
    def is_overtaken(self) -> bool:
        """Whether the work is not this process's any more."""
        return self.is_lost or self.is_removed

    def _taken(self, make: bool, stale: int | None) -> Turn:
        """Take the turn in the folder."""
        for _ in range(TRIES):
            whole = self._enter()
            if whole is None and not make:
                break
            try:
                return NextTurn(whole, stale) if whole else FirstTurn(self.out, self.name)
            except BaseException as error:
                if whole:
                    whole.close()
                if isinstance(error, GoneError) or (whole and isinstance(error, OSError) and is_gone(error)):
                    with suppress(OSError):  # if it is empty
                        self.out.remove_folder(self.name)
                    continue
                if whole and isinstance(error, OSError) and error.errno in FOREIGN:
                    raise translated(error, "it holds a file that is not stemsplit's", whole.path) from error
                raise
        raise BusyError(str(self.out.path / self.name), 0)

    def _enter(self) -> Folder | None:
        """Open the folder; return None if it does not exist."""
        if not self.out.has(self.name):
            return None
        try:
            folder = self.out.enter(self.name)
            status, parent = folder.identity(), self.out.identity()
        except OSError as error:
            if not is_gone(error):
                raise translated(error, "not a folder of stemsplit", self.out.path / self.name) from error
            if self.out.identity().st_nlink == 0:
                raise  # the parent folder itself was removed
            return None
        if status.st_dev != parent.st_dev or not is_own(status, self.users):
            folder.close()
            raise OtherUserError("a folder of another user or disk", self.out.path / self.name, status.st_uid)
        return folder

    def create(self, name: str) -> IO[bytes]:
        """Create a listed file, for reading and writing.

        Raises:
            ValueError: the name is not listed.
            TakenOverError: another process took over the work.
            OSError: the file cannot be created.
        """
        if self.is_lost:
            raise TakenOverError(self.folder.path)
        return super().create(name)

    def decide(self, name: str, content: bytes) -> None:
        """Make a listed file that says what is to be done now, whole and only if this process still has its turn.

        Either this step succeeds, or the one by which another process takes over the work; never both.

        Args:
            name: name of the file.
            content: JSON that begins with `listed.MARK`.

        Raises:
            TakenOverError: another process took over the work.
            OSError: the file cannot be written.
        """
        try:
            with os.fdopen(self.folder.open(UNDECIDED, os.O_RDWR), "r+b") as file:
                refuse_irregular(file.fileno(), self.folder.path / UNDECIDED)
                file.truncate()
                file.write(content)
                file.flush()
                flush(file.fileno())
            self.folder.move(UNDECIDED, self.folder, name)
        except OSError as error:
            if not is_gone(error):
                raise
            # The answer to a step that was done may be lost on a network, and the step be tried once more.
            if not self._holds(name, content):
                raise TakenOverError(self.folder.path) from error
        self.folder.sync()

    def _holds(self, name: str, content: bytes) -> bool:
        with suppress(OSError):
            return self.folder.read(name, len(content)) == content
        return False

    def leave(self) -> None:
        """Give up the folder but keep its files, for the next process that does the same work."""
        if not self._released:
            self._stop()
            self.turn.give_up()
            self._close()

    def _stop(self) -> None:
        self._released = True
        heartbeat.end(self.turn.lock)

    def _close(self) -> None:
        self.turn.close()
        self.out.close()

    def release(self) -> None:
        """Remove the folder and its listed files. A second call does nothing.

        Files that cannot be removed stay, as after a kill.
        """
        if self._released:
            return
        self._stop()
        try:
            self.clear()
            for files in self.earlier:
                files.check()  # again: a process that came back may have made some
                files.clear()
            self.turn.end()
        except OSError:
            self.turn.give_up()
        with suppress(OSError):  # if it is empty
            if self.turn.is_at(self.out, self.name):
                self.out.remove_folder(self.name)
        self._close()


def _claim(out: Folder, name: str, make: bool = True, stale: int | None = None) -> Claim:
    """Claim a folder, also on a disk that gives all files of this user to another one."""
    try:
        return Claim(out, name, make, stale)
    except OtherUserError as error:
        trial = f"{PREFIX}{'0' * 16}{NEW}{os.urandom(8).hex()}"
        out.make(trial, 0o700)
        try:
            user = out.stat(trial).st_uid
        finally:
            out.remove_folder(trial)
        if user != error.user:
            raise
        return Claim(out, name, make, stale, {user})


def claim(out: Folder, key: str, stale: int | None = None) -> Claim:
    """Claim a folder for one piece of work.

    Args:
        out: parent folder.
        key: hash of the work, 16 hexadecimal digits.
        stale: beat of an owner that is taken for gone; see `Claim`.

    Raises:
        BusyError: another process does this work.
        OSError: the folder cannot be made.
    """
    for number in range(MOST_NAMES):
        try:
            return _claim(out, f"{PREFIX}{key}" + (f"-{number}" if number else ""), stale=stale)
        except ForeignError as error:
            last = error
    raise last


def leftovers(out: Folder) -> Iterator[Claim | ForeignError]:
    """Yield the folders of killed processes, claimed; for other things of such a name, yield why they are left alone.

    Folders that a process works in, or may work in, are skipped.
    """
    for name in sorted(filter(lambda name: name.startswith(PREFIX), out.names())):
        try:
            if MADE.fullmatch(name):
                drop_new(out, name)
                continue
            if not NAME.fullmatch(name):
                raise ForeignError(errno.EEXIST, "not a name that stemsplit gives", str(out.path / name))
            yield _claim(out, name, make=False)
        except ForeignError as error:
            yield error
        except OSError:
            continue

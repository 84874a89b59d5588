"""Makes a hidden folder, and takes the first turn in it."""

import errno
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from stemsplit.disk.folder import Folder
from stemsplit.disk.listed import LOCK, UNDECIDED, ForeignError, Listed, is_gone, translated
from stemsplit.disk.lock import is_there, try_lock
from stemsplit.disk.owner import Owner, host, machine
from stemsplit.disk.turn import GoneError, Turn, make_empty, open_lock, rename

NEW = "-new-"
"""Part of a hidden folder's name while it is made, between the name that it will have and a token."""

TAKEN = {errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR, errno.EACCES if os.name == "nt" else errno.EEXIST}
"""The system's errors for a folder whose name is taken."""

UNMOVABLE = {errno.EXDEV, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EINVAL, errno.EPERM}
"""The system's errors for disks that cannot give a folder another name: some mounts of object stores."""


def _is_of_new(name: str) -> bool:
    """Return whether a folder has a file of that name while it is made."""
    return name in (LOCK, UNDECIDED) or Owner.parsed(name) is not None


def _remove_new(out: Folder, name: str) -> None:
    """Remove a folder that was being made, and is nobody's."""
    with suppress(OSError), out.enter(name) as folder:
        for each in folder.names():
            if _is_of_new(each):
                folder.remove(each)
        out.remove_folder(name)


def enter_new(out: Folder, name: str) -> Folder:
    """Open a folder that is being made, or that a killed process was making.

    Args:
        out: parent folder.
        name: name of the folder.

    Raises:
        ForeignError: stemsplit did not make it.
        OSError: it cannot be read.
    """
    try:
        folder = out.enter(name)
    except OSError as error:
        raise translated(error, "not a folder of stemsplit", out.path / name) from error
    with ExitStack() as undo:
        undo.callback(folder.close)
        Listed(out, folder).check()
        if others := [each for each in folder.names() if not _is_of_new(each)]:
            if not out.has(name):
                raise GoneError(errno.ENOENT, "it got its own name just now", str(folder.path))
            raise ForeignError(errno.EEXIST, f"it holds {min(others)}", str(folder.path))
        undo.pop_all()
    return folder


def drop_new(out: Folder, name: str) -> None:
    """Remove a folder that a killed process was making. Should that process be alive, it makes another one.

    Args:
        out: parent folder.
        name: name of the folder.

    Raises:
        ForeignError: stemsplit did not make it.
        OSError: it cannot be removed.
    """
    with enter_new(out, name) as folder:
        if folder.has(LOCK):
            lock = open_lock(folder)
            locked = try_lock(lock)
            os.close(lock)
            if locked is False:
                return
    mine = f"{name[: name.index(NEW)]}{NEW}{os.urandom(8).hex()}"
    rename(out, name, mine)
    _remove_new(out, mine)


@contextmanager
def _removable(path: Path) -> Iterator[None]:
    """Say by a GoneError that a folder was removed while it was made.

    Until it has a lock, another process may take it for one that was given up.

    Args:
        path: path that the folder will have.

    Raises:
        GoneError: another process removed it.
    """
    try:
        yield
    except OSError as error:
        if not is_gone(error):
            raise
        raise GoneError(errno.ENOENT, "it was taken for one that was given up", str(path)) from error


class FirstTurn(Turn):
    """The first turn in a folder, which is made under another name, so that nobody ever sees it without an owner.

    Args:
        out: parent folder.
        name: name of the hidden folder, which is not there, or is empty.

    Raises:
        GoneError: another process was faster.
        OSError: it cannot be made.
    """

    def __init__(self, out: Folder, name: str) -> None:
        token = os.urandom(8).hex()
        new = f"{name}{NEW}{token}"
        out.make(new, 0o700)
        with ExitStack() as undo, _removable(out.path / name):
            undo.callback(_remove_new, out, new)
            super().__init__(out.enter(new))
            self._undo = undo
            undo.callback(self.whole.close)
            self.owner = Owner(0, False, machine(self.whole), os.getpid(), token, host())
            for each in (UNDECIDED, self.owner.name):
                make_empty(self.whole, each)
            if os.name != "nt":  # where a folder with an open file in it keeps its name
                self._lock_new(self.whole)
            self._publish(out, new, name)
            if os.name == "nt":
                self._lock_new(self.whole)
                if not self.is_mine():
                    raise GoneError(errno.ENOENT, "another process was faster", str(self.whole.path))
            undo.pop_all()

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
        make_empty(self.whole, UNDECIDED)
        self._lock_new(self.whole)
        make_empty(self.whole, self.owner.name)
        if not (self.whole.has(UNDECIDED) and is_there(self.lock, self.whole, LOCK)):
            raise GoneError(errno.ENOENT, "it was taken for one that was given up", str(self.whole.path))
        _remove_new(out, new.path.name)
        new.close()

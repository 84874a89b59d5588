"""Gives one process at a time a hidden folder to work in. What a killed process leaves there, the next one finds."""

import errno
import json
import os
import re
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from stemsplit.disk import heartbeat
from stemsplit.disk.files import TEXT_LIMIT, TRIES
from stemsplit.disk.folder import Folder, flush, is_link, is_plain
from stemsplit.disk.lock import is_there, try_lock

PREFIX = ".stemsplit-"
"""Prefix of the folders' names."""

NAME = re.compile(rf"{re.escape(PREFIX)}[0-9a-f]{{16}}(-[1-9])?")
"""Whole name: a hash of the work, and a number if the name without one is taken by something else."""

MOST_NAMES = 10
"""Names that are tried. If all are taken by something else, the work stops."""

LOCK, LIST = "lock", "files.json"
"""Files in every folder: an empty one that is locked, and one that lists all others."""


class ForeignError(OSError):
    """Something that stemsplit did not make has the name of one of its folders."""


class BusyError(BlockingIOError):
    """Another process works in the folder.

    Args:
        folder: path of the folder.
        beat: number that changes as long as that process is alive.
    """

    def __init__(self, folder: str, beat: int) -> None:
        super().__init__(errno.EWOULDBLOCK, "another process works in it", folder)
        self.beat = beat


FOREIGN = {
    errno.EACCES,
    errno.EEXIST,
    errno.EFBIG,
    errno.EINVAL,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.ENOTDIR,
    errno.ENXIO,
    errno.EPERM,
}
"""The system's errors for things that stemsplit cannot have made. Its other errors are passed on."""


def _translated(error: OSError, reason: str, path: Path) -> OSError:
    """Return a ForeignError for a system's error that is in FOREIGN; any other error is returned as it is."""
    return ForeignError(errno.EEXIST, reason, str(path)) if error.errno in FOREIGN else error


def _is_own(status: os.stat_result) -> bool:
    """Return whether a file belongs to the user of this process."""
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _read_list(folder: Folder) -> set[str]:
    """Read a folder's own list: names of files in it, and `folder/file` for files in its subfolders.

    Raises:
        ForeignError: the list was not written by stemsplit.
    """
    try:
        names = json.loads(folder.read(LIST, TEXT_LIMIT))
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise _translated(error, "its list is not a regular file", folder.path / LIST) from error
    except (ValueError, RecursionError):
        names = []  # a half-written list: no other file was made yet
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ForeignError(errno.EEXIST, "its list has another form", str(folder.path / LIST))
    for name in names:
        steps = name.split("/")
        if len(steps) > 2 or not all(map(is_plain, steps)) or steps[0] in (LOCK, LIST):
            raise ForeignError(errno.EEXIST, "its list has another form", str(folder.path / LIST))
    return set(names)


def _subfolders(names: Collection[str]) -> set[str]:
    """Return the subfolders that the names of a list have."""
    return {name.partition("/")[0] for name in names if "/" in name}


class Claim:
    """A folder that belongs to this process until `release`. Files that a killed process left in it are still there.

    It is a real folder of this user, on the same file system as its parent, with a lock, a list of the files to be made
    in it, and no other files. A folder of another shape is not stemsplit's: it is not entered and not touched.

    A lock library would not do: the lock file is deleted with the folder, and a process that waits for a deleted file
    gets a lock that protects nothing.

    Args:
        out: parent folder.
        name: name of the folder.
        make: whether to make the folder if it does not exist.

    Raises:
        BusyError: another process works in the folder.
        ForeignError: something of that name is not stemsplit's.
        OSError: the folder cannot be made.
    """

    def __init__(self, out: Folder, name: str, make: bool = True) -> None:
        self.out, self.name = out.duplicate(), name
        self._released = False
        try:
            self.folder, self._lock = self._take(make)
        except BaseException:
            self.out.close()
            raise
        try:
            self._names = self._check()
        except ForeignError:
            self.leave()
            raise
        except OSError as error:
            self.leave()
            raise _translated(error, "it holds a file that is not stemsplit's", out.path / name) from error
        try:
            heartbeat.begin(self._lock, self.folder.path / LOCK)
        except RuntimeError:  # the system starts no more threads
            self.leave()
            raise

    def _take(self, make: bool) -> tuple[Folder, int]:
        """Open the folder and take its lock."""
        for _ in range(TRIES):
            new = False
            if not make and not self.out.has(self.name):
                break
            if make and not self.out.has(self.name):
                with suppress(FileExistsError):
                    self.out.make(self.name, 0o700)
                    new = True
            folder = self._enter(new)
            if folder is None:
                continue  # its owner has just removed it
            try:
                if (lock := self._take_lock(folder)) is not None:
                    return folder, lock
            except BaseException:
                folder.close()
                if new:
                    with suppress(OSError):
                        self.out.remove_folder(self.name)
                raise
            folder.close()
        raise BusyError(str(self.out.path / self.name), 0)

    def _enter(self, new: bool) -> Folder | None:
        """Open the folder; return None if it does not exist any more."""
        try:
            folder = self.out.enter(self.name)
        except FileNotFoundError:
            if self.out.identity().st_nlink == 0:
                raise  # the parent folder itself was removed
            return None
        except OSError as error:
            raise _translated(error, "not a folder of stemsplit", self.out.path / self.name) from error
        status, parent = folder.identity(), self.out.identity()
        # A new folder is not checked for its owner: on some file systems, all files belong to one user.
        if status.st_dev != parent.st_dev or not (new or _is_own(status)):
            folder.close()
            raise ForeignError(errno.EEXIST, "a folder of another user or disk", str(self.out.path / self.name))
        return folder

    def _take_lock(self, folder: Folder) -> int | None:
        """Take the lock of a folder, and return its descriptor; return None if the folder was removed meanwhile."""
        try:
            lock = folder.open(LOCK, os.O_RDWR)
        except FileNotFoundError:
            names = folder.names()
            if names == [LOCK]:
                return None  # another process has just made the lock
            if names:
                raise ForeignError(errno.EEXIST, "a folder without a lock", str(folder.path)) from None
            try:
                lock = folder.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            except (FileExistsError, FileNotFoundError):
                return None
        except OSError as error:
            raise _translated(error, "its lock is not a file", folder.path) from error
        try:
            status = os.fstat(lock)
            if not stat.S_ISREG(status.st_mode) or status.st_size or status.st_nlink > 1:
                if status.st_nlink == 0:
                    os.close(lock)
                    return None
                raise ForeignError(errno.EEXIST, "its lock is another file", str(folder.path))
            if status.st_uid != folder.identity().st_uid:
                raise ForeignError(errno.EEXIST, "a folder of another user", str(folder.path))
            if try_lock(lock) is False:
                raise BusyError(str(folder.path), status.st_mtime_ns)
            if not is_there(lock, folder, LOCK):
                os.close(lock)
                return None
        except OSError:
            os.close(lock)
            raise
        return lock

    def _check(self) -> set[str]:
        """Return the names on the folder's list.

        Raises:
            ForeignError: the folder has a file that is not listed.
        """
        names = _read_list(self.folder)
        subfolders = _subfolders(names)
        for name in set(self.folder.names()) - {LOCK, LIST} - names:
            if name not in subfolders or is_link(self.folder.stat(name)):
                raise ForeignError(errno.EEXIST, f"it holds {name}, which is not listed", str(self.folder.path))
            with self.folder.enter(name) as subfolder:
                if others := {f"{name}/{each}" for each in subfolder.names()} - names:
                    raise ForeignError(
                        errno.EEXIST, f"it holds {min(others)}, which is not listed", str(self.folder.path)
                    )
        for name in self._present(names):
            if not stat.S_ISREG(self._stat(name).st_mode):
                raise ForeignError(errno.EEXIST, f"its {name} is not a file", str(self.folder.path))
        return names

    @contextmanager
    def _parent(self, name: str) -> Iterator[tuple[Folder, str]]:
        """Open the folder of a listed file, and yield it with the file's own name."""
        subfolder, _, file_name = name.rpartition("/")
        with self.folder.enter(subfolder) if subfolder else self.folder.duplicate() as parent:
            yield parent, file_name

    def _stat(self, name: str) -> os.stat_result:
        with self._parent(name) as (parent, file_name):
            return parent.stat(file_name)

    def _present(self, names: Collection[str]) -> list[str]:
        """Return those of the names that exist."""
        present = []
        for name in sorted(names):
            with suppress(FileNotFoundError):
                self._stat(name)
                present.append(name)
        return present

    @property
    def names(self) -> list[str]:
        """Listed files that exist."""
        return self._present(self._names)

    def begin(self, names: Collection[str]) -> None:
        """Empty the folder, and list the files to be made in it. No other files can be made or are ever removed.

        Args:
            names: plain file names, or `folder/file`.

        Raises:
            OSError: the list cannot be written.
        """
        self.clear()
        self._names = set(names)
        with self.folder.create(LIST) as file:
            file.write(json.dumps(sorted(names)).encode())
            file.flush()
            flush(file.fileno())

    def create(self, name: str) -> IO[bytes]:
        """Create a listed file, for reading and writing.

        Raises:
            ValueError: the name is not listed.
            OSError: the file cannot be created.
        """
        if name not in self._names:
            raise ValueError(f"{name} is not listed")
        with self._parent(name) as (parent, file_name):
            return parent.create(file_name)

    def clear(self) -> None:
        """Remove the listed files.

        Raises:
            OSError: one cannot be removed.
        """
        for name in self.names:
            with self._parent(name) as (parent, file_name):
                parent.remove(file_name)
        for subfolder in _subfolders(self._names):
            with suppress(OSError):
                self.folder.remove_folder(subfolder)
        self.folder.remove(LIST)
        self._names = set()

    def leave(self) -> None:
        """Give up the folder but keep its files, for the next process that does the same work."""
        if self._released:
            return
        self._released = True
        heartbeat.end(self._lock)
        os.close(self._lock)
        self.folder.close()
        self.out.close()

    def release(self) -> None:
        """Remove the folder and its listed files. A second call does nothing.

        Files that cannot be removed stay, as after a kill.
        """
        if self._released:
            return
        with suppress(OSError):
            self.clear()
            # The lock is removed last: until then no other process can enter.
            if self.folder.names() == [LOCK]:
                if os.name == "nt":  # where an open file cannot be deleted
                    self.leave()
                    (self.out.path / self.name / LOCK).unlink()
                    (self.out.path / self.name).rmdir()
                else:
                    self.folder.remove(LOCK)
                    if os.path.samestat(self.out.stat(self.name), self.folder.identity()):
                        self.out.remove_folder(self.name)
        self.leave()


def claim(out: Folder, key: str) -> Claim:
    """Claim a folder for one piece of work.

    Args:
        out: parent folder.
        key: hash of the work, 16 hexadecimal digits.

    Raises:
        BusyError: another process does this work.
        OSError: the folder cannot be made.
    """
    for number in range(MOST_NAMES):
        try:
            return Claim(out, f"{PREFIX}{key}" + (f"-{number}" if number else ""))
        except ForeignError as error:
            last = error
    raise last


def leftovers(out: Folder) -> Iterator[Claim | ForeignError]:
    """Yield the folders of killed processes, claimed; for other things of such a name, yield why they are left alone.

    Folders that a process works in are skipped.
    """
    for name in sorted(filter(lambda name: name.startswith(PREFIX), out.names())):
        try:
            if not NAME.fullmatch(name):
                raise ForeignError(errno.EEXIST, "not a name that stemsplit gives", str(out.path / name))
            yield Claim(out, name, make=False)
        except ForeignError as error:
            yield error
        except OSError:
            continue

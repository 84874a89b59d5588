"""Hidden folders that one process at a time works in, and that a killed one leaves to the next."""

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
from stemsplit.disk.folder import Folder, is_link, is_plain
from stemsplit.disk.lock import is_there, try_lock

PREFIX = ".stemsplit-"
"""What the names of these folders begin with."""

NAME = re.compile(rf"{re.escape(PREFIX)}[0-9a-f]{{16}}(-[1-9])?")
"""The whole name: a hash of what is worked on, and a number if something else lies at the name without one."""

PLACES = 10
"""Names that are tried before what lies in their place stops the work."""

LOCK, LIST = "lock", "files.json"
"""The files that every such folder has: one that is locked, which stays empty, and one that names all others."""


class ForeignError(OSError):
    """Something that this program did not make has the name of one of its folders."""


class BusyError(BlockingIOError):
    """Another process works in the folder.

    Args:
        folder: which.
        beat: changes as long as that process lives.
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
"""What the system says of things that are not as this program makes them. All else is its own trouble."""


def _judged(error: OSError, why: str, path: Path) -> OSError:
    """The error to raise for one of the system: ForeignError if it tells of something that is not ours."""
    return ForeignError(errno.EEXIST, why, str(path)) if error.errno in FOREIGN else error


def _ours(found: os.stat_result) -> bool:
    """Whether a file was made by a process of this user."""
    return not hasattr(os, "geteuid") or found.st_uid == os.geteuid()


def _listed(folder: Folder) -> set[str]:
    """The names that a folder's own list has: of files in it, and `folder/file` of files in folders in it.

    Raises:
        ForeignError: there is such a list, and it was not written by this program.
    """
    try:
        names = json.loads(folder.read(LIST, TEXT_LIMIT))
    except FileNotFoundError:
        return set()
    except OSError as error:
        raise _judged(error, "the list is another file", folder.path / LIST) from error
    except (ValueError, RecursionError):
        names = []  # half written: nothing was made yet
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ForeignError(errno.EEXIST, "a list of another form", str(folder.path / LIST))
    for name in names:
        steps = name.split("/")
        if len(steps) > 2 or not all(map(is_plain, steps)) or steps[0] in (LOCK, LIST):
            raise ForeignError(errno.EEXIST, "a list of another form", str(folder.path / LIST))
    return set(names)


def _inner(names: Collection[str]) -> set[str]:
    """The folders among the names of a list."""
    return {name.partition("/")[0] for name in names if "/" in name}


class Claim:
    """A folder that is this process's own until `release`; what a killed process left in it is still there.

    It is a real folder of this user's, on the file system of the folder that it lies in, with a lock, a list of the
    files that were to be made in it, and none but these. Whatever is of another shape is not ours: it is not entered,
    and nothing in it is touched.

    A lock library would not do: the lock file goes with the folder, and who waits for a file that is deleted under it
    holds a lock that means nothing.

    Args:
        out: where it lies.
        name: of the folder.
        make: whether to make it if it is not there.

    Raises:
        BusyError: another process is working in it.
        ForeignError: what has that name is not ours.
        OSError: it cannot be made.
    """

    def __init__(self, out: Folder, name: str, make: bool = True) -> None:
        self.out, self.name = out.duplicate(), name
        self._released = False
        try:
            self.folder, self._lock = self._taken(make)
        except BaseException:
            self.out.close()
            raise
        try:
            self._names = self._checked()
        except ForeignError:
            self.leave()
            raise
        except OSError as error:
            self.leave()
            raise _judged(error, "it holds what is not a file of stemsplit", out.path / name) from error
        heartbeat.begin(self._lock, self.folder.path / LOCK)

    def _taken(self, make: bool) -> tuple[Folder, int]:
        """The folder and its lock, which is ours from now on."""
        for _ in range(TRIES):
            new = False
            if not make and not self.out.has(self.name):
                break
            if make and not self.out.has(self.name):
                with suppress(FileExistsError):
                    self.out.make(self.name, 0o700)
                    new = True
            folder = self._entered(new)
            if folder is None:
                continue  # whoever had it has just removed it
            try:
                if (lock := self._locked(folder)) is not None:
                    return folder, lock
            except BaseException:
                folder.close()
                if new:
                    with suppress(OSError):
                        self.out.remove_folder(self.name)
                raise
            folder.close()
        raise BusyError(str(self.out.path / self.name), 0)

    def _entered(self, new: bool) -> Folder | None:
        """The folder of that name; None if there is none any more."""
        try:
            folder = self.out.enter(self.name)
        except FileNotFoundError:
            if self.out.identity().st_nlink == 0:
                raise  # the folder that it should lie in is gone itself
            return None
        except OSError as error:
            raise _judged(error, "not a folder of stemsplit", self.out.path / self.name) from error
        found, around = folder.identity(), self.out.identity()
        # A new one may seem to be another's: some file systems give all files to one user.
        if found.st_dev != around.st_dev or not (new or _ours(found)):
            folder.close()
            raise ForeignError(errno.EEXIST, "a folder of another user or disk", str(self.out.path / self.name))
        return folder

    def _locked(self, folder: Folder) -> int | None:
        """The lock of a folder, taken; None if it was removed meanwhile."""
        try:
            lock = folder.open(LOCK, os.O_RDWR)
        except FileNotFoundError:
            inside = folder.names()
            if inside == [LOCK]:
                return None  # made just now
            if inside:
                raise ForeignError(errno.EEXIST, "a folder without a lock", str(folder.path)) from None
            try:
                lock = folder.open(LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL)
            except (FileExistsError, FileNotFoundError):
                return None
        except OSError as error:
            raise _judged(error, "the lock is not a file", folder.path) from error
        try:
            found = os.fstat(lock)
            if not stat.S_ISREG(found.st_mode) or found.st_size or found.st_nlink > 1:
                if found.st_nlink == 0:
                    os.close(lock)
                    return None
                raise ForeignError(errno.EEXIST, "the lock is another file", str(folder.path))
            if found.st_uid != folder.identity().st_uid:
                raise ForeignError(errno.EEXIST, "a folder of another user", str(folder.path))
            if try_lock(lock) is False:
                raise BusyError(str(folder.path), found.st_mtime_ns)
            if not is_there(lock, folder, LOCK):
                os.close(lock)
                return None
        except OSError:
            os.close(lock)
            raise
        return lock

    def _checked(self) -> set[str]:
        """The names of the files that were to be made in here.

        Raises:
            ForeignError: there are others.
        """
        names = _listed(self.folder)
        inner = _inner(names)
        for name in set(self.folder.names()) - {LOCK, LIST} - names:
            if name not in inner or is_link(self.folder.stat(name)):
                raise ForeignError(errno.EEXIST, f"it holds {name}, which is not listed", str(self.folder.path))
            with self.folder.enter(name) as within:
                if others := {f"{name}/{each}" for each in within.names()} - names:
                    raise ForeignError(errno.EEXIST, f"it holds {min(others)}", str(self.folder.path))
        for name in self._present(names):
            if not stat.S_ISREG(self._stat(name).st_mode):
                raise ForeignError(errno.EEXIST, f"{name} in it is not a file", str(self.folder.path))
        return names

    @contextmanager
    def _place(self, name: str) -> Iterator[tuple[Folder, str]]:
        """The folder that a listed name is in, and the last part of the name."""
        inner, _, last = name.rpartition("/")
        with self.folder.enter(inner) if inner else self.folder.duplicate() as within:
            yield within, last

    def _stat(self, name: str) -> os.stat_result:
        with self._place(name) as (within, last):
            return within.stat(last)

    def _present(self, names: Collection[str]) -> list[str]:
        """Those of the names that there is something of."""
        present = []
        for name in sorted(names):
            with suppress(FileNotFoundError):
                self._stat(name)
                present.append(name)
        return present

    @property
    def names(self) -> list[str]:
        """The listed files that are there."""
        return self._present(self._names)

    def begin(self, names: Collection[str]) -> None:
        """Empty the folder, and list the files to be made in it. No others may be, and no others are ever removed.

        Args:
            names: plain ones, or `folder/file`.

        Raises:
            OSError: it cannot be written.
        """
        self.clear()
        self._names = set(names)
        with self.folder.create(LIST) as file:
            file.write(json.dumps(sorted(names)).encode())
            file.flush()
            os.fsync(file.fileno())

    def create(self, name: str) -> IO[bytes]:
        """A new file, for reading and writing.

        Raises:
            ValueError: it is not listed.
            OSError: it cannot be made.
        """
        if name not in self._names:
            raise ValueError(f"{name} is not listed")
        with self._place(name) as (within, last):
            return within.create(last)

    def clear(self) -> None:
        """Remove the files that are listed, as far as they are there.

        Raises:
            OSError: one cannot be removed.
        """
        for name in self.names:
            with self._place(name) as (within, last):
                within.remove(last)
        for inner in _inner(self._names):
            with suppress(OSError):
                self.folder.remove_folder(inner)
        self.folder.remove(LIST)
        self._names = set()

    def leave(self) -> None:
        """Let go of the folder, with all that is in it, for whoever works on the same next."""
        if self._released:
            return
        self._released = True
        heartbeat.end(self._lock)
        os.close(self._lock)
        self.folder.close()
        self.out.close()

    def release(self) -> None:
        """Remove the folder with what is listed in it; done once.

        What cannot be removed stays, as a killed process leaves it.
        """
        if self._released:
            return
        with suppress(OSError):
            self.clear()
            # The lock goes last: until then nobody else comes in.
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
    """The folder in which something is worked on, by one process at a time.

    Args:
        out: where it lies.
        key: a hash of what is worked on: 16 hexadecimal digits.

    Raises:
        BusyError: another process is working on it.
        OSError: it cannot be made.
    """
    for place in range(PLACES):
        try:
            return Claim(out, f"{PREFIX}{key}" + (f"-{place}" if place else ""))
        except ForeignError as error:
            last = error
    raise last


def leftovers(out: Folder) -> Iterator[Claim | ForeignError]:
    """What killed processes left in a folder, claimed; and why other things that are called so are left alone.

    Folders that a process works in are passed over.
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

"""Keeps the files of a hidden folder: its own list names them, and no other file is made or removed there."""

import errno
import json
import os
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from stemsplit.disk.files import TEXT_LIMIT
from stemsplit.disk.folder import Folder, flush, is_link, is_plain
from stemsplit.disk.owner import OWNER, WORK

LOCK, LIST, UNDECIDED = "lock", "files.json", "undecided"
"""Files in hidden folders: an empty one that is locked; one that lists all others; and one that is there as long as its
owner's work can still be decided, see `Claim.decide`.
"""

LOOKS = 5
"""Largest number of looks at a folder, until two are the same: another process may be making and removing files."""

GONE = {errno.ENOENT, errno.ESTALE}
"""The system's errors for what another process has just removed; ESTALE is that of a network's file systems."""

MARK = b'{"stemsplit_'
"""Beginning of what `Claim.decide` writes, which a killed process may have written in part."""


class ForeignError(OSError):
    """Something that stemsplit did not make has the name of one of its folders."""


class OtherUserError(ForeignError):
    """Another user made the folder.

    Args:
        reason: what is wrong.
        path: path of the folder.
        user: number of that user.
    """

    def __init__(self, reason: str, path: Path, user: int) -> None:
        super().__init__(errno.EEXIST, reason, str(path))
        self.user = user


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


def translated(error: OSError, reason: str, path: Path) -> OSError:
    """Return a ForeignError for a system's error that is in FOREIGN; any other error is returned as it is."""
    if isinstance(error, ForeignError):
        return error
    return ForeignError(errno.EEXIST, reason, str(path)) if error.errno in FOREIGN else error


def is_own(status: os.stat_result, users: Collection[int]) -> bool:
    """Return whether a file belongs to the user of this process.

    Args:
        status: status of the file.
        users: further numbers that the user has on that disk.
    """
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid() or status.st_uid in users


def is_kept(name: str) -> bool:
    """Return whether a name is that of a hidden folder's own files and folders, so that no list may have it."""
    return name in (LOCK, LIST, UNDECIDED) or bool(OWNER.fullmatch(name)) or bool(WORK.fullmatch(name))


def is_gone(error: OSError) -> bool:
    """Return whether an error means that another process has just removed something."""
    return error.errno in GONE


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
        raise translated(error, "its list is not a regular file", folder.path / LIST) from error
    except (ValueError, RecursionError):
        names = []  # a half-written list: no other file was made yet
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ForeignError(errno.EEXIST, "its list has another form", str(folder.path / LIST))
    for name in names:
        steps = name.split("/")
        if len(steps) > 2 or not all(map(is_plain, steps)) or is_kept(steps[0]):
            raise ForeignError(errno.EEXIST, "its list has another form", str(folder.path / LIST))
    return set(names)


def _subfolders(names: Collection[str]) -> set[str]:
    """Return the subfolders that the names of a list have."""
    return {name.partition("/")[0] for name in names if "/" in name}


def is_empty_file(status: os.stat_result) -> bool:
    """Return whether a file can be one of stemsplit's empty ones: regular, empty, and with no other name."""
    return stat.S_ISREG(status.st_mode) and not status.st_size and status.st_nlink <= 1


class Listed:
    """The listed files of a hidden folder, or of a folder in it that one process works in.

    Args:
        out: parent of the hidden folder.
        folder: the folder itself.

    Attributes:
        listed: names on its list.
    """

    def __init__(self, out: Folder, folder: Folder) -> None:
        self.out, self.folder = out, folder
        self.listed = set[str]()

    @property
    def is_inner(self) -> bool:
        """Whether it is a folder in a hidden one."""
        return bool(WORK.fullmatch(self.folder.path.name))

    def check(self) -> None:
        """Read the folder's list, and make sure that nothing else is in it.

        Raises:
            ForeignError: the folder has a file that is not listed.
            OSError: the folder cannot be read.
        """
        looks = [self._look()]
        while len(looks) < LOOKS and (look := self._look()) != looks[-1]:
            looks.append(look)
        self.listed, others = looks[-1]
        if others:
            raise ForeignError(errno.EEXIST, f"it holds {min(others)}, which is not listed", str(self.folder.path))
        for name in self.names:
            if not stat.S_ISREG(self._stat(name).st_mode):
                raise ForeignError(errno.EEXIST, f"its {name} is not a file", str(self.folder.path))

    def _look(self) -> tuple[set[str], set[str]]:
        """Return the listed names, and those of files that are there and not listed."""
        names = _read_list(self.folder)
        subfolders, others = _subfolders(names), set[str]()
        for name in set(self.folder.names()) - names:
            with suppress(FileNotFoundError):
                if is_kept(name) and not (self.is_inner and name not in (LOCK, LIST, UNDECIDED)):
                    self._refuse_other_kind(name)
                elif name in subfolders and not is_link(self.folder.stat(name)):
                    with self.folder.enter(name) as subfolder:
                        others |= {f"{name}/{each}" for each in subfolder.names()} - names
                else:
                    others.add(name)
        return names, others

    def _refuse_other_kind(self, name: str) -> None:
        """Raise ForeignError if one of the hidden folder's own files is of another kind."""
        status = self.folder.stat(name)
        if WORK.fullmatch(name):
            sound = stat.S_ISDIR(status.st_mode) and not is_link(status)
        elif name == LIST:
            sound = stat.S_ISREG(status.st_mode)
        elif name == UNDECIDED:
            beginning = self.folder.read(name, TEXT_LIMIT)[: len(MARK)]
            sound = status.st_nlink <= 1 and MARK.startswith(beginning)
        else:
            sound = is_empty_file(status)
        if not sound:
            raise ForeignError(errno.EEXIST, f"its {name} is something else", str(self.folder.path))

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
        return self._present(self.listed)

    def begin(self, names: Collection[str]) -> None:
        """Empty the folder, and list the files to be made in it. No other files can be made or are ever removed.

        Args:
            names: plain file names, or `folder/file`.

        Raises:
            OSError: the list cannot be written.
        """
        self.clear()
        self.listed = set(names)
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
        if name not in self.listed:
            raise ValueError(f"{name} is not listed")
        with self._parent(name) as (parent, file_name):
            return parent.create(file_name)

    def empty(self) -> None:
        """Remove the listed files, but not the list.

        Raises:
            OSError: one cannot be removed.
        """
        for name in self.names:
            with suppress(FileNotFoundError), self._parent(name) as (parent, file_name):
                parent.remove(file_name)
        for subfolder in _subfolders(self.listed):
            with suppress(OSError):
                self.folder.remove_folder(subfolder)

    def clear(self) -> None:
        """Remove the listed files, and the list.

        Raises:
            OSError: one cannot be removed.
        """
        self.empty()
        self.folder.remove(LIST)
        self.listed = set()

"""Defines an output folder by what can be asked of it, on this machine's disks or in an object store."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath, PurePosixPath
from typing import Protocol

from stemsplit.disk import Folder
from stemsplit.disk.atomic import replacing_in
from stemsplit.disk.claim import ForeignError
from stemsplit.disk.files import foreign
from stemsplit.disk.folder import is_link, is_plain
from stemsplit.disk.limits import why
from stemsplit.disk.looking import looks
from stemsplit.errors import AudioError
from stemsplit.songs.hidden import COMMIT


class ClosedError(AudioError):
    """Some folders below an output folder cannot be listed; everything else was."""


@dataclass(frozen=True, slots=True)
class Holding:
    """A claim on a song, of a process that works on it or that died.

    Args:
        name: name of the hidden folder or object, relative to the output folder.
        host: name of the machine; empty if unknown.
        process: number of the process; None if unknown.
        silent_seconds: time since its last sign of life, by the clock of the disk or store; None if unknown.
        is_live: whether the process is known to work, True, or known to be dead, False; None if nobody can tell.
        takeovers: number of processes that died or went silent on this song before.
        is_whole: whether all stems of the song are whole already, and only have to be given their names.
        strange: why it is not a claim of stemsplit, though it has the name of one; empty if it is.
    """

    name: str
    host: str = ""
    process: int | None = None
    silent_seconds: float | None = None
    is_live: bool | None = None
    takeovers: int = 0
    is_whole: bool = False
    strange: str = ""


class Place(Protocol):
    """An output folder. Names are relative to it, with `/` between steps; no link is followed below it."""

    @property
    def reads_at_once(self) -> int:
        """Number of files that are best read at the same time, each in a thread of its own: 1 for a disk."""

    def shown(self, name: str) -> str:
        """Return the path or address of a file as people read it; for an empty name, that of the folder itself."""

    def files(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Yield the name and the size in bytes of each file, in any order; hidden ones, links and others are left out.

        Args:
            below: name of the only folder to list, with all below it; nothing is yielded if it does not exist.

        Raises:
            ClosedError: a folder below cannot be listed; everything else was yielded.
            AudioError: the folder does not exist, or cannot be listed.
        """

    def claims(self) -> Iterator[Holding]:
        """Yield the claims on songs.

        Raises:
            AudioError: the folder does not exist, or cannot be listed.
        """

    def read(self, name: str, limit: int) -> bytes | None:
        """Read a file; None if there is none of that name, or it is larger than `limit` bytes.

        Raises:
            AudioError: it cannot be read.
        """

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all; a file of that name is replaced. Folders are made as needed.

        Raises:
            AudioError: it cannot be written.
        """


MISSING = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.EINVAL, errno.EFBIG, errno.ENXIO}
"""The system's errors for what is not a file of stemsplit's, or not there at all."""


class LocalPlace:
    """An output folder on a disk of this machine, or on a network file system.

    Args:
        root: path of the folder; it need not exist to be written to.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def reads_at_once(self) -> int:
        """Number of files that are best read at the same time."""
        return 1

    def shown(self, name: str) -> str:
        """Return the path of a file as people read it."""
        return str(self.root / name)

    def _cannot(self, do: str, name: str, error: OSError) -> AudioError:
        return AudioError(f"cannot {do} {self.shown(name)} ({why(error)})")

    def _is_folder(self, name: str) -> bool:
        """Return whether there is a folder of that name; a link on the way to it is not followed."""
        try:
            with Folder(self.root) as top:
                top.descend(PurePosixPath(name)).close()
        except OSError as error:
            if error.errno in MISSING:
                return False
            raise self._cannot("list", name, error) from error
        return True

    def files(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Yield the name and the size of each file that is neither hidden nor in a hidden folder.

        What is removed meanwhile is passed over.

        Args:
            below: name of the only folder to list.

        Raises:
            ClosedError: a folder below cannot be listed; everything else was yielded.
            AudioError: the folder does not exist, or cannot be listed.
        """
        closed: AudioError | None = None
        if below and not self._is_folder(below):
            return
        waiting = [f"{below}/" if below else ""]
        while waiting:
            below = waiting.pop()
            try:
                with os.scandir(self.root / below) as entries:
                    for entry in entries:
                        if entry.name.startswith("."):
                            continue
                        with suppress(FileNotFoundError):
                            status = entry.stat(follow_symlinks=False)
                            if stat.S_ISREG(status.st_mode):
                                yield below + entry.name, status.st_size
                            elif stat.S_ISDIR(status.st_mode) and not is_link(status):
                                waiting.append(f"{below}{entry.name}/")
            except OSError as error:
                if not below:
                    raise self._cannot("list", below, error) from error
                if error.errno not in (errno.ENOENT, errno.ENOTDIR):
                    closed = closed or self._cannot("list", below, error)
        if closed:
            raise ClosedError(str(closed))

    def claims(self) -> Iterator[Holding]:
        """Yield the claims on songs: the hidden folders. Nothing is changed, and nobody is kept from them.

        Raises:
            AudioError: the folder does not exist, or cannot be listed.
        """
        try:
            with Folder(self.root) as out:
                for look in looks(out):
                    if isinstance(look, ForeignError):
                        name = PurePath(look.filename or "").name
                        yield Holding(name, strange=look.strerror or "")
                        continue
                    facts = (look.host, look.process, look.silent_seconds, look.is_live, look.takeovers)
                    yield Holding(look.name, *facts, is_whole=COMMIT in look.files)
        except OSError as error:
            raise self._cannot("list", "", error) from error

    def read(self, name: str, limit: int) -> bytes | None:
        """Read a regular file; None if there is none of that name, or it is too large.

        Raises:
            AudioError: it cannot be read.
        """
        path = PurePosixPath(name)
        try:
            with Folder(self.root) as top, top.descend(path.parent) as folder:
                return folder.read(path.name, limit)
        except OSError as error:
            if error.errno in MISSING:
                return None
            raise self._cannot("read", name, error) from error

    def write(self, name: str, data: bytes) -> None:
        """Write a file whole or not at all, over a regular file only.

        Raises:
            AudioError: it cannot be written, or a link or another thing is in its place.
        """
        path = PurePosixPath(name)
        try:
            if not all(map(is_plain, path.parts)):  # before a folder is made
                raise OSError(errno.EINVAL, "not a file name")
            self.root.mkdir(parents=True, exist_ok=True)
            with Folder(self.root) as top, top.descend(path.parent, make=True) as folder:
                if folder.has(path.name):
                    found = folder.stat(path.name)
                    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
                        raise foreign(self.root / name)
                with replacing_in(folder, path.name) as file:
                    file.write(data)
        except OSError as error:
            raise self._cannot("write", name, error) from error

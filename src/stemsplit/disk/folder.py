"""Folders that are held open, so that nobody can put another one in their place while they are worked in."""

import errno
import os
import stat
from pathlib import Path, PurePath
from types import TracebackType
from typing import IO, Self

BY_DESCRIPTOR = {os.open, os.mkdir, os.rename, os.stat, os.unlink, os.rmdir} <= os.supports_dir_fd
"""Whether the system reaches files through an open folder. Windows does not; there, a file that is open keeps the
folders above it from being moved.
"""

EVERYWHERE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags for every file: a pipe that was put in a file's place must not keep us waiting."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)

JUNCTION = 0xA0000003
"""How Windows marks a folder that stands for another one."""

CLOSED = -1
"""In place of a descriptor; the system refuses it."""


def is_plain(name: str) -> bool:
    """Whether a name is that of a file right in a folder, on every system."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}


def is_link(found: os.stat_result) -> bool:
    """Whether what was looked at (without following it) stands for something elsewhere."""
    return stat.S_ISLNK(found.st_mode) or getattr(found, "st_reparse_tag", 0) == JUNCTION


def refuse_irregular(descriptor: int, path: Path) -> None:
    """Raise OSError unless an open file is a regular one: a device may have no end."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


class Folder:
    """A folder, held open. Everything in it is reached by a plain name, and no link is followed.

    Args:
        path: the folder; links on the way to it are followed, as it is the user who named it.

    Raises:
        OSError: there is no such folder, or it may not be read.
    """

    def __init__(self, path: Path) -> None:
        self._hold(path, os.fspath(path), None, 0)

    def _hold(self, path: Path, name: str, above: int | None, flags: int) -> None:
        self.path = path
        self.descriptor: int | None = None
        if BY_DESCRIPTOR:
            self.descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | flags | EVERYWHERE, dir_fd=above)
        elif not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))

    def _at(self, name: str) -> str | Path:
        """What the system calls a file in here, beside the descriptor.

        Raises:
            OSError: the name is not a plain one.
        """
        if not is_plain(name):
            raise OSError(errno.EINVAL, "not the name of a file", name)
        return self.path / name if self.descriptor is None else name

    def enter(self, name: str) -> "Folder":
        """Hold a folder in this one.

        Raises:
            OSError: it is not there, is a link or is not a folder.
        """
        if is_link(self.stat(name)):
            raise NotADirectoryError(errno.ENOTDIR, "a link, which is not followed", str(self.path / name))
        inner = Folder.__new__(Folder)
        inner._hold(self.path / name, os.fspath(self._at(name)), self.descriptor, NO_LINK)
        return inner

    def descend(self, way: PurePath, make: bool = False) -> "Folder":
        """Hold a folder some steps below this one; with `make`, folders that are not there are made.

        Raises:
            OSError: a step is a link, is not a folder or cannot be made.
        """
        here = self.duplicate()
        for step in way.parts:
            with here:
                if make and not here.has(step):
                    here.make(step, exist_ok=True)
                here = here.enter(step)
        return here

    def duplicate(self) -> "Folder":
        """Hold the same folder once more."""
        again = Folder.__new__(Folder)
        again.path = self.path
        again.descriptor = None if self.descriptor is None else os.dup(self.descriptor)
        return again

    def identity(self) -> os.stat_result:
        """What the system knows of the folder itself."""
        return self.path.stat() if self.descriptor is None else os.fstat(self.descriptor)

    def names(self) -> list[str]:
        """What is in here."""
        return os.listdir(self.path if self.descriptor is None else self.descriptor)  # noqa: PTH208  # by descriptor

    def stat(self, name: str) -> os.stat_result:
        """What the system knows of a file in here, or of a link itself."""
        return os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)

    def has(self, name: str) -> bool:
        """Whether there is anything of that name, be it a link that leads nowhere."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int | None:
        """Bytes of a regular file; None if there is none of that name."""
        try:
            found = self.stat(name)
        except OSError:
            return None
        return found.st_size if stat.S_ISREG(found.st_mode) else None

    def make(self, name: str, mode: int = 0o777, exist_ok: bool = False) -> None:
        """Make a folder in here."""
        try:
            os.mkdir(self._at(name), mode, dir_fd=self.descriptor)
        except FileExistsError:
            if not exist_ok:
                raise

    def open(self, name: str, flags: int) -> int:
        """The descriptor of a file in here that is not a link. A new one has the mode that the user's umask leaves."""
        return os.open(self._at(name), flags | NO_LINK | EVERYWHERE, 0o666, dir_fd=self.descriptor)

    def create(self, name: str) -> IO[bytes]:
        """A new file in here, for reading and writing.

        Raises:
            OSError: there is something of that name, or it cannot be made.
        """
        return os.fdopen(self.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL), "w+b")

    def read(self, name: str, limit: int) -> bytes:
        """The content of a regular file in here.

        Raises:
            OSError: there is none, or it has more than `limit` bytes.
        """
        with os.fdopen(self.open(name, os.O_RDONLY), "rb") as file:
            return read_at_most(file, limit, self.path / name)

    def remove(self, name: str) -> None:
        """Remove a file, or a link itself. What is not there is left so."""
        try:
            os.unlink(self._at(name), dir_fd=self.descriptor)
        except FileNotFoundError:
            return

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(self._at(name), dir_fd=self.descriptor)

    def move(self, name: str, to: "Folder", new_name: str) -> None:
        """Move a file or folder, over a file of the new name."""
        os.replace(self._at(name), to._at(new_name), src_dir_fd=self.descriptor, dst_dir_fd=to.descriptor)

    def sync(self) -> None:
        """Have the names in here on the disk, as far as the file system can be asked to."""
        if self.descriptor is not None:
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EBADF, errno.EACCES):
                    raise

    def close(self) -> None:
        """Let go of the folder."""
        if self.descriptor is not None and self.descriptor != CLOSED:
            os.close(self.descriptor)
            self.descriptor = CLOSED

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_at_most(file: IO[bytes], limit: int, path: Path) -> bytes:
    """The content of an open file.

    Raises:
        OSError: it is not a regular one, or has more than `limit` bytes.
    """
    refuse_irregular(file.fileno(), path)
    content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit / 1e6:g} MB", str(path))
    return content

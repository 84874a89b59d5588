"""Holds folders open, so that nobody can put another folder or a link in their place meanwhile."""

import errno
import os
import stat
from pathlib import Path, PurePath
from types import TracebackType
from typing import IO, Self

BY_DESCRIPTOR = {os.open, os.mkdir, os.rename, os.stat, os.unlink, os.rmdir} <= os.supports_dir_fd
"""Whether the system can open files relative to an open folder. Windows cannot, but there the folders above an open
file cannot be moved.
"""

EVERYWHERE = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0)
"""Flags for opening every file. They also keep a pipe in a file's place from blocking the program."""

NO_LINK = getattr(os, "O_NOFOLLOW", 0)

JUNCTION = 0xA0000003
"""Windows' tag of a junction: a folder that stands for another one."""

CLOSED = -1
"""Invalid descriptor of a folder after `close`; the system refuses it."""


NO_PROMISE = {errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}
"""The system's errors for disks that cannot say when data is safe from a power cut: some network and cloud mounts."""


def flush(descriptor: int) -> None:
    """Write an open file's content to the disk before anything else happens, if the disk can promise that.

    Raises:
        OSError: the disk failed, and the content may be lost.
    """
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in NO_PROMISE:
            raise


def is_plain(name: str) -> bool:
    """Return whether a name is a single step of a path, on every system."""
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return False
    return name not in ("", ".", "..") and not set(name) & {"/", "\\", "\0"}


def is_link(status: os.stat_result) -> bool:
    """Return whether the result of an `lstat` is that of a link or a junction."""
    return stat.S_ISLNK(status.st_mode) or getattr(status, "st_reparse_tag", 0) == JUNCTION


def refuse_irregular(descriptor: int, path: Path) -> None:
    """Raise OSError unless an open file is a regular one: reading a device may never end."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))


class Folder:
    """A folder that is held open. Files in it are reached by plain names, and no link is followed.

    Args:
        path: folder to open. Links on the way to it are followed, because the user named the path.

    Raises:
        OSError: the folder does not exist, or may not be read.
    """

    def __init__(self, path: Path) -> None:
        self._hold(path, os.fspath(path), None, 0)

    def _hold(self, path: Path, name: str, parent: int | None, flags: int) -> None:
        self.path = path
        self.descriptor: int | None = None
        if BY_DESCRIPTOR:
            self.descriptor = os.open(name, os.O_RDONLY | os.O_DIRECTORY | flags | EVERYWHERE, dir_fd=parent)
        elif not path.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(path))

    def _at(self, name: str) -> str | Path:
        """Return the path of a file in this folder that the system expects, beside the descriptor.

        Raises:
            OSError: the name is not a plain one.
        """
        if not is_plain(name):
            raise OSError(errno.EINVAL, "not a file name", name)
        return self.path / name if self.descriptor is None else name

    def enter(self, name: str) -> "Folder":
        """Open a folder in this one.

        Raises:
            OSError: it does not exist, is a link or is not a folder.
        """
        if is_link(self.stat(name)):
            raise NotADirectoryError(errno.ENOTDIR, "a link, which is not followed", str(self.path / name))
        inner = Folder.__new__(Folder)
        inner._hold(self.path / name, os.fspath(self._at(name)), self.descriptor, NO_LINK)
        return inner

    def descend(self, relative: PurePath, make: bool = False) -> "Folder":
        """Open a folder some steps below this one.

        Args:
            relative: path of the folder, relative to this one.
            make: whether to make folders that do not exist.

        Raises:
            OSError: a step is a link, is not a folder or cannot be made.
        """
        folder = self.duplicate()
        for step in relative.parts:
            with folder:
                if make and not folder.has(step):
                    folder.make(step, exist_ok=True)
                folder = folder.enter(step)
        return folder

    def duplicate(self) -> "Folder":
        """Open the same folder once more."""
        duplicate = Folder.__new__(Folder)
        duplicate.path = self.path
        duplicate.descriptor = None if self.descriptor is None else os.dup(self.descriptor)
        return duplicate

    def identity(self) -> os.stat_result:
        """Return the status of the folder itself."""
        return self.path.stat() if self.descriptor is None else os.fstat(self.descriptor)

    def names(self) -> list[str]:
        """Return the names in the folder."""
        return os.listdir(self.path if self.descriptor is None else self.descriptor)  # noqa: PTH208  # by descriptor

    def stat(self, name: str) -> os.stat_result:
        """Return the status of a file in the folder, or of a link itself."""
        return os.stat(self._at(name), dir_fd=self.descriptor, follow_symlinks=False)

    def has(self, name: str) -> bool:
        """Return whether the folder has a file of that name, or a link, even one that leads nowhere."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def size(self, name: str) -> int | None:
        """Return the size in bytes of a regular file in the folder; None if there is no such file."""
        try:
            status = self.stat(name)
        except OSError:
            return None
        return status.st_size if stat.S_ISREG(status.st_mode) else None

    def make(self, name: str, mode: int = 0o777, exist_ok: bool = False) -> None:
        """Make a folder in this one."""
        try:
            os.mkdir(self._at(name), mode, dir_fd=self.descriptor)
        except FileExistsError:
            if not exist_ok:
                raise

    def open(self, name: str, flags: int) -> int:
        """Open a file in the folder that is not a link, and return its descriptor. A new file gets the umask's mode."""
        return os.open(self._at(name), flags | NO_LINK | EVERYWHERE, 0o666, dir_fd=self.descriptor)

    def create(self, name: str) -> IO[bytes]:
        """Create a file in the folder, for reading and writing.

        Raises:
            OSError: the name is taken, or the file cannot be created.
        """
        return os.fdopen(self.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL), "w+b")

    def read(self, name: str, limit: int) -> bytes:
        """Read a regular file in the folder.

        Raises:
            OSError: it does not exist, or has more than `limit` bytes.
        """
        with os.fdopen(self.open(name, os.O_RDONLY), "rb") as file:
            return read_at_most(file, limit, self.path / name)

    def remove(self, name: str, missing_ok: bool = True) -> None:
        """Remove a file or a link, if it exists."""
        try:
            os.unlink(self._at(name), dir_fd=self.descriptor)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove_folder(self, name: str) -> None:
        """Remove an empty folder."""
        os.rmdir(self._at(name), dir_fd=self.descriptor)

    def move(self, name: str, to: "Folder", new_name: str) -> None:
        """Move a file or folder to another folder or name. A file of the new name is replaced."""
        os.replace(self._at(name), to._at(new_name), src_dir_fd=self.descriptor, dst_dir_fd=to.descriptor)

    def sync(self) -> None:
        """Write the folder's list of names to the disk, if the file system supports that."""
        if self.descriptor is not None:
            try:
                flush(self.descriptor)
            except OSError as error:
                if error.errno not in (errno.EBADF, errno.EACCES):  # from disks that flush only what is open to write
                    raise

    def close(self) -> None:
        """Close the folder."""
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
    """Read an open file.

    Raises:
        OSError: it is not a regular file, or has more than `limit` bytes.
    """
    refuse_irregular(file.fileno(), path)
    content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit / 1e6:g} MB", str(path))
    return content


def read_unlinked(path: str, limit: int) -> bytes:
    """Read a regular file that is not a link, given its whole path; quicker than a `Folder` that is opened for it.

    Raises:
        OSError: it does not exist, is a link, or has more than `limit` bytes.
    """
    if not NO_LINK and os.path.islink(path):  # noqa: PTH114  # a text
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    descriptor = os.open(path, os.O_RDONLY | NO_LINK | EVERYWHERE)
    try:
        about, content = os.fstat(descriptor), b""
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        while len(content) <= limit and (part := os.read(descriptor, min(about.st_size, limit) + 1)):
            content += part
    finally:
        os.close(descriptor)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"larger than {limit / 1e6:g} MB", path)
    return content

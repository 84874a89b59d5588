"""Hidden folders that one process at a time works in, and that a killed one leaves to the next."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path

PREFIX = ".stemsplit-"
"""What the names of these folders begin with."""

LOCK = "lock"


def _try_lock(descriptor: int) -> bool:
    """Take the lock of an open file, which ends with the process at the latest; False if another one has it."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        # Windows says that someone else has it; elsewhere the file system knows no locks, and nobody can.
        return sys.platform != "win32"
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


class Claim:
    """A folder that is this process's own until `release`; what a killed process left in it is still there.

    A lock library would not do: the lock file goes with the folder, and who waits for a file that is deleted under it
    holds a lock that means nothing.

    Args:
        folder: made if it is not there; its parent is.

    Raises:
        BlockingIOError: another process is working in it.
        OSError: it cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._released = folder, False
        while True:
            with suppress(FileExistsError):  # not exist_ok, which looks a second time, when it may be gone
                folder.mkdir()
            try:
                self._descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            except FileNotFoundError:
                continue  # whoever had it has just removed it
            except OSError:
                with suppress(OSError):
                    folder.rmdir()
                raise
            if not _try_lock(self._descriptor):
                os.close(self._descriptor)
                raise BlockingIOError(f"another process works in {folder}")
            if _same_file(self._descriptor, folder / LOCK):
                break
            os.close(self._descriptor)

    def clear(self) -> None:
        """Remove all that is in the folder."""
        for path in self.folder.iterdir():
            if path.name != LOCK:
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)

    def release(self) -> None:
        """Remove the folder with all that is in it; done once."""
        if self._released:
            return
        self._released = True
        # The lock goes last: until then nobody else comes in.
        self.clear()
        if sys.platform == "win32":  # where an open file cannot be deleted
            os.close(self._descriptor)
        with suppress(OSError):
            (self.folder / LOCK).unlink()
            self.folder.rmdir()
        if sys.platform != "win32":
            os.close(self._descriptor)

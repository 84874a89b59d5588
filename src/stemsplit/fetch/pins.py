"""Pins digests that nobody published: the user's lock file keeps that of the first download."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stemsplit.disk import read_text, size_of_own
from stemsplit.disk.atomic import write_json
from stemsplit.disk.folders import user_folder
from stemsplit.errors import RegistryError, WeightsError

LOCK_SECONDS = 60.0
"""Seconds to wait for another process that is writing the lock file, which takes only a moment."""


class LockFileError(WeightsError):
    """The lock file cannot be used. That is not a source's fault, so no other source is tried."""


def lock_file() -> Path:
    """Return the path of the file with pinned digests."""
    return user_folder() / "models.lock.json"


def _read() -> dict[str, dict[str, str | int]]:
    """Read the lock file: name of an entry -> sha256 and size of its weights."""
    try:
        lock_file()
    except RegistryError:
        return {}  # without a home folder, nothing was ever pinned
    try:
        content = json.loads(read_text(lock_file()))
        pins: dict[str, dict[str, str | int]]
        pins = {name: {"sha256": str(pin["sha256"]), "size": int(pin["size"])} for name, pin in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LockFileError(f"cannot read {lock_file()} ({error}); repair it, or delete it") from error
    for name, pin in pins.items():
        # A digest becomes part of file names.
        if not re.fullmatch("[0-9a-f]{64}", str(pin["sha256"])):
            raise LockFileError(f"cannot read {lock_file()} (no sha256 for {name!r}); repair it, or delete it")
    return pins


def pinned(name: str) -> str:
    """Return the sha256 that is pinned for the entry of that name; empty if there is none.

    Raises:
        LockFileError: the lock file cannot be read.
    """
    return str(_read().get(name, {}).get("sha256", ""))


@contextmanager
def _editing() -> Iterator[dict[str, dict[str, str | int]]]:
    """Yield the content of the lock file, and write it back when the block ends. Other processes wait until then."""
    from filelock import FileLock  # imported late: a model that is here already needs none

    lock_file().parent.mkdir(parents=True, exist_ok=True)
    lock = lock_file().with_name(".models.lock")
    size_of_own(lock)  # refuses a link, through which the lock library could empty a file elsewhere
    with FileLock(lock, timeout=LOCK_SECONDS):
        pins = _read()
        yield pins
        write_json(lock_file(), pins)


def _cause(error: OSError) -> str:
    """Return what went wrong, with the file's name if the error has one."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def pin(name: str, digest: str, size: int) -> None:
    """Pin the sha256 of an entry's weights.

    Raises:
        LockFileError: another digest was pinned meanwhile, or the lock file cannot be read or written.
    """
    try:
        with _editing() as pins:
            if pins.get(name, {}).get("sha256", digest) != digest:
                raise LockFileError(
                    f"another process has just pinned a different file for {name!r} in {lock_file()}; try again"
                )
            pins[name] = {"sha256": digest, "size": size}
    except OSError as error:
        raise LockFileError(
            f"no digest was published for {name!r}, and this file's cannot be kept in {lock_file()} ({_cause(error)});"
            " set STEMSPLIT_CONFIG to a folder that can be written"
        ) from error


def unpin(name: str) -> None:
    """Drop the pinned digest of the entry of that name, if there is one.

    Raises:
        LockFileError: the lock file cannot be read or written.
    """
    if not pinned(name):
        return
    try:
        with _editing() as pins:
            pins.pop(name, None)
    except OSError as error:
        raise LockFileError(
            f"cannot remove {name!r} from {lock_file()} ({_cause(error)}); delete it there by hand"
        ) from error

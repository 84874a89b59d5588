"""Digests that nobody published: remembered from the first download on, in the user's lock file."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stemsplit.disk import read_text, size_of_own
from stemsplit.disk.files import write_json
from stemsplit.disk.folders import user_folder
from stemsplit.errors import WeightsError

LOCK_SECONDS = 60.0
"""How long to wait for another process to write the lock file, which takes it no time."""


class LockFileError(WeightsError):
    """The file with remembered digests does not do: no source is to blame, and no other one to be tried."""


def lock_file() -> Path:
    """Where the digests are remembered that nobody published."""
    return user_folder() / "models.lock.json"


def _remembered() -> dict[str, dict[str, str | int]]:
    """The lock file: name of an entry -> its sha256 and size."""
    try:
        content = json.loads(read_text(lock_file()))
        pins: dict[str, dict[str, str | int]]
        pins = {name: {"sha256": str(pin["sha256"]), "size": int(pin["size"])} for name, pin in content.items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, AttributeError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise LockFileError(f"cannot read {lock_file()} ({error}); mend it, or delete it") from error
    for name, pin in pins.items():
        # A digest is part of the names of files.
        if not re.fullmatch("[0-9a-f]{64}", str(pin["sha256"])):
            raise LockFileError(f"cannot read {lock_file()} (no sha256 is given for {name!r}); mend it, or delete it")
    return pins


def pinned(name: str) -> str:
    """The sha256 that was remembered for the entry of that name; empty if none was.

    Raises:
        LockFileError: the lock file cannot be read.
    """
    return str(_remembered().get(name, {}).get("sha256", ""))


@contextmanager
def _remembering() -> Iterator[dict[str, dict[str, str | int]]]:
    """What the lock file holds, to be changed and written back; no other process changes it meanwhile."""
    from filelock import FileLock  # only now: whoever asks what is here does without

    lock_file().parent.mkdir(parents=True, exist_ok=True)
    lock = lock_file().with_name(".models.lock")
    size_of_own(lock)  # or the library may empty a file elsewhere, which the lock was made a link to
    with FileLock(lock, timeout=LOCK_SECONDS):
        pins = _remembered()
        yield pins
        write_json(lock_file(), pins)


def _words(error: OSError) -> str:
    """What is wrong with a file, and with which one."""
    reason = error.strerror or str(error)
    return f"{error.filename}: {reason}" if error.filename else reason


def pin(name: str, digest: str, size: int) -> None:
    """Remember the sha256 of an entry's weights, for which none was published.

    Raises:
        LockFileError: another was remembered meanwhile, or the lock file cannot be read or written.
    """
    try:
        with _remembering() as pins:
            if pins.get(name, {}).get("sha256", digest) != digest:
                raise LockFileError(
                    f"another file was got for {name!r} meanwhile, and is remembered in {lock_file()}; try again"
                )
            pins[name] = {"sha256": digest, "size": size}
    except OSError as error:
        raise LockFileError(
            f"no digest of {name!r} was published, and {lock_file()} cannot be written to remember this file's"
            f" ({_words(error)}); set STEMSPLIT_CONFIG to a folder that can be written"
        ) from error


def unpin(name: str) -> None:
    """Forget the sha256 that was remembered for the entry of that name, if one was.

    Raises:
        LockFileError: the lock file cannot be read or written.
    """
    if not pinned(name):
        return
    try:
        with _remembering() as pins:
            pins.pop(name, None)
    except OSError as error:
        raise LockFileError(
            f"cannot write {lock_file()} to forget the file of {name!r} ({_words(error)}); delete {name!r} there"
        ) from error

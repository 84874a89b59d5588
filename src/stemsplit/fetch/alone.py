"""Lets one process at a time get a file, and the others wait for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path, PurePath

from filelock import FileLock, Timeout

from stemsplit.disk import make_below, size_of_own
from stemsplit.errors import WeightsError

Progress = Callable[[int, int], None]
"""Told, again and again, the bytes that are here and the bytes in all, 0 if unknown."""

STANDSTILL = 600.0
"""Seconds to wait for another process's download that does not get on."""

POLL = 0.5
"""Seconds after which it is looked how far another process is."""


def _traces(part: Path) -> list[tuple[str, int, int]]:
    """What shows that a process puts a file together, be it the hub's own library."""
    traces = []
    for path in part.parent.glob(f"{escape(part.name.partition('.')[0])}*"):
        try:
            found = path.lstat()
        except OSError:
            continue  # finished just now
        traces.append((path.name, found.st_size, found.st_mtime_ns))
    return sorted(traces)


@contextmanager
def alone(root: Path, lock: PurePath, part: Path, size: int, progress: Progress) -> Iterator[None]:
    """Be the only process that gets a file; until then, show how far the other one is.

    Args:
        root: folder of the cache.
        lock: the file to lock, below it.
        part: the file that is put together.
        size: of the whole, in bytes; 0 if unknown.
        progress: told how far the other process is.

    Raises:
        WeightsError: the other process does not get on.
        OSError: the lock is not a file of ours, or cannot be made.
    """
    path = make_below(root, lock.parent) / lock.name
    size_of_own(path)  # or the library may empty a file elsewhere, which the lock was made a link to
    # The mode with which the hub's library shares its locks in a group.
    held = FileLock(path, mode=0o664)
    seen, since = _traces(part), time.monotonic()
    while not held.is_locked:
        try:
            held.acquire(timeout=POLL)
        except Timeout:
            if (traces := _traces(part)) != seen:
                seen, since = traces, time.monotonic()
            elif time.monotonic() - since > STANDSTILL:
                stuck = f"another process gets it, but has not got on for {STANDSTILL / 60:g} minutes"
                raise WeightsError(f"{stuck}; end that process, and try again") from None
            progress(size_of_own(part), size)
    try:
        yield
    finally:
        held.release()

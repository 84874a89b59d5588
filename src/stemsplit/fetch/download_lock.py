"""Makes sure that one process at a time downloads a file, while the others wait for it."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from glob import escape
from pathlib import Path, PurePath

from filelock import FileLock, Timeout

from stemsplit.disk import make_below, size_of_own
from stemsplit.errors import WeightsError

Progress = Callable[[int, int], None]
"""Called again and again with the bytes downloaded so far and the bytes of the whole file, 0 if unknown."""

STALLED_SECONDS = 600.0
"""Seconds to wait for another process whose download does not advance."""

POLL_SECONDS = 0.5
"""Seconds between two looks at the progress of another process."""


def _traces(part: Path) -> list[tuple[str, int, int]]:
    """Return names, sizes and times of the files that a download changes, also one by the hub's own library."""
    traces = []
    for path in part.parent.glob(f"{escape(part.name.partition('.')[0])}*"):
        try:
            status = path.lstat()
        except OSError:
            continue  # it was finished just now
        traces.append((path.name, status.st_size, status.st_mtime_ns))
    return sorted(traces)


@contextmanager
def download_lock(root: Path, lock: PurePath, part: Path, size: int, progress: Progress) -> Iterator[None]:
    """Hold the lock on a download. While another process has it, show that process's progress.

    Args:
        root: folder of the cache.
        lock: path of the lock file, relative to `root`.
        part: file that the download is written to.
        size: bytes of the whole file; 0 if unknown.
        progress: called with the progress of the other process.

    Raises:
        WeightsError: the other process does not advance.
        OSError: the lock file cannot be made, or was not made by stemsplit.
    """
    path = make_below(root, lock.parent) / lock.name
    size_of_own(path)  # refuses a link, through which the lock library could empty a file elsewhere
    # The hub's library gives its locks this mode, so that a group can share them.
    file_lock = FileLock(path, mode=0o664)
    seen, since = _traces(part), time.monotonic()
    while not file_lock.is_locked:
        try:
            file_lock.acquire(timeout=POLL_SECONDS)
        except Timeout:
            if (traces := _traces(part)) != seen:
                seen, since = traces, time.monotonic()
            elif time.monotonic() - since > STALLED_SECONDS:
                stalled = f"another process is downloading it, without progress for {STALLED_SECONDS / 60:g} minutes"
                raise WeightsError(f"{stalled}; end that process, and try again") from None
            progress(size_of_own(part), size)
    try:
        yield
    finally:
        file_lock.release()

"""Touches this process's locked files again and again, to show other processes that it is alive."""

import os
import threading
from contextlib import suppress
from functools import cache
from pathlib import Path
from time import sleep

SECONDS = 20.0
"""Seconds between two touches."""

_beating: dict[int, Path] = {}
"""Descriptor of each file -> its path, for systems that cannot touch an open file."""

_guard = threading.Lock()
"""Held while files are touched or removed from `_beating`: after that, a descriptor may be another file's."""


def beat() -> None:
    """Touch all files."""
    with _guard:
        for descriptor, path in _beating.items():
            with suppress(OSError):
                os.utime(descriptor if os.utime in os.supports_fd else path)


def _keep_beating() -> None:
    while True:
        sleep(SECONDS)
        beat()


@cache
def _start() -> None:
    threading.Thread(target=_keep_beating, name="heartbeat", daemon=True).start()


def begin(descriptor: int, path: Path) -> None:
    """Touch an open file from now on."""
    _start()
    with _guard:
        _beating[descriptor] = path


def end(descriptor: int) -> None:
    """Stop touching an open file. Call this before the file is closed."""
    with _guard:
        _beating.pop(descriptor, None)


def _begin_forked() -> None:
    """Go on in a forked process: its parent touches the files so far, and the thread stayed there."""
    global _guard  # another thread may have held it
    _guard = threading.Lock()
    _beating.clear()
    _start.cache_clear()


if hasattr(os, "register_at_fork"):  # not on Windows
    os.register_at_fork(after_in_child=_begin_forked)

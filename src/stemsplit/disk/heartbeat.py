"""Shows other processes that this one lives: the files that it holds locked are touched again and again."""

import os
import threading
import time
from contextlib import suppress
from functools import cache
from pathlib import Path

SECONDS = 20.0
"""Between two touches."""

_beating: dict[int, Path] = {}
"""Descriptor of each file -> its path, for systems that cannot touch an open one."""

_guard = threading.Lock()
"""Held while files are touched, and while one is taken out: its descriptor may become another file's from then on."""


def beat() -> None:
    """Touch all files."""
    with _guard:
        for descriptor, path in _beating.items():
            with suppress(OSError):
                os.utime(descriptor if os.utime in os.supports_fd else path)


def _keep_beating() -> None:
    while True:
        time.sleep(SECONDS)
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
    """Touch it no longer; to be called before it is closed."""
    with _guard:
        _beating.pop(descriptor, None)

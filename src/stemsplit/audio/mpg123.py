"""Keeps the remarks of libmpg123, which decodes MP3 inside libsndfile, off the terminal.

It prints them on C's own `stderr`, without a file's name, even while a bar is drawn there: "Note: Illegal
Audio-MPEG-Header 0x0 at offset 418". soundfile reaches none of its switches, and to redirect descriptor 2 would take
along what other threads print. But the GNU C library defines `stderr` as a variable that programs may set: while
libsndfile works, it leads into a pipe, where the remarks are dropped and other lines passed on. Python does not print
through it. Other C libraries define no such variable, so that nothing is done on their systems.
"""

import ctypes
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from threading import Lock

REMARK = re.compile(rb"(Note|Warning|Error): |\[src/libmpg123/|\[.*libmpg123.*\]|\s*$")
"""Matches a line that libmpg123 prints."""

AT_ONCE = 1 << 16
"""Bytes that a pipe holds on Linux; what is printed beyond is lost."""

LINES = 1
"""C's constant `_IOLBF`: a stream is written line by line."""


class _Stream:
    """C's `stderr`, and a pipe that it may lead into."""

    def __init__(self) -> None:
        library = ctypes.CDLL(None)
        if not hasattr(library, "gnu_get_libc_version"):
            raise OSError("not the GNU C library")
        self.variable = ctypes.c_void_p.in_dll(library, "stderr")
        self.reading, writing = os.pipe()
        os.set_blocking(self.reading, False)
        os.set_blocking(writing, False)
        library.fdopen.restype = ctypes.c_void_p
        self.pipe = ctypes.c_void_p(library.fdopen(writing, b"w"))
        if not self.pipe:
            raise OSError("no memory")
        library.setvbuf(self.pipe, None, LINES, ctypes.c_size_t(1024))
        self.usual = self.variable.value
        self.lock, self.users = Lock(), 0

    def enter(self) -> None:
        """Lead `stderr` into the pipe."""
        with self.lock:
            self.users += 1
            self.variable.value = self.pipe.value

    def leave(self) -> None:
        """Lead it back after the last user, and pass on what was not a remark."""
        with self.lock:
            self.users -= 1
            if not self.users:
                self.variable.value = self.usual
            try:
                printed = os.read(self.reading, AT_ONCE)
            except BlockingIOError:
                return
            others = [line for line in printed.splitlines(keepends=True) if not REMARK.match(line)]
            with suppress(OSError):
                os.write(2, b"".join(others))


@cache
def _stream() -> _Stream | None:
    """Return C's `stderr`, or None if it cannot be set or no pipe can be made."""
    try:
        return _Stream()
    except (OSError, ValueError, AttributeError, TypeError):
        return None


@contextmanager
def quiet() -> Iterator[None]:
    """Drop what libmpg123 prints meanwhile. Any number of threads may be inside at once."""
    if not (stream := _stream()):
        yield
        return
    stream.enter()
    try:
        yield
    finally:
        stream.leave()

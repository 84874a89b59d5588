"""Ends a command at a signal: with all its clean-up, and if wanted only after the current step."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""Signals that stop a run. Windows has no SIGHUP."""

IMPORT_SECONDS = 10.0
"""Longest time in seconds for which an import may delay a signal."""

_first_asked: dict[int, float] = {}
"""Signal -> time at which it first came, for those that an import delays."""

AT_ONCE = 1.0
"""Seconds within which signals count as one: PyTorch's launcher repeats one that the terminal sent to all processes."""


def _is_importing(frame: FrameType | None) -> bool:
    """Return whether the signal interrupted the import of a module."""
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _ask_again(number: int) -> None:
    """Send a signal to the main thread once more."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def leave(number: int, frame: FrameType | None) -> None:
    """Exit with all clean-up, which further signals must not interrupt."""
    # Large libraries swallow an interrupt during their import, or abort the process.
    if _is_importing(frame) and time.monotonic() - _first_asked.setdefault(number, time.monotonic()) < IMPORT_SECONDS:
        later = threading.Timer(0.05, _ask_again, [number])
        later.daemon = True
        later.start()
        return
    for other in SIGNALS:
        signal.signal(other, signal.SIG_IGN)
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def listen() -> None:
    """Handle the signals that stop a run, so that its clean-up is done."""
    for number in SIGNALS:
        # Under nohup, SIGHUP must stay ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)


class AskedError(Exception):
    """A signal asked to stop, so the current step is abandoned."""


class Stop:
    """Holds back a first signal until `check` is called; a later one stops the run at once.

    Attributes:
        number: number of the first signal; 0 if none came.
        at: time at which the first signal came.
        before: handlers to restore, by signal.
    """

    def __init__(self) -> None:
        self.number, self.at = 0, 0.0
        self.before: dict[int, Callable[[int, FrameType | None], Any]] = {}

    def _asked(self, number: int, frame: FrameType | None) -> None:
        if not self.number:
            self.number, self.at = number, time.monotonic()
        elif time.monotonic() - self.at > AT_ONCE:
            self.before[number](number, frame)

    def check(self) -> None:
        """Raise AskedError if a signal asked to stop."""
        if self.number:
            raise AskedError

    def __enter__(self) -> Self:
        for number in SIGNALS:
            handler = signal.getsignal(number)
            if callable(handler):
                self.before[number] = handler
                signal.signal(number, self._asked)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self.before.items():
            # `leave` may have turned further signals off.
            if signal.getsignal(number) == self._asked:
                signal.signal(number, handler)

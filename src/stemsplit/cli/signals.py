"""Ends a command at a signal: through all its clean-up, and after the step under way where that is wished."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
"""What stops a run. Windows has no SIGHUP."""

IMPORT_SECONDS = 10.0
"""That an import may hold a signal up."""

_first_asked: dict[int, float] = {}
"""Signal -> when it came, of those that an import holds up."""

AT_ONCE = 1.0
"""Seconds within which signals are one wish: in a terminal, PyTorch's launcher passes on what all processes got."""


def _is_importing(frame: FrameType | None) -> bool:
    """Whether a module is being imported where a signal came."""
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
    """Leave through all the clean-up, which further signals must not cut off."""
    # Large libraries swallow an interrupt in their imports, or abort the process.
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
    """Let whatever stops a run leave through its clean-up."""
    for number in SIGNALS:
        # Under nohup, SIGHUP is to be ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, leave)


class AskedError(Exception):
    """A signal asked to stop, and a step is given up for it."""


class Stop:
    """Lets a signal that asks to stop wait until `check` is called; whoever asks again does not wait.

    Attributes:
        number: of the signal; 0 as long as there was none.
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
        """Raises AskedError if a signal asked to stop."""
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
            # Who could not wait may have turned further signals off.
            if signal.getsignal(number) == self._asked:
                signal.signal(number, handler)

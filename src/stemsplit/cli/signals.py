"""Lets what is under way end before a signal ends the command."""

import signal
import time
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

from stemsplit import cli

AT_ONCE = 1.0
"""Seconds within which signals are one wish: in a terminal, PyTorch's launcher passes on what all processes got."""


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
        for number in cli.SIGNALS:
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

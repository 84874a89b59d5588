"""Shows a download: a bar on a terminal, a plain line now and then elsewhere."""

import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.progress import (
    DownloadColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from stemsplit.words import minutes, printable, size

if TYPE_CHECKING:
    pass
from stemsplit.terminal.console import Report, say


class DownloadReport(Report):
    """Shows a file on its way here, and how long it took.

    Args:
        name: of the model.
        quiet: show nothing.
    """

    def __init__(self, name: str, quiet: bool) -> None:
        super().__init__(not quiet, DownloadColumn(), TransferSpeedColumn())
        self.name = printable(name)
        self.first = self.done = 0

    def _speed(self, now: float) -> float:
        """Bytes a second, of those that came and were not here from an earlier try."""
        return (self.done - self.first) / max(now - self.started, 1e-9)

    def progress(self, done: int, total: int) -> None:
        """`done` of `total` bytes are here; a total of 0 is unknown."""
        now = time.monotonic()
        if self.task is None:
            self.first, self.started, self.said = done, now, now
            self.task = self.bar.add_task(self.name, total=total or None, completed=done)
            self.bar.start()
        # The server may have had to start all over again.
        self.first, self.done = min(self.first, done), done
        self.bar.update(self.task, completed=done, total=total or None)
        if self.line_is_due(now):
            speed = self._speed(now)
            left = minutes((total - done) / speed) if speed and total else "?"
            share = f"{100 * done / total:.0f} % of {size(total)}" if total else size(done)
            say(Text(f"{self.name}: {share}, {size(round(speed))}/s, {left} left"))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, value, trace)
        # Nothing came here where another process did the work.
        if kind is None and self.done > self.first and self.shown:
            now = time.monotonic()
            took = f"{now - self.started:.1f} s ({size(round(self._speed(now)))}/s)"
            say(Text(f"{self.name}: {size(self.done - self.first)} downloaded in {took}"))

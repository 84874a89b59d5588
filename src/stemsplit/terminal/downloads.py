"""Shows the progress of a download."""

import time
from types import TracebackType

from rich.progress import DownloadColumn, TransferSpeedColumn
from rich.text import Text

from stemsplit.terminal.console import Report, say
from stemsplit.words import clock, printable, size


class DownloadReport(Report):
    """Shows how much of a file is downloaded, how fast, and at the end how long it took.

    Args:
        name: name of the model.
        quiet: whether to show nothing.
    """

    def __init__(self, name: str, quiet: bool) -> None:
        super().__init__(not quiet, DownloadColumn(), TransferSpeedColumn())
        self.name = printable(name)
        self.first = self.done = 0

    def _speed(self, now: float) -> float:
        """Return bytes per second, without those that an earlier run had downloaded."""
        return (self.done - self.first) / max(now - self.started, 1e-9)

    def progress(self, done: int, total: int) -> None:
        """Show that `done` of `total` bytes are downloaded; a total of 0 means that it is unknown."""
        now = time.monotonic()
        if self.task is None:
            self.first, self.started, self.last_line = done, now, now
            self.task = self.bar.add_task(self.name, total=total or None, completed=done)
            self.bar.start()
        # The download may have started again from the beginning.
        self.first, self.done = min(self.first, done), done
        self.bar.update(self.task, completed=done, total=total or None)
        if self.line_is_due(now):
            speed = self._speed(now)
            left = clock((total - done) / speed) if speed and total else "?"
            share = f"{100 * done / total:.0f} % of {size(total)}" if total else size(done)
            say(Text(f"{self.name}: {share}, {size(round(speed))}/s, {left} left"))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, value, trace)
        # If another process downloaded the file, nothing was downloaded here.
        if kind is None and self.done > self.first and self.shown:
            now = time.monotonic()
            took = f"{now - self.started:.1f} s ({size(round(self._speed(now)))}/s)"
            say(Text(f"{self.name}: {size(self.done - self.first)} downloaded in {took}"))

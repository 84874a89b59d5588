"""Prints messages and shows progress for people, on stderr."""

from contextlib import suppress
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from stemsplit.words import printable

REPORT_SECONDS = 10.0
"""Seconds between two lines of progress where no bar can be drawn."""

PEOPLE = Console(stderr=True, highlight=False, markup=False)
"""The console for all messages and progress: sharing it lets a message be printed above a bar that is being drawn."""


def message(label: str, style: str, text: str) -> None:
    """Print a line that begins with a label."""
    say(Text.assemble((f"{label}: ", style), printable(text)))


def say(line: Text) -> None:
    """Print a line for people."""
    # A message is one line, however long: scripts may read it, and terminals wrap lines themselves.
    # The work goes on even if stderr is closed.
    with suppress(OSError):
        PEOPLE.print(line, soft_wrap=True)


def note(text: str) -> None:
    """Print what was done."""
    say(Text(printable(text)))


def error(text: str) -> None:
    """Print what went wrong."""
    message("error", "bold red", text)


def warning(text: str) -> None:
    """Print what a person should know although the work went on."""
    message("warning", "bold yellow", text)


def hint(text: str) -> None:
    """Print what is worth trying."""
    message("hint", "bold cyan", text)


class Report:
    """Shows progress: a bar on a terminal, a plain line now and then elsewhere.

    Args:
        shown: whether to show anything.
        figures: columns between the bar and the remaining time.
    """

    def __init__(self, shown: bool, *figures: ProgressColumn) -> None:
        self.shown = shown
        self.task: TaskID | None = None
        self.started = self.last_line = 0.0
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            *figures,
            TimeRemainingColumn(compact=True),
            console=PEOPLE,
            transient=True,
            expand=True,
            disable=not shown or not PEOPLE.is_terminal,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def line_is_due(self, now: float, every: float | None = None) -> bool:
        """Return whether to print a plain line now; if so, the caller prints it.

        Args:
            now: time in seconds, of any clock.
            every: seconds between two lines; None for `REPORT_SECONDS`.
        """
        every = REPORT_SECONDS if every is None else every
        due = self.bar.disable and self.shown and now - self.last_line >= every
        if due:
            self.last_line = now
        return due

"""What a person sees: tables, progress, messages. The only module that draws with rich."""

from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Self

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

if TYPE_CHECKING:
    pass


REPORT_SECONDS = 10.0
"""How often a line of progress is printed where no bar can be drawn."""


PEOPLE = Console(stderr=True, highlight=False, markup=False)
"""Where messages and progress go. One for all, so that a message moves a bar that is being drawn out of its way."""


def message(label: str, style: str, text: str) -> None:
    """Print a line that begins with a label."""
    say(Text.assemble((f"{label}: ", style), printable(text)))


def say(line: Text) -> None:
    """Print a line for people."""
    # One line a message, however long: it may be read by a script, and terminals wrap by themselves.
    # A stderr that takes nothing is no reason to stop the work.
    with suppress(OSError):
        PEOPLE.print(line, soft_wrap=True)


def note(text: str) -> None:
    """What was done."""
    say(Text(printable(text)))


def error(text: str) -> None:
    """What went wrong."""
    message("error", "bold red", text)


def warning(text: str) -> None:
    """What a person should know, though it worked."""
    message("warning", "bold yellow", text)


def hint(text: str) -> None:
    """What would be worth trying."""
    message("hint", "bold cyan", text)


class Report:
    """Shows work going on: a bar on a terminal, a plain line now and then elsewhere; nothing unless shown."""

    def __init__(self, shown: bool, *figures: ProgressColumn) -> None:
        self.shown = shown
        self.task: TaskID | None = None
        self.started = self.said = 0.0
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
        """Whether to print a plain line, at a time of a clock in seconds; there is one for so many of them."""
        every = REPORT_SECONDS if every is None else every
        due = self.bar.disable and self.shown and now - self.said >= every
        if due:
            self.said = now
        return due

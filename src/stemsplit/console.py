"""What a person sees: tables, progress, messages. The only module that draws with rich."""

import math
import os
import sys
import time
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from stemsplit.listing import size

if TYPE_CHECKING:
    from stemsplit.batch import Outcome
    from stemsplit.job import Job

REPORT_SECONDS = 10.0
"""How often a line of progress is printed where no bar can be drawn."""


if os.environ.get("COLUMNS") == "0":
    # Terminals without a size say so; rich would draw nothing.
    del os.environ["COLUMNS"]

PEOPLE = Console(stderr=True, highlight=False, markup=False)
"""Where messages and progress go. One for all, so that a message moves a bar that is being drawn out of its way."""


def _message(label: str, style: str, text: str) -> None:
    _say(Text.assemble((f"{label}: ", style), printable(text)))


def _say(line: Text) -> None:
    # One line a message, however long: it may be read by a script, and terminals wrap by themselves.
    # A stderr that takes nothing is no reason to stop the work.
    with suppress(OSError):
        PEOPLE.print(line, soft_wrap=True)


def printable(text: str) -> str:
    """The text with escapes in place of control characters, which file names may hold and terminals obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def note(text: str) -> None:
    """What was done."""
    _say(Text(printable(text)))


def error(text: str) -> None:
    """What went wrong."""
    _message("error", "bold red", text)


def warning(text: str) -> None:
    """What a person should know, though it worked."""
    _message("warning", "bold yellow", text)


def hint(text: str) -> None:
    """What would be worth trying."""
    _message("hint", "bold cyan", text)


def paths(written: Iterable[Path]) -> None:
    """Files, a line each, on stdout; in the system's own bytes, which need not be text.

    Raises:
        OSError: stdout takes nothing, now or ever.
    """
    if sys.stdout is None:  # closed from the start
        return
    try:
        sys.stdout.buffer.write(b"".join(os.fsencode(path) + b"\n" for path in written))
        sys.stdout.buffer.flush()
    except OSError:
        # What is still buffered must not fail again when Python leaves.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def minutes(seconds: float) -> str:
    """12:34, or 1:02:03 from an hour on."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


class _SpeedColumn(ProgressColumn):
    """Speed as a multiple of real time: seconds of song per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}x" if task.speed else "-", style="progress.data.speed")


class _Report:
    """Shows work going on: a bar on a terminal, a plain line now and then elsewhere, nothing when quiet."""

    def __init__(self, quiet: bool, *figures: ProgressColumn) -> None:
        self.quiet = quiet
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
            disable=quiet or not PEOPLE.is_terminal,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.stop()

    def line_is_due(self, now: float) -> bool:
        """Whether to print a plain line, at a time of the monotonic clock."""
        due = self.bar.disable and not self.quiet and now - self.said >= REPORT_SECONDS
        if due:
            self.said = now
        return due


class SplitReport(_Report):
    """Shows a batch at work: a bar for the current song on a terminal, plain lines elsewhere, a line for each done.

    Args:
        jobs: all songs, in order.
        quiet: show nothing but errors.
    """

    def __init__(self, jobs: Sequence["Job"], quiet: bool) -> None:
        super().__init__(quiet, TaskProgressColumn(), _SpeedColumn())
        self.jobs = jobs
        self.current: Job | None = None

    def _label(self, job: "Job") -> str:
        name = printable(job.path.name)
        name = name if len(name) <= 30 else name[:14] + "…" + name[-15:]
        return name if len(self.jobs) == 1 else f"[{self.jobs.index(job) + 1}/{len(self.jobs)}] {name}"

    def progress(self, job: "Job", done: float, total: float) -> None:
        """`done` of `total` seconds of a song are split."""
        now = time.monotonic()
        if job is not self.current:
            self.current, self.started, self.said = job, now, now
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(self._label(job), total=total)
            self.bar.start()
        assert self.task is not None
        if done == 0:
            # Loading the model is no part of the speed.
            self.started = now
            self.bar.reset(self.task)
        self.bar.update(self.task, completed=done)
        if self.line_is_due(now):
            speed = done / max(now - self.started, 1e-9)
            left = minutes((total - done) / speed) if speed else "?"
            _say(Text(f"{self._label(job)}: {100 * done / total:.0f} %, {speed:.1f}x real time, {left} left"))

    def outcome(self, outcome: "Outcome") -> None:
        """A song is done, or failed."""
        # The bar is wiped away, so that neither message nor path is written into it.
        self.bar.stop()
        if outcome.error:
            error(outcome.error)
            return
        if self.quiet:
            return
        for stem, count in outcome.clipped.items():
            target = outcome.job.target(stem)
            warning(f"{target}: {count} samples beyond full scale were clipped; 32-bit float wav keeps them")
        speed = outcome.song_seconds / max(outcome.seconds, 1e-9)
        many = len(outcome.paths)
        text = f"{printable(str(outcome.job.path))}: {many} stem{'s' * (many > 1)} of {minutes(outcome.song_seconds)} "
        text += f"in {outcome.seconds:.1f} s ({speed:.1f}x real time)"
        if outcome.sum_error is not None:
            figures = {-math.inf: "exact", math.inf: "the song is silent"}
            text += f", sum of stems vs song: {figures.get(outcome.sum_error, f'{outcome.sum_error:.0f} dB')}"
        _say(Text(text))


class DownloadReport(_Report):
    """Shows a file on its way here, and how long it took.

    Args:
        name: of the model.
        quiet: show nothing.
    """

    def __init__(self, name: str, quiet: bool) -> None:
        super().__init__(quiet, DownloadColumn(), TransferSpeedColumn())
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
            _say(Text(f"{self.name}: {share}, {size(round(speed))}/s, {left} left"))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, value, trace)
        if kind is None and self.done and not self.quiet:
            now = time.monotonic()
            took = f"{now - self.started:.1f} s ({size(round(self._speed(now)))}/s)"
            _say(Text(f"{self.name}: {size(self.done - self.first)} downloaded in {took}"))

"""What a person sees: tables, progress, messages. The only module that draws with rich."""

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text

from stemsplit.registry import ModelEntry

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


def size(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


class _SpeedColumn(ProgressColumn):
    """Speed as a multiple of real time: seconds of song per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}x" if task.speed else "-", style="progress.data.speed")


class SplitReport:
    """Shows a batch at work: a bar for the current song on a terminal, plain lines elsewhere, a line for each done.

    Args:
        jobs: all songs, in order.
        quiet: show nothing but errors.
    """

    def __init__(self, jobs: Sequence["Job"], quiet: bool) -> None:
        self.jobs, self.quiet = jobs, quiet
        self.current: Job | None = None
        self.task: TaskID | None = None
        self.started = self.said = 0.0
        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            _SpeedColumn(),
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
        if self.bar.disable and not self.quiet and now - self.said >= REPORT_SECONDS:
            self.said = now
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


def models_table(entries: Iterable[ModelEntry]) -> None:
    """The table of `stemsplit list`, on stdout."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("model", "stems", "size", "licence", "what for"):
        table.add_column(column, overflow="fold", no_wrap=column in ("model", "size"))
    for entry in entries:
        cells = (entry.name, ", ".join(entry.outputs), size(entry.size), entry.license, entry.description)
        table.add_row(*(Text(cell) for cell in cells))
    Console(highlight=False).print(table)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_value(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)


def facts_table(facts: Mapping[str, Any]) -> None:
    """Names and values in two columns, on stdout."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(Text(name), Text(_value(value)))
    Console(highlight=False).print(table)

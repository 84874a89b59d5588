"""What a person sees: tables, progress, messages. The only module that draws with rich."""

import json
import time
from collections.abc import Sequence
from contextlib import suppress
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

from stemsplit.songs.record import EXACT
from stemsplit.words import minutes, printable, size

if TYPE_CHECKING:
    from stemsplit.songs.job import Job
    from stemsplit.songs.plan import Outcome, Totals
    from stemsplit.training.loop import Progress as Step

MANY_STEMS = 8
"""Whose energy shares are no longer listed on a line."""

REPORT_SECONDS = 10.0
"""How often a line of progress is printed where no bar can be drawn."""

TRAIN_SECONDS = 60.0
"""The same in training, which takes days."""

PEOPLE = Console(stderr=True, highlight=False, markup=False)
"""Where messages and progress go. One for all, so that a message moves a bar that is being drawn out of its way."""


def _message(label: str, style: str, text: str) -> None:
    _say(Text.assemble((f"{label}: ", style), printable(text)))


def _say(line: Text) -> None:
    # One line a message, however long: it may be read by a script, and terminals wrap by themselves.
    # A stderr that takes nothing is no reason to stop the work.
    with suppress(OSError):
        PEOPLE.print(line, soft_wrap=True)


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


class _SpeedColumn(ProgressColumn):
    """Speed as a multiple of real time: seconds of song per second."""

    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.1f}x" if task.speed else "-", style="progress.data.speed")


class _Report:
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


class SplitReport(_Report):
    """Shows a batch at work: a bar for the current song on a terminal, plain lines elsewhere, a line for each done.

    Args:
        jobs: all songs, in order.
        quiet: show nothing but errors.
        steps: how far a song is: "auto", "none", or "json" for lines that another program shows in its own way.
    """

    def __init__(self, jobs: Sequence["Job"], quiet: bool, steps: str = "auto") -> None:
        super().__init__(steps == "auto" and not quiet, TaskProgressColumn(), _SpeedColumn())
        self.quiet, self.as_json = quiet, steps == "json" and not quiet
        self.places = {job.path: place for place, job in enumerate(jobs, 1)}
        self.current: Job | None = None

    def _label(self, job: "Job") -> str:
        name = printable(job.path.name)
        name = name if len(name) <= 30 else name[:14] + "…" + name[-15:]
        return name if len(self.places) == 1 else f"[{self.places[job.path]}/{len(self.places)}] {name}"

    def progress(self, job: "Job", done: float, total: float) -> None:
        """`done` of `total` seconds of a song are split."""
        now = time.monotonic()
        if job is not self.current:
            self.current, self.started, self.said = job, now, now
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(self._label(job), total=total)
        assert self.task is not None
        if not self.bar.live.is_started:
            self.bar.start()
        if done == 0:
            # Loading the model is no part of the speed.
            self.started = now
            self.bar.reset(self.task)
        self.bar.update(self.task, completed=done)
        if self.as_json:
            place = {"place": self.places[job.path], "songs": len(self.places)}
            event = {"song": str(job.path), **place, "done": round(done, 3), "duration": round(total, 3)}
            _say(Text(json.dumps({"progress": event})))
        elif self.line_is_due(now):
            speed = done / max(now - self.started, 1e-9)
            left = minutes((total - done) / speed) if speed else "?"
            _say(Text(f"{self._label(job)}: {100 * done / total:.0f} %, {speed:.1f}x real time, {left} left"))

    def outcome(self, outcome: "Outcome") -> None:
        """A song is done, or failed."""
        # The bar is wiped away, so that neither message nor path is written into it.
        self.bar.stop()
        if outcome.error:
            error(outcome.error)
        elif not self.quiet and outcome.record:
            self._made(outcome)

    def _made(self, outcome: "Outcome") -> None:
        assert outcome.record is not None
        song, figures = printable(str(outcome.job.path)), outcome.record.figures
        if outcome.skipped:
            if len(self.places) == 1:
                note(f"{song}: split before, with the same model and options; --force splits it again")
            return
        for name, facts in outcome.record.stems.items():
            target = outcome.job.targets[name]
            if facts["clipped"]:
                clipped = f"{facts['clipped']} samples beyond full scale were clipped"
                warning(f"{target}: {clipped}; 32-bit float wav keeps them")
            if facts["silent"]:
                note(f"{target}: silent" + ("" if facts["file"] else ", not written"))
        many = len(outcome.paths)
        text = f"{song}: {many} stem{'s' * (many != 1)} of {minutes(figures['duration'])} "
        text += f"in {outcome.seconds:.1f} s ({outcome.speed:.1f}x real time)"
        if figures["sum_error"] is not None:
            text += f", sum of stems vs song: {decibels(figures['sum_error'])}"
        shares = ", ".join(
            f"{name} {100 * facts['energy_share']:.0f} %" for name, facts in outcome.record.stems.items()
        )
        note(f"{text}; energy: {shares}" if len(outcome.record.stems) <= MANY_STEMS else text)

    def total(self, outcomes: "Totals", passed_over: int) -> None:
        """All songs were tried."""
        self.bar.stop()
        if self.quiet or len(self.places) + passed_over == 1:
            return
        many = outcomes.songs != 1
        text = f"{outcomes.songs} song{'s' * many}: {outcomes.done} split, {outcomes.skipped} split before"
        text += f", {outcomes.failed} failed"
        if passed_over:
            text += f"; {passed_over} file{'s' * (passed_over > 1)} of other kinds passed over"
        if outcomes.done:
            text += f"; {minutes(outcomes.duration)} in {minutes(outcomes.seconds)} ({outcomes.speed:.1f}x real time)"
        note(text)


def decibels(figure: float) -> str:
    """A sum error for people."""
    return "exact" if figure <= EXACT else "the song is silent" if figure >= -EXACT else f"{figure:.0f} dB"


class DownloadReport(_Report):
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
            _say(Text(f"{self.name}: {share}, {size(round(speed))}/s, {left} left"))

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, value, trace)
        # Nothing came here where another process did the work.
        if kind is None and self.done > self.first and self.shown:
            now = time.monotonic()
            took = f"{now - self.started:.1f} s ({size(round(self._speed(now)))}/s)"
            _say(Text(f"{self.name}: {size(self.done - self.first)} downloaded in {took}"))


class EvalReport(_Report):
    """Shows songs being measured: a bar of songs on a terminal, a plain line now and then elsewhere.

    Args:
        songs: their names, in order.
    """

    def __init__(self, songs: Sequence[str]) -> None:
        super().__init__(True, TextColumn("{task.fields[measured]}", markup=False))
        self.places = {name: place for place, name in enumerate(songs, 1)}
        self.said = time.monotonic()

    def progress(self, song: str, seconds: float) -> None:
        """So many seconds of a song are measured."""
        place = self.places[song]
        label, measured = f"[{place}/{len(self.places)}] {printable(song)}", f"{minutes(seconds)} measured"
        if self.task is None:
            self.task = self.bar.add_task(label, total=len(self.places), measured=measured)
            self.bar.start()
        self.bar.update(self.task, description=label, completed=place - 1, measured=measured)
        if self.line_is_due(time.monotonic()):
            _say(Text(f"{label}: {measured}"))


class TrainReport(_Report):
    """Shows training: a line of a table for each report; between them a bar of steps on a terminal, lines elsewhere.

    Args:
        stems: that are measured.
        steps: in all.
        shown: whether to show anything.
    """

    def __init__(self, stems: Sequence[str], steps: int, shown: bool) -> None:
        super().__init__(shown, TextColumn("{task.fields[figures]}", markup=False))
        self.heading = ["step", "loss", "rate", "time", *stems, *(["mean SDR"] if stems else [])]
        self.stems, self.steps = stems, steps

    def note(self, text: str) -> None:
        """What was done."""
        if self.shown:
            note(text)

    def _line(self, cells: Sequence[str]) -> None:
        if self.shown:
            widths = [max(len(name), 8) for name in self.heading[: len(cells)]]
            _say(Text("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))))

    def step(self, progress: "Step") -> None:
        """A step was made."""
        loss = f"{progress.loss:.4f}"
        if self.task is None:
            self._line(self.heading)
            self.task = self.bar.add_task("training", total=self.steps, completed=progress.step, figures="")
            self.bar.start()
        self.bar.update(self.task, completed=progress.step, figures=f"step {progress.step}, loss {loss}")
        if self.line_is_due(progress.seconds, TRAIN_SECONDS) or progress.reported:
            measured = self.stems if progress.reported else ()
            scores = [f"{progress.scores[stem]:.2f}" for stem in measured]
            mean = [f"{progress.mean:.3f}" + ("*" if progress.best else "")] if measured else []
            time_ = minutes(progress.seconds)
            self._line([str(progress.step), loss, f"{progress.rate:.2g}", time_, *scores, *mean])

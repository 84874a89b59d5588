"""Shows the progress of training: a table that grows, and below it curves and a bar that stay in their place."""

import math
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.progress import Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from stemsplit.pictures.text import curve, has_blocks
from stemsplit.terminal import console
from stemsplit.terminal.console import Report, hint, note, say
from stemsplit.words import clock

if TYPE_CHECKING:
    from stemsplit.training.progress import Progress as Step

TRAIN_SECONDS = 60.0
"""Seconds between two lines of progress in training, which may take days."""

LONG_SECONDS = 2 * 24 * 3600.0
"""Duration of a whole run, in seconds, from which on there is a hint at quicker ones."""


CURVE_LINES = 5
"""Height of a curve, in lines."""

MOST_WIDTH, LEAST_WIDTH = 100, 30
"""Largest width of all curves together, in characters, and the width below which none is drawn."""

MOST_POINTS = 1_000
"""Number of points that are left when every other one is dropped."""


class Curves:
    """Draws the loss and the mean SDR of all reports so far, side by side."""

    def __init__(self) -> None:
        self.points: list[tuple[float, float, float]] = []
        """Step, loss and mean SDR of each report."""
        self.drawn: tuple[object, list[str]] = None, []
        """What the last drawing was of, and its lines: a bar is drawn ten times a second, in a thread of its own."""

    def add(self, step: float, loss: float, mean: float) -> None:
        """Add a report; the mean SDR is NaN if there is none."""
        if len(self.points) >= 2 * MOST_POINTS:
            self.points = self.points[::2]
        self.points.append((step, loss, mean))

    def shown(self) -> list[str]:
        """Return the curves as lines that fit into the terminal."""
        return self.lines(console.PEOPLE.width, has_blocks(console.PEOPLE.encoding))

    def lines(self, width: int, blocks: bool) -> list[str]:
        """Return the curves as lines of at most `width` characters; there are none before the second report.

        Args:
            width: width of the terminal, in characters.
            blocks: whether the terminal shows braille.
        """
        width = min(width - 1, MOST_WIDTH)
        drawn, of = self.drawn, (width, blocks, len(self.points), self.points[-1:])
        if drawn[0] != of:
            drawn = self.drawn = of, self._lines(width, blocks)
        return drawn[1]

    def _lines(self, width: int, blocks: bool) -> list[str]:
        if len(self.points) < 2 or width < LEAST_WIDTH:
            return []
        figures = {"loss": [(step, loss) for step, loss, _ in self.points]}
        means = [(step, mean) for step, _, mean in self.points if math.isfinite(mean)]
        if len(means) > 1:
            figures["mean SDR in dB"] = means
        if width < 2 * LEAST_WIDTH:
            name, points = list(figures.items())[-1]
            return curve(name, points, width, CURVE_LINES, blocks)
        each = (width - 3) // 2
        drawn = [curve(name, points, each, CURVE_LINES, blocks) for name, points in figures.items()]
        return ["   ".join(parts).rstrip() for parts in zip(*drawn, strict=True)]


class CurvesAbove(Progress):
    """A bar of progress with curves above it, which are drawn again in the same place.

    Args:
        like: bar of progress without curves.
        curves: the curves.
    """

    def __init__(self, like: Progress, curves: Curves) -> None:
        self.curves = curves
        super().__init__(*like.columns, console=console.PEOPLE, transient=True, expand=True, disable=like.disable)

    def get_renderable(self) -> RenderableType:
        """Return the curves, if the terminal is high enough, and the bar."""
        bar = super().get_renderable()
        lines = self.curves.shown() if console.PEOPLE.height > 2 * CURVE_LINES else []
        return Group(Text("\n".join(lines), no_wrap=True), bar) if lines else bar


class TrainReport(Report):
    """Shows training: a table with a line for each report, and between these a bar of steps, or plain lines elsewhere.

    On a terminal, curves of the loss and the mean SDR stand above the bar, and below the table when training ends.

    Args:
        stems: names of the stems that are measured.
        steps: number of steps in the whole run.
        shown: whether to show anything.
        quicker: options that would make the run shorter.
        early: whether the bar may be drawn before the first step. It has a thread of its own, and a process must not
            have one when it forks.
    """

    def __init__(self, stems: Sequence[str], steps: int, shown: bool, quicker: str = "", early: bool = True) -> None:
        super().__init__(shown, TextColumn("{task.fields[figures]}", markup=False), TimeElapsedColumn())
        self.curves = Curves()
        self.bar = CurvesAbove(self.bar, self.curves)
        self.heading = ["step", "loss", "rate", "time", *stems, *(["mean SDR"] if stems else [])]
        self.stems, self.steps, self.quicker, self.early = stems, steps, quicker, early
        self.has_begun, self.told = False, set[str]()
        self.first: tuple[int, float] | None = None
        """The first step of this session, and the time at which it was made."""
        self.has_hinted = False

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, value, trace)
        if not self.bar.disable:
            for line in self.curves.shown():
                say(Text(line))

    def remember(self, reports: Iterable[tuple[float, float, float]]) -> None:
        """Draw reports of earlier sessions too: step, loss, and mean SDR or NaN."""
        for report in reports:
            self.curves.add(*report)

    def note(self, text: str) -> None:
        """Print what was done, if anything is shown."""
        if self.shown:
            note(text)

    def stage(self, text: str) -> None:
        """Show what is done besides steps: in the bar, or elsewhere in a line, once."""
        if not self.bar.disable and (self.early or self.has_begun):
            if self.task is None:
                self.task = self.bar.add_task(text, total=None, figures="")
                self.bar.start()
            self.bar.update(self.task, description=text)
        elif text not in self.told:
            self.told.add(text)
            self.note(text)

    def _line(self, cells: Sequence[str]) -> None:
        if self.shown:
            widths = [max(len(name), 8) for name in self.heading[: len(cells)]]
            say(Text("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))))

    def step(self, progress: "Step") -> None:
        """Show a step of training, with the scores of the stems if it was reported."""
        loss = f"{progress.loss:.4f}"
        if not self.has_begun:
            self.has_begun = True
            self._line(self.heading)
            if self.task is None:
                self.task = self.bar.add_task("training", figures="")
                self.bar.start()
            # The time that was spent before counts for no step.
            self.bar.reset(self.task, total=self.steps, completed=progress.step)
        assert self.task is not None
        figures = f"step {progress.step}, loss {loss}"
        self.bar.update(self.task, description="training", completed=progress.step, figures=figures)
        if self.line_is_due(progress.seconds, TRAIN_SECONDS) or progress.reported:
            measured = self.stems if progress.reported else ()
            scores = [f"{progress.scores[stem]:.2f}" for stem in measured]
            mean = [f"{progress.mean:.3f}" + ("*" if progress.best else "")] if measured else []
            time_ = clock(progress.seconds)
            self._line([str(progress.step), loss, f"{progress.learning_rate:.2g}", time_, *scores, *mean])
        if progress.reported:
            self.curves.add(progress.step, progress.loss, progress.mean)
        self._hint(progress.step)

    def _hint(self, step: int) -> None:
        """Say how long the whole run takes, after its second step, which tells more than the first, if that is long."""
        now = time.monotonic()
        if self.first is None:
            self.first = step, now
            return
        if self.has_hinted or step == self.first[0]:
            return
        self.has_hinted = True
        took = (now - self.first[1]) / (step - self.first[0])
        if self.shown and self.steps * took > LONG_SECONDS:
            all_ = f"a step takes {took:.1f} s, so all {self.steps} would take {self.steps * took / 86_400:,.0f} days"
            options = f"{self.quicker}, or " if self.quicker else ""
            hint(f"{all_}; for a first try, use {options}a smaller network (stemsplit help training)")

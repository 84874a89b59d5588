"""Shows the progress of training: a table that grows, and a bar below it."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.progress import TextColumn, TimeElapsedColumn
from rich.text import Text

from stemsplit.terminal.console import Report, hint, note, say
from stemsplit.words import clock

if TYPE_CHECKING:
    from stemsplit.training.progress import Progress as Step

TRAIN_SECONDS = 60.0
"""Seconds between two lines of progress in training, which may take days."""

LONG_SECONDS = 2 * 24 * 3600.0
"""Duration of a whole run, in seconds, from which on there is a hint at quicker ones."""


class TrainReport(Report):
    """Shows training: a table with a line for each report, and between these a bar of steps, or plain lines elsewhere.

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
        self.heading = ["step", "loss", "rate", "time", *stems, *(["mean SDR"] if stems else [])]
        self.stems, self.steps, self.quicker, self.early = stems, steps, quicker, early
        self.has_begun, self.told = False, set[str]()
        self.first: tuple[int, float] | None = None
        """The first step of this session, and the time at which it was made."""
        self.has_hinted = False

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

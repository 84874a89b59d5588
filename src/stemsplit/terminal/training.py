"""Shows a training run: a table that grows, and a bar between its lines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.progress import (
    TextColumn,
)
from rich.text import Text

from stemsplit.words import minutes

if TYPE_CHECKING:
    from stemsplit.training.loop import Progress as Step
from stemsplit.terminal.console import Report, note, say

TRAIN_SECONDS = 60.0
"""The same in training, which takes days."""


class TrainReport(Report):
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
            say(Text("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))))

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
            self._line([str(progress.step), loss, f"{progress.learning_rate:.2g}", time_, *scores, *mean])

"""Shows the progress of training: a table that grows, and a bar below it."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.progress import TextColumn
from rich.text import Text

from stemsplit.terminal.console import Report, note, say
from stemsplit.words import clock

if TYPE_CHECKING:
    from stemsplit.training.loop import Progress as Step

TRAIN_SECONDS = 60.0
"""Seconds between two lines of progress in training, which may take days."""


class TrainReport(Report):
    """Shows training: a table with a line for each report, and between these a bar of steps, or plain lines elsewhere.

    Args:
        stems: names of the stems that are measured.
        steps: number of steps in the whole run.
        shown: whether to show anything.
    """

    def __init__(self, stems: Sequence[str], steps: int, shown: bool) -> None:
        super().__init__(shown, TextColumn("{task.fields[figures]}", markup=False))
        self.heading = ["step", "loss", "rate", "time", *stems, *(["mean SDR"] if stems else [])]
        self.stems, self.steps = stems, steps

    def note(self, text: str) -> None:
        """Print what was done, if anything is shown."""
        if self.shown:
            note(text)

    def _line(self, cells: Sequence[str]) -> None:
        if self.shown:
            widths = [max(len(name), 8) for name in self.heading[: len(cells)]]
            say(Text("  ".join(cell.rjust(width) for cell, width in zip(cells, widths, strict=True))))

    def step(self, progress: "Step") -> None:
        """Show a step of training, with the scores of the stems if it was reported."""
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
            time_ = clock(progress.seconds)
            self._line([str(progress.step), loss, f"{progress.learning_rate:.2g}", time_, *scores, *mean])

"""Shows the progress of songs that several workers split at once, in one bar."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text

from stemsplit.terminal.console import say
from stemsplit.terminal.splitting import SplitReport
from stemsplit.words import clock, counted

if TYPE_CHECKING:
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome


USUAL_SECONDS = 240.0
"""Length in seconds that a song is taken to have if the length of none is known."""


class ClusterReport(SplitReport):
    """Shows how far all songs together are, in a bar or in plain lines, and a line for each song that is done.

    The bar counts seconds of music. A song of unknown length counts as much as the others on average.

    Args:
        jobs: jobs of all songs, in order.
        quiet: whether to show nothing but errors.
        steps: how to show progress; see `SplitReport`.
    """

    def __init__(self, jobs: "Sequence[Job]", quiet: bool, steps: str = "auto") -> None:
        super().__init__(jobs, quiet, steps)
        waiting = [job for job in jobs if not job.problem and not job.done]
        known = [job.seconds for job in waiting if job.seconds]
        usual = sum(known) / len(known) if known else USUAL_SECONDS
        self.lengths = {job.path: job.seconds or usual for job in waiting}
        self.all, self.ended, self.count = sum(self.lengths.values()), 0.0, 0
        self.parts: dict[Path, float] = {}
        """Song that a worker splits -> share of it that is done."""
        self.workers = self.machines = 0

    @property
    def amount(self) -> float:
        """Seconds of music that are split."""
        return self.ended + sum(self.lengths.get(path, 0.0) * part for path, part in self.parts.items())

    def crew(self, workers: int, machines: int) -> None:
        """Show how many workers are at work, and on how many machines."""
        self.workers, self.machines = workers, machines
        self._show()

    def progress(self, job: "Job", done: float, total: float) -> None:
        """Show that `done` of `total` seconds of a song are split."""
        if self.as_json:
            super().progress(job, done, total)
            return
        self.parts[job.path] = min(done / total, 1.0) if total else 1.0
        self._show()

    def outcome(self, outcome: "Outcome") -> None:
        """Show what became of a song."""
        path = outcome.job.path
        self.parts.pop(path, None)
        self.ended += self.lengths.get(path, 0.0)
        self.count += path in self.lengths
        super().outcome(outcome)

    def _show(self) -> None:
        now = time.monotonic()
        label = f"[{self.count}/{len(self.lengths)}] {self._who()}"
        if self.task is None:
            self.started = self.last_line = now
            self.task = self.bar.add_task(label, total=self.all)
        if not self.bar.live.is_started:
            self.bar.start()
        self.bar.update(self.task, completed=self.amount, description=label)
        if self.line_is_due(now):
            done = self.amount
            left = clock((self.all - done) * (now - self.started) / done) if done else "?"
            say(Text(f"{label}: {100 * done / max(self.all, 1e-9):.0f} %, {left} left"))

    def _who(self) -> str:
        if not self.workers:
            return "workers end" if self.count == len(self.lengths) else "workers start"
        return f"{counted(self.workers, 'worker')} on {counted(self.machines, 'machine')}"

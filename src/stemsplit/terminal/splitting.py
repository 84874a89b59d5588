"""Shows the progress of songs that are split, and what became of each and of all."""

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.progress import ProgressColumn, Task, TaskProgressColumn
from rich.text import Text

from stemsplit.audio.levels import EXACT
from stemsplit.terminal.console import Report, error, note, say, warning
from stemsplit.terminal.songs import passed_over_as_data, passed_over_in_words
from stemsplit.words import clock, counted, printable

if TYPE_CHECKING:
    from stemsplit.songs.find import Search
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome, Totals


MOST_STEMS = 8
"""Largest number of stems whose energy shares are listed."""


class SpeedColumn(ProgressColumn):
    """Shows speed as a multiple of real time: seconds of song split per second."""

    def render(self, task: Task) -> Text:
        """Return the speed of one bar."""
        return Text(f"{task.speed:.1f}x" if task.speed else "-", style="progress.data.speed")


class SplitReport(Report):
    """Shows how far the current song is, in a bar or in plain lines, and a line for each song that is done.

    Args:
        jobs: jobs of all songs, in order.
        quiet: whether to show nothing but errors.
        steps: how to show the progress within a song: "auto", "none", or "json" for lines that another program reads.
    """

    def __init__(self, jobs: Sequence["Job"], quiet: bool, steps: str = "auto") -> None:
        super().__init__(steps == "auto" and not quiet, TaskProgressColumn(), SpeedColumn())
        self.quiet, self.as_json = quiet, steps == "json" and not quiet
        self.numbers = {job.path: number for number, job in enumerate(jobs, 1)}
        self.current: Job | None = None
        self.is_loaded = False

    def _label(self, job: "Job") -> str:
        name = printable(job.path.name)
        name = name if len(name) <= 30 else name[:14] + "…" + name[-15:]
        return name if len(self.numbers) == 1 else f"[{self.numbers[job.path]}/{len(self.numbers)}] {name}"

    def progress(self, job: "Job", done: float, total: float) -> None:
        """Show that `done` of `total` seconds of a song are split."""
        now = time.monotonic()
        if job is not self.current:
            self.current, self.started, self.last_line = job, now, now
            if self.task is not None:
                self.bar.remove_task(self.task)
            self.task = self.bar.add_task(self._label(job), total=total)
        elif done == 0:
            self.is_loaded = True  # the first song is told of before the model is loaded, and again after it
        assert self.task is not None
        if not self.bar.live.is_started:
            self.bar.start()
        if done == 0:
            # The time that loading the model took does not count.
            self.started = now
            self.bar.reset(self.task)
        self.is_loaded |= done > 0
        step = "" if done else ": first chunk" if self.is_loaded else ": loading the model"
        self.bar.update(self.task, completed=done, description=self._label(job) + step)
        if self.as_json:
            number = {"place": self.numbers[job.path], "songs": len(self.numbers)}
            event = {"song": job.song, **number, "done": round(done, 3), "duration": round(total, 3)}
            say(Text(json.dumps({"progress": event})))
        elif self.line_is_due(now):
            speed = done / max(now - self.started, 1e-9)
            left = clock((total - done) / speed) if speed else "?"
            say(Text(f"{self._label(job)}: {100 * done / total:.0f} %, {speed:.1f}x real time, {left} left"))

    def outcome(self, outcome: "Outcome") -> None:
        """Show what became of a song."""
        # Remove the bar first, so that no message or path is written into it.
        self.bar.stop()
        if outcome.not_tried:
            return  # all of them are counted in one message
        if outcome.error:
            error(outcome.error)
        elif not self.quiet and outcome.record:
            self._done(outcome)

    def _done(self, outcome: "Outcome") -> None:
        assert outcome.record is not None
        song, figures = printable(outcome.job.song), outcome.record.figures
        if outcome.skipped:
            if len(self.numbers) == 1:
                note(f"{song}: already split with the same model and options; --force splits it again")
            return
        for name, facts in outcome.record.stems.items():
            target = outcome.job.shown(outcome.job.targets[name])
            if outcome.job.format.holds_all:
                target = f"{target} ({name})"
            if facts["clipped"]:
                clipped = f"{facts['clipped']} samples beyond full scale were clipped"
                warning(f"{target}: {clipped}; 32-bit float wav keeps them")
            if facts["silent"]:
                note(f"{target}: silent" + ("" if facts["file"] else ", not written"))
        made = "a file with 4 stems" if outcome.job.format.holds_all else counted(len(outcome.paths), "stem")
        text = f"{song}: {made} of {clock(figures['duration'])} "
        text += f"in {outcome.seconds:.1f} s ({outcome.speed:.1f}x real time)"
        if figures["sum_error"] is not None:
            text += f", sum of the stems {sum_error_in_words(figures['sum_error'])}"
        stems = outcome.record.stems
        if len(stems) <= MOST_STEMS:
            shares = ", ".join(f"{name} {100 * facts['energy_share']:.0f} %" for name, facts in stems.items())
            text += f"; share of the song's energy (need not total 100 %): {shares}"
        note(text)

    def total(self, outcomes: "Totals", found: "Search") -> None:
        """Show what became of all songs; nothing if there was only one.

        Args:
            outcomes: numbers of songs, and times.
            found: what was found besides songs.
        """
        self.bar.stop()
        others = passed_over_as_data(found)
        if self.quiet or len(self.numbers) + sum(others.values()) == 1:
            return
        text = f"{counted(outcomes.songs, 'song')}: {outcomes.done} split, {outcomes.skipped} already split"
        text += f", {outcomes.failed} failed" + (f", {outcomes.not_tried} not tried" if outcomes.not_tried else "")
        text += "".join(f", {count} without a {name}" for name, count in outcomes.lacking.items())
        text += passed_over_in_words(others)
        if outcomes.done:
            text += f"; {clock(outcomes.duration)} in {clock(outcomes.seconds)} ({outcomes.speed:.1f}x real time)"
        note(text)


def sum_error_in_words(figure: float) -> str:
    """Return how the sum of the stems compares with the song, without the word "error", which scripts look for."""
    if figure <= EXACT:
        return "equals the song"
    if figure >= -EXACT:
        return "cannot be compared, as the song is silent"
    return f"differs from the song by {figure:.0f} dB"

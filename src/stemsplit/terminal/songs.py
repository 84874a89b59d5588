"""What `split` tells of songs: what would be done with each, what became of each, and of all."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from rich.progress import (
    ProgressColumn,
    Task,
    TaskProgressColumn,
)
from rich.text import Text

from stemsplit.audio.levels import EXACT
from stemsplit.words import minutes, printable, size

if TYPE_CHECKING:
    from stemsplit.songs.job import Job, Outcome, Totals
from typing import TYPE_CHECKING, Any

from stemsplit.terminal.console import Report, error, note, say, warning
from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned

if TYPE_CHECKING:
    from stemsplit.songs.job import Job, Outcome, Totals


def job_as_data(job: "Job") -> dict[str, Any]:
    """What would be done with a song, as `split --dry-run --json` tells it."""
    return {
        "song": str(job.path),
        "status": "failed" if job.problem else "skipped" if job.done else "to do",
        "stems": {name: {"path": str(path)} for name, path in job.targets.items()},
        "duration": round(job.seconds, 3) or None,
        "bytes": job.size or None,
        "error": job.problem or None,
    }


def plan_as_data(jobs: Sequence["Job"], passed_over: int, speed: float | None, download: int | None) -> dict[str, Any]:
    """All that would be done, as the last line of `split --dry-run --json` tells it.

    Args:
        jobs: all songs.
        passed_over: files that are no songs.
        speed: seconds of song a second, if known.
        download: bytes of weights to be got first, 0 if unknown; None if they are here.
    """
    waiting = [job for job in jobs if not job.problem and not job.done]
    duration = sum(job.seconds for job in waiting)
    return {
        "songs": len(jobs),
        "to_do": len(waiting),
        "skipped": sum(job.done for job in jobs),
        "failed": sum(bool(job.problem) for job in jobs),
        "passed_over": passed_over,
        "duration": round(duration, 3),
        "estimated_seconds": round(duration / speed, 1) if speed else None,
        "bytes": sum(job.size for job in waiting),
        "download_bytes": download if waiting else None,
    }


def plan_in_words(summary: Mapping[str, Any]) -> str:
    """The same for people."""
    text = f"{summary['songs']} song{'s' * (summary['songs'] != 1)}: {summary['to_do']} to split"
    text += f", {summary['skipped']} split before"
    text += f", {summary['failed']} with problems"
    if summary["passed_over"]:
        text += f"; {summary['passed_over']} file{'s' * (summary['passed_over'] > 1)} of other kinds passed over"
    if summary["to_do"]:
        estimate = summary["estimated_seconds"]
        took = f"about {minutes(estimate)}" if estimate else "a time that only a first run on this machine can tell"
        text += f"; {minutes(summary['duration'])} of music, in {took}, into {size(summary['bytes'])}"
    if summary["download_bytes"] is not None:
        amount = summary["download_bytes"]
        text += f"; first to download: {size(amount) if amount else 'weights of unknown size'}"
    return text


def print_plan(jobs: Sequence["Job"]) -> None:
    """One line a song that would be split: what would be done with it, and where its files would go."""
    rows = []
    for job in jobs:
        state = "problem" if job.problem else "done" if job.done else "to do"
        where = job.problem
        if not where:
            where = f"{job.record.parent}: {', '.join(path.name for path in job.targets.values())}"
        rows.append((state, minutes(job.seconds) if job.seconds else "", str(job.path), where))
    if rows:
        print_text(*aligned([tuple(map(printable, row)) for row in rows]))


def outcome_as_data(outcome: "Outcome") -> dict[str, Any]:
    """What became of a song, as `split --json` tells it."""
    record, job = outcome.record, outcome.job
    told = ("peak", "clipped", "energy_share", "silent")
    stems = {
        name: {"path": str(job.targets[name]) if facts["file"] else None, **{key: facts[key] for key in told}}
        for name, facts in (record.stems.items() if record else ())
        if name in job.targets
    }
    return {
        "song": str(job.path),
        "status": "failed" if outcome.error else "skipped" if outcome.skipped else "done",
        "stems": stems,
        "duration": record.figures["duration"] if record else None,
        "sum_error": record.figures["sum_error"] if record else None,
        "seconds": round(outcome.seconds, 3),
        "real_time_factor": round(outcome.speed, 3),
        "error": outcome.error or None,
    }


def totals_as_data(totals: "Totals", passed_over: int) -> dict[str, Any]:
    """What became of all songs, as the last line of `split --json` tells it."""
    counts = {name: getattr(totals, name) for name in ("songs", "done", "skipped", "failed")}
    times = {"duration": round(totals.duration, 3), "seconds": round(totals.seconds, 3)}
    return {"summary": {**counts, "passed_over": passed_over, **times, "real_time_factor": round(totals.speed, 3)}}


MANY_STEMS = 8
"""Whose energy shares are no longer listed on a line."""


class SpeedColumn(ProgressColumn):
    """Speed as a multiple of real time: seconds of song per second."""

    def render(self, task: Task) -> Text:
        """The figure of one bar."""
        return Text(f"{task.speed:.1f}x" if task.speed else "-", style="progress.data.speed")


class SplitReport(Report):
    """Shows a batch at work: a bar for the current song on a terminal, plain lines elsewhere, a line for each done.

    Args:
        jobs: all songs, in order.
        quiet: show nothing but errors.
        steps: how far a song is: "auto", "none", or "json" for lines that another program shows in its own way.
    """

    def __init__(self, jobs: Sequence["Job"], quiet: bool, steps: str = "auto") -> None:
        super().__init__(steps == "auto" and not quiet, TaskProgressColumn(), SpeedColumn())
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
            say(Text(json.dumps({"progress": event})))
        elif self.line_is_due(now):
            speed = done / max(now - self.started, 1e-9)
            left = minutes((total - done) / speed) if speed else "?"
            say(Text(f"{self._label(job)}: {100 * done / total:.0f} %, {speed:.1f}x real time, {left} left"))

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

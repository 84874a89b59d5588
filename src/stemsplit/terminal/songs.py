"""What `split` tells of songs: what would be done with each, what became of each, and of all."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned
from stemsplit.words import minutes, printable, size

if TYPE_CHECKING:
    from stemsplit.songs.job import Job
    from stemsplit.songs.plan import Outcome, Totals


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

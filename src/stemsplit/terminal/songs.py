"""Shows what `split` will do with songs, and what became of each song and of all, in words and as data."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from stemsplit.songs.speeds import Estimate
from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned
from stemsplit.words import clock, counted, printable, size

if TYPE_CHECKING:
    from stemsplit.songs.find import Search
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome, Totals


def job_as_data(job: "Job") -> dict[str, Any]:
    """Return what will be done with a song as `split --dry-run --json` prints it."""
    return {
        "song": job.song,
        "status": "failed" if job.problem else "skipped" if job.done else "to do",
        "stems": {name: {"path": job.shown(path)} for name, path in job.targets.items()},
        "duration": None if job.seconds is None else round(job.seconds, 3),
        "bytes": job.size,
        "error": job.problem or None,
        "notes": [job.conversion] if job.conversion else [],
    }


def passed_over_as_data(found: "Search | None") -> dict[str, int]:
    """Return how many files in the songs' folders are not split, and why, as the last line of `--json` prints it."""
    names = {"passed_over": "passed_over", "stems_passed_over": "stems", "true_stems_passed_over": "true_stems"}
    names |= {"known_failures": "known_failures"}
    return {key: getattr(found, name) if found else 0 for key, name in names.items()}


def passed_over_in_words(counts: Mapping[str, Any]) -> str:
    """Return what `passed_over_as_data` counts as the next part of a line for people; empty if there is nothing."""
    text = ""
    if number := counts["known_failures"]:
        text += f"; {counted(number, 'known failure')} passed over"
    if number := counts["stems_passed_over"]:
        text += f"; {counted(number, 'stem')} of earlier runs passed over"
    if number := counts["true_stems_passed_over"]:
        text += f"; {counted(number, 'true stem')} beside a mixture passed over"
    if number := counts["passed_over"]:
        text += f"; {counted(number, 'file')} of other kinds passed over"
    return text


def plan_as_data(
    jobs: Sequence["Job"], found: "Search | None", estimate: Estimate | None, free: int | None, download: int | None
) -> dict[str, Any]:
    """Return what will be done in all as the last line of `split --dry-run --json` prints it.

    Args:
        jobs: jobs of all songs.
        found: what was found besides songs; None if the search did not end.
        estimate: time to split the songs whose length is known; None if it cannot be told.
        free: bytes that are free on the disk of the output folder; None if unknown.
        download: size in bytes of the weights to download first, 0 if unknown; None if no download is needed.
    """
    waiting = [job for job in jobs if not job.problem and not job.done]
    told = [(job.seconds, job.size) for job in waiting if job.seconds is not None and job.size is not None]
    unknown = len(waiting) - len(told)
    # Of nothing that is known, there is no sum.
    is_known = bool(told or not waiting)
    return {
        "songs": len(jobs),
        "to_do": len(waiting),
        "skipped": sum(job.done for job in jobs),
        "failed": sum(bool(job.problem) for job in jobs),
        **passed_over_as_data(found),
        "unknown_length": unknown,
        "duration": round(sum(seconds for seconds, _ in told), 3) if is_known else None,
        "estimated_seconds": round(estimate.seconds, 1) if estimate and told else None,
        "estimated_range": [round(estimate.least, 1), round(estimate.most, 1)] if estimate and told else None,
        "bytes": sum(size for _, size in told) if is_known else None,
        "free_bytes": free,
        "download_bytes": download if waiting else None,
        "error": None,
        "exit_status": int(any(job.problem for job in jobs)),
    }


def _needs_in_words(summary: Mapping[str, Any]) -> str:
    """Return how much music there is to split, and the time and the disk that it takes."""
    unknown, space, free = (summary[name] for name in ("unknown_length", "bytes", "free_bytes"))
    without = f"{counted(unknown, 'song')} of unknown length"
    if space is None:
        text = f"{without}, so time and disk are unknown"
    else:
        estimate = summary["estimated_seconds"]
        time_ = "time unknown until this model has run here once"
        if estimate is not None:
            time_ = f"about {time_in_words(estimate, *summary['estimated_range'])} to split"
        text = f"{clock(summary['duration'])} of music, {time_}; needs about {size(space)} of disk"
        if unknown:
            text += f"; besides, {without}, which {'takes' if unknown == 1 else 'take'} more time and disk"
    return text if free is None else f"{text}; {size(free) if free else 'nothing'} is free there"


def time_in_words(seconds: float, least: float, most: float) -> str:
    """Return a time that was estimated: as a range if the runs that it was estimated from disagree."""
    if Estimate(seconds, least, most).is_vague:
        return f"{clock(least)} to {clock(most)}"
    return clock(seconds)


def plan_in_words(summary: Mapping[str, Any]) -> str:
    """Return what will be done in all, a summary from `plan_as_data`, as a line for people."""
    text = f"{counted(summary['songs'], 'song')}: {summary['to_do']} to split"
    text += f", {summary['skipped']} already split"
    text += f", {summary['failed']} with problems"
    text += passed_over_in_words(summary)
    if summary["to_do"]:
        text += f"; {_needs_in_words(summary)}"
    if summary["download_bytes"] is not None:
        amount = summary["download_bytes"]
        text += f"; first to download: {size(amount) if amount else 'weights of unknown size'}"
    return text


def print_plan(jobs: Sequence["Job"]) -> None:
    """Print a line for each song: what will be done with it, and where its files will be."""
    rows = []
    for job in jobs:
        state = "problem" if job.problem else "done" if job.done else "to do"
        # The song's name is in the column before.
        where = job.problem.replace(f"cannot read {job.song} (", "cannot be read (")
        if not where:
            targets = job.targets.values()
            # Stems may have folders of their own, as with {stem}/{track}.
            together = all(path.parent == job.record.parent for path in targets)
            folder = job.record.parent if together else job.options.out
            names = dict.fromkeys(str(path.relative_to(folder)) for path in targets)
            where = f"{job.shown(folder)}: {', '.join(names)}"
        length = "" if state != "to do" else "?" if job.seconds is None else clock(job.seconds)
        rows.append((state, length, job.song, where))
    if rows:
        print_text(*aligned([tuple(map(printable, row)) for row in rows]))


def status_of(outcome: "Outcome") -> str:
    """Return in a word what became of a song."""
    if outcome.not_tried:
        return "not tried"
    return "failed" if outcome.error else "skipped" if outcome.skipped else "done"


def outcome_as_data(outcome: "Outcome", extras: Sequence[str] = ()) -> dict[str, Any]:
    """Return what became of a song as `split --json` prints it.

    Args:
        outcome: outcome of the song.
        extras: further files that were asked for, by what they are.
    """
    record, job = outcome.record, outcome.job
    keys = ("peak", "clipped", "energy_share", "silent")
    stems = {
        name: {"path": job.shown(job.targets[name]) if facts["file"] else None, **{key: facts[key] for key in keys}}
        for name, facts in (record.stems.items() if record else ())
        if name in job.targets
    }
    asked: dict[str, str | None] = {}
    for name in extras:
        asked[name] = str(outcome.extras[name]) if name in outcome.extras else None
        asked[f"{name}_error"] = outcome.lacking.get(name)
    return {
        "song": job.song,
        "status": status_of(outcome),
        "stems": stems,
        "duration": record.figures["duration"] if record else None,
        "sum_error": record.figures["sum_error"] if record else None,
        "seconds": round(outcome.seconds, 3),
        "real_time_factor": round(outcome.speed, 3),
        "error": outcome.error or None,
        "notes": list(outcome.notes),
        **asked,
    }


def totals_as_data(totals: "Totals", found: "Search | None", extras: Sequence[str] = ()) -> dict[str, Any]:
    """Return what became of all songs as the last line of `split --json` prints it.

    Args:
        totals: totals of the run.
        found: what was found besides songs; None if the search did not end.
        extras: further files that were asked for, by what they are.
    """
    counts = {name: getattr(totals, name) for name in ("songs", "done", "skipped", "failed")}
    counts |= {} if totals.not_tried is None else {"not_tried": totals.not_tried}
    counts |= {f"without_{name}": totals.lacking[name] for name in extras}
    times = {"duration": round(totals.duration, 3), "seconds": round(totals.seconds, 3)}
    ended = {"error": None, "exit_status": int(bool(totals.failed or totals.untold or totals.lacking))}
    speed = round(totals.speed, 3)
    return {"summary": {**counts, **passed_over_as_data(found), **times, "real_time_factor": speed, **ended}}

"""Prints what people should know before a split: the excerpt, the files' names, a dry run, a better model."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.job import Job, Options
    from stemsplit.songs.speeds import Settings

FEW = 5
"""Largest number of songs that a message names one by one."""


def hint_at_models(registry_file: Path | None) -> None:
    """Print which recommended model of the same stems sounds better than the small built-in one."""
    from stemsplit.registry import DEFAULT_MODEL, entries
    from stemsplit.terminal import console
    from stemsplit.words import size

    models = entries(registry_file)
    built_in = models.pop(DEFAULT_MODEL)
    for model in models.values():
        if model.recommended and {*built_in.outputs} <= {*model.outputs}:
            what = f"a download of {size(model.size)}" if model.size else model.description
            console.hint(f"for better sound, add --model {model.name}: {what}; other models: stemsplit list")
            return


def tell_of_excerpt(options: "Options") -> None:
    """Print which excerpt of each song is split, unless whole songs are."""
    from stemsplit.terminal import console
    from stemsplit.words import clock

    begin, length = options.start, options.duration
    if length is not None:
        amount = f"{length:g} s" if length < 60 else clock(length, 3)
        where = f"{amount} of each song, from {clock(begin, 3)} on" if begin else f"the first {amount} of each song"
        console.note(f"splitting only {where}")
    elif begin:
        console.note(f"splitting each song from {clock(begin, 3)} to its end")


def shortened(songs: "Sequence[str]") -> str:
    """Name songs in a message: a few, and how many more there are."""
    named = ", ".join(songs[:FEW])
    return f"{named} and {len(songs) - FEW} more" if len(songs) > FEW else named


def tell_of_names(jobs: "Sequence[Job]") -> None:
    """Print which songs' files get other names than the songs have."""
    from stemsplit.terminal import console
    from stemsplit.words import counted

    renamed = [job for job in jobs if not job.problem and job.is_renamed]
    for job in renamed[:FEW]:
        target = next(iter(job.targets.values()))
        console.note(f"some systems do not allow the name of {job.path}; its files are named {target} and so on")
    if len(renamed) > FEW:
        more = len(renamed) - FEW
        console.note(f"the same is true of {counted(more, 'more song')}")


def print_dry_run(
    jobs: "Sequence[Job]", passed_over: int, models: "ChainEntry", settings: "Settings", as_json: bool
) -> bool:
    """Print what would be done, song by song, and a summary.

    Returns:
        Whether all songs can be split, as far as that is known.
    """
    from stemsplit.disk.space import free_space, too_little
    from stemsplit.songs import speeds
    from stemsplit.terminal import console
    from stemsplit.terminal.songs import job_as_data, plan_as_data, plan_in_words, print_plan
    from stemsplit.terminal.stdout import print_line

    waiting = [job for job in jobs if not job.problem and not job.done]
    estimate = speeds.estimate(speeds.known(models, settings), speeds.chunks_of(waiting, models))
    out = jobs[0].options.out
    free = free_space(out)
    summary = plan_as_data(jobs, passed_over, estimate, free, bytes_to_download(models))
    is_short = free is not None and (summary["bytes"] or 0) > free
    if as_json:
        for job in jobs:
            print_line(job_as_data(job))
        print_line({"summary": {**summary, "exit_status": int(is_short or bool(summary["exit_status"]))}})
    else:
        print_plan(jobs)
        console.note(plan_in_words(summary))
    if is_short:
        console.error(too_little(out, summary["bytes"], free or 0))
    return not is_short and not any(job.problem for job in jobs)


def bytes_to_download(models: "ChainEntry") -> int | None:
    """Return the size of the weights that are not on this machine, in bytes; 0 if unknown, None if all are here."""
    from stemsplit.fetch import store

    missing = {entry.name: entry.size for entry in models.entries if not store.local(entry, remember=False)}
    if not missing:
        return None
    return sum(missing.values()) if all(missing.values()) else 0

"""Prints what people should know before a split: the excerpt, the files' names, a dry run, a better model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from stemsplit.audio import Format
    from stemsplit.cli.split_tries import Machines
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.find import Search
    from stemsplit.songs.job import Job, Options
    from stemsplit.songs.outputs import Output
    from stemsplit.songs.speeds import Settings

FEW = 5
"""Largest number of songs that a message names one by one."""


def hint_at_models(registry_file: Path | None) -> None:
    """Print which recommended model of the same stems sounds better than the small built-in one."""
    from stemsplit.errors import RegistryError
    from stemsplit.registry import DEFAULT_MODEL, find
    from stemsplit.registry.choosing import licence_in_words, recommended, size_in_words
    from stemsplit.terminal import console

    try:
        model = recommended(find(DEFAULT_MODEL, registry_file).outputs, registry_file).entry
    except RegistryError:  # of a wish; no reason not to split
        return
    if model.name != DEFAULT_MODEL:
        what = f"a download of {size_in_words(model)}, {licence_in_words(model)}"
        console.hint(f"for better sound, add --model {model.name}: {what}; other models: stemsplit list")


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


def nothing_found(songs: "Sequence[str]", found: "Search") -> str:
    """Return a message that says why there is nothing to split."""
    if found.stems:
        what = f"only stems of earlier runs found in {shortened(songs)} ({found.stems})"
        return f"{what}; to split one of them further, name its file"
    others = f" (other files: {found.passed_over})" if found.passed_over else ""
    return f"no audio found in {shortened(songs)}{others}; name songs, or folders that contain songs"


def tell_of_search(found: "Search") -> None:
    """Print which files are not what they seem."""
    from stemsplit.terminal import console

    for text in found.notes:
        console.note(text)


def tell_of_names(jobs: "Sequence[Job]") -> None:
    """Print which songs' files get other names than the songs have."""
    from stemsplit.terminal import console
    from stemsplit.words import counted

    apart = [job for job in jobs if not job.problem and job.told_apart]
    for job in apart[:FEW]:
        target = next(iter(job.targets.values()))
        console.note(f"{job.song} has the name of another song; its files are named {job.shown(target)} and so on")
    if len(apart) > FEW:
        console.note(f"the same is true of {counted(len(apart) - FEW, 'more song')}")
    replacing = [job for job in jobs if not job.problem and job.replaces]
    for job in replacing[:FEW]:
        what = f"those there were made from another file {job.path.name}, or from this one before it was changed"
        console.note(f"the stems of {job.song} replace others in {job.shown(job.record.parent)}: {what}")
    if len(replacing) > FEW:
        console.note(f"the same is true of {counted(len(replacing) - FEW, 'more song')}")
    renamed = [job for job in jobs if not job.problem and job.is_renamed]
    for job in renamed[:FEW]:
        target = next(iter(job.targets.values()))
        named = job.shown(target)
        console.note(f"some systems do not allow the name of {job.song}; its files are named {named} and so on")
    if len(renamed) > FEW:
        more = len(renamed) - FEW
        console.note(f"the same is true of {counted(more, 'more song')}")


def tell_of_whole(file_format: "Format", outputs: "Sequence[Output]", models: "ChainEntry") -> None:
    """Print what people should know of files that hold a song and its stems."""
    from stemsplit.songs.whole import remarks
    from stemsplit.terminal import console

    for text in remarks(file_format, outputs, models.stems, models.sums):
        console.note(text)


def tell_of_conversions(jobs: "Sequence[Job]") -> None:
    """Print which songs' files get another sample rate, or other channels, than the songs have."""
    from stemsplit.terminal import console
    from stemsplit.words import counted

    by_change: dict[str, list[Job]] = {}
    for job in jobs:
        if job.conversion and not job.problem and not job.done:
            by_change.setdefault(job.conversion, []).append(job)
    for change, changed in by_change.items():
        more = f", and the same for {counted(len(changed) - 1, 'more song')}" if len(changed) > 1 else ""
        console.note(f"{changed[0].song}: {change}{more}")


def tell_of_plan(found: "Search", options: "Options", jobs: "Sequence[Job]") -> None:
    """Print what people should know of the songs, and of their files, before the first is split."""
    tell_of_search(found)
    tell_of_excerpt(options)
    tell_of_names(jobs)
    tell_of_conversions(jobs)


def print_dry_run(
    jobs: "Sequence[Job]",
    found: "Search",
    models: "ChainEntry",
    settings: "Settings",
    out: "Path",
    as_json: bool,
    further: "Callable[[Job], Mapping[str, Mapping[str, Any]]]" = lambda _: {},
    machines: "Machines | None" = None,
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
    known = speeds.known(models, settings)
    estimate = speeds.estimate(known, speeds.chunks_of(waiting, models))
    sent = any(job.elsewhere and job.elsewhere.sends for job in jobs)
    free = None if sent else free_space(out)
    summary = plan_as_data(jobs, found, estimate, free, bytes_to_download(models))
    many = machines.estimated(waiting, models, known) if machines else {}
    summary = {**summary, **many}
    extras = [further(job) for job in jobs]
    lacking = any(extra["error"] for each in extras for extra in each.values())
    is_short = free is not None and (summary["bytes"] or 0) > free
    if as_json:
        for job, each in zip(jobs, extras, strict=True):
            print_line({**job_as_data(job), **each})
        print_line({"summary": {**summary, "exit_status": int(is_short or lacking or bool(summary["exit_status"]))}})
    else:
        print_plan(jobs)
        console.note(plan_in_words(summary))
        if machines and many and waiting:
            console.note(machines.in_words(summary))
    if is_short:
        console.error(too_little(out, summary["bytes"], free or 0))
    return not is_short and not lacking and not any(job.problem for job in jobs)


def bytes_to_download(models: "ChainEntry") -> int | None:
    """Return the size of the weights that are not on this machine, in bytes; 0 if unknown, None if all are here."""
    from stemsplit.fetch import store

    missing = {entry.name: entry.size for entry in models.entries if not store.local(entry, remember=False)}
    if not missing:
        return None
    return sum(missing.values()) if all(missing.values()) else 0

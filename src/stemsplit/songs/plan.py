"""Plans which songs are split into which files, and finds problems before the first song is read."""

import os
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from stemsplit.audio import Reader, read_tags
from stemsplit.disk.limits import longest_name
from stemsplit.disk.real import RealPaths
from stemsplit.disk.space import check_space
from stemsplit.failures import cause
from stemsplit.songs.apart import apart, clash
from stemsplit.songs.examining import Examiner
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template, track_of
from stemsplit.songs.standing import Standings

LONG_SUFFIX = 8
"""Bytes that `.stem.mp4`, and `.stemsplit.json`, may have more than other suffixes."""


class PlanError(ValueError):
    """The request is impossible for any song."""


@lru_cache(1024)
def parent_of(folder: str) -> str:
    """Return the name of a folder, which songs lie in."""
    return os.path.basename(os.path.abspath(folder))  # noqa: PTH100, PTH119  # of 200,000


@lru_cache(1024)
def folder_for(out: Path, below: Path) -> Path:
    """Return the folder that the files of songs go to, the same object for all of them."""
    return out / below if below.parts else out


def planned(found: Found, options: Options, template: Template, model_name: str) -> Job:
    """Return the job of a song; only the places of its files are known yet."""
    path = found.path
    tags: Mapping[str, Sequence[str]] = {}
    problem = found.problem or (found.elsewhere.problem if found.elsewhere else "")
    if template.needs_tags and not problem:
        try:
            tags = read_tags(path)
        except Exception as error:  # of any kind: one song must not end the others
            problem = f"cannot read {path}: {cause(error, 'reading its tags')}"
    away = found.elsewhere
    names = template.of_song(
        track=track_of(path),
        model=model_name,
        parent=away.parent if away and away.fetches else parent_of(os.path.dirname(path)),  # noqa: PTH120  # of 200,000
        ext=path.suffix.removeprefix("."),
        # The first of several: folders of earlier versions are called so, and names stay short.
        artist=next(iter(tags.get("artist", ())), None),
        title=next(iter(tags.get("title", ())), None),
    )
    file_format = options.format
    if options.like_source:
        # A song that cannot be read keeps the default format; `examined` reports the error.
        with suppress(Exception), Reader(path, track=options.track) as reader:
            file_format = reader.format
    return Job(path, options, folder_for(options.out, found.below), names, file_format, problem=problem, elsewhere=away)


def place_of(found: Found, reals: RealPaths) -> str:
    """Return the real path of a song, or its address."""
    away = found.elsewhere
    return away.song if away and away.fetches else reals.of(found.path)


def refuse_what_needs_songs(options: Options, template: Template) -> None:
    """Raise PlanError if songs at addresses would have to be read to plan how their stems are named and written."""
    why = "songs at addresses are not read before they are split"
    if options.like_source:
        raise PlanError(f"--like-source needs files of this machine: {why}; use --format")
    if template.needs_tags:
        raise PlanError(f"--name with {{artist}} or {{title}} needs files of this machine: {why}; use {{track}}")


def plan(
    songs: Sequence[Found], options: Options, template: Template, model_name: str, own: Collection[int] | None = None
) -> list[Job]:
    """Return one job for each song, with the problems that are known beforehand.

    Args:
        songs: all songs, by which names are given.
        options: settings of the run.
        template: template of the files' names.
        model_name: name of the model.
        own: places in the list of the songs that are looked at, and that have jobs; None for all.

    Raises:
        PlanError: the format, or the names of the outputs, are impossible for any song.
    """
    if not options.like_source and (reason := options.format.unavailable()):
        raise PlanError(reason)
    try:
        # The suffix of a file that holds all stems, and of its record, are longer than those that names have room for.
        room = LONG_SUFFIX if options.format.holds_all else 0
        template = replace(template, longest=longest_name(options.out) - room, needs_stem=not options.format.holds_all)
    except ValueError as error:
        raise PlanError(f"--name {error}") from error
    reals = RealPaths()
    real = {place_of(found, reals) for found in songs}
    away = [found.elsewhere for found in songs if found.elsewhere]
    if any(each.fetches for each in away):
        refuse_what_needs_songs(options, template)
    # Two outputs may have the same name, whatever the songs are called.
    if problem := clash(planned(Found(Path("song")), options, template, model_name)):
        raise PlanError(problem)
    jobs = [planned(found, options, template, model_name) for found in songs]
    if away and away[0].sends:
        away[0].look_ahead([job.record for job in jobs])
    standings = Standings(options)
    jobs = apart(jobs, standings)
    if own is not None:
        jobs = [job for number, job in enumerate(jobs) if number in own]
    examiner = Examiner(real, standings)
    jobs = [job if job.problem else examiner.attempted(job) for job in jobs]
    return [told(job) for job in jobs] if away else jobs


def told(job: Job) -> Job:
    """Return the job; its problem has addresses in the place of paths of staged files."""
    return replace(job, problem=job.elsewhere.told(job.problem)) if job.elsewhere and job.problem else job


def check_room(jobs: Sequence[Job], further: int = 0) -> None:
    """Raise AudioError if the disk has no room for the stems of all songs whose length is known.

    Args:
        jobs: jobs of all songs.
        further: bytes of what else will be written beside them.
    """
    jobs = [job for job in jobs if not (job.elsewhere and job.elsewhere.sends)]
    for out in {job.options.out for job in jobs}:
        check_space(out, further + sum(job.size or 0 for job in jobs if not job.problem and job.options.out == out))

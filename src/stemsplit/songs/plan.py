"""Plans which songs are split into which files, and finds problems before the first song is read."""

import os
from collections.abc import Mapping, Sequence
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
from stemsplit.songs.find import Found
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
    problem = found.problem
    if template.needs_tags and not problem:
        try:
            tags = read_tags(path)
        except Exception as error:  # of any kind: one song must not end the others
            problem = f"cannot read {path}: {cause(error, 'reading its tags')}"
    names = template.of_song(
        track=track_of(path),
        model=model_name,
        parent=parent_of(os.path.dirname(path)),  # noqa: PTH120  # of 200,000
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
    return Job(path, options, folder_for(options.out, found.below), names, file_format, problem=problem)


def plan(songs: Sequence[Found], options: Options, template: Template, model_name: str) -> list[Job]:
    """Return one job for each song, with the problems that are known beforehand.

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
    real = {*map(RealPaths().of, (found.path for found in songs))}
    # Two outputs may have the same name, whatever the songs are called.
    if problem := clash(planned(Found(Path("song")), options, template, model_name)):
        raise PlanError(problem)
    standings = Standings(options)
    jobs = apart([planned(found, options, template, model_name) for found in songs], standings)
    examiner = Examiner(real, standings)
    return [job if job.problem else examiner.attempted(job) for job in jobs]


def check_room(jobs: Sequence[Job], further: int = 0) -> None:
    """Raise AudioError if the disk has no room for the stems of all songs whose length is known.

    Args:
        jobs: jobs of all songs.
        further: bytes of what else will be written beside them.
    """
    for out in {job.options.out for job in jobs}:
        check_space(out, further + sum(job.size or 0 for job in jobs if not job.problem and job.options.out == out))

"""Plans which songs are split into which files, and finds problems before the first song is read."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from stemsplit.audio import Reader, read_tags
from stemsplit.disk.files import size_of
from stemsplit.disk.limits import longest_name
from stemsplit.disk.space import check_space, existing_ancestor
from stemsplit.errors import AudioError
from stemsplit.failures import cause
from stemsplit.songs import record, trial
from stemsplit.songs.apart import apart, clash
from stemsplit.songs.failures import reason
from stemsplit.songs.find import Found
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template, track_of

LONG_SUFFIX = 8
"""Bytes that `.stem.mp4`, and `.stemsplit.json`, may have more than other suffixes."""


class PlanError(ValueError):
    """The request is impossible for any song."""


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
        parent=os.path.basename(os.path.dirname(os.path.abspath(path))),  # noqa: PTH100, PTH119, PTH120  # of 200,000
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
    folder = options.out / found.below if found.below.parts else options.out
    return Job(path, options, folder, names, file_format, problem=problem)


def examined(job: Job, songs: Collection[str], real_folder: Callable[[Path], str]) -> Job:
    """Return the job with its size, and with any problem of its folder, its names and the song's header.

    Args:
        job: job from `planned`.
        songs: real paths of all songs, none of which may be overwritten.
        real_folder: function that returns the real path of a folder.
    """
    options = job.options
    try:
        targets = job.targets
        if link := job.link((*targets.values(), job.record)):
            return replace(job, problem=f"{link} is a link, which is not followed; remove it, or choose another -o")
        found = job.recorded()
        if found and not options.force:
            now = record.state(job.path)
            if job.is_done(found):
                read = not record.is_newer(job.record, now)
                return replace(job, done=True, compared=(now, str(found.song["sha256"])) if read else None)
        if other := job.other_song(found):
            return replace(job, problem=other)
    except AudioError as error:
        return replace(job, problem=str(error))
    except OSError as error:
        return replace(job, problem=f"cannot read {job.path} ({error.strerror})")
    parent = existing_ancestor(job.record.parent)
    effective = os.access in os.supports_effective_ids
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
        problem = f"cannot write into {parent} (no permission, or not a folder); choose another with -o"
        return replace(job, problem=problem)
    if problem := trial.known_problem(job):
        return replace(job, problem=problem)
    for target in targets.values():
        if os.path.join(real_folder(target.parent), target.name) in songs:  # noqa: PTH118  # as realpath gives them
            return replace(job, problem=f"{target} is itself one of the songs; choose another folder with -o")
    try:
        with Reader(job.path, options.start, options.duration, options.track) as reader:
            rate, channels, frames = reader.sample_rate, reader.channels, reader.frames
            speakers = reader.speakers
    except AudioError as error:
        return replace(job, problem=str(error))
    if reason := job.format.refusal(rate, channels, speakers, frames):
        return replace(job, problem=f"cannot write the stems of {job.path}: {reason}")
    replaces = found is not None and found.song["size"] != size_of(Path(os.path.realpath(job.path)))
    job = replace(job, channels=channels, replaces=replaces, conversion=job.format.conversion(rate, channels))
    if frames is None:
        return job
    size = job.size_for(job.format.frames(frames, rate))
    problem = trial.too_large(job, size // len(options.outputs))
    return replace(job, size=size, seconds=frames / rate, problem=problem)


def attempted(job: Job, songs: Collection[str], real_folder: Callable[[Path], str]) -> Job:
    """Return the job as `examined` does; an error of any kind becomes its problem, and does not end the others."""
    try:
        return examined(job, songs, real_folder)
    except Exception as error:
        return replace(job, problem=reason(error, job, "looking at"))


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
    real = {os.path.realpath(found.path) for found in songs}
    # Two outputs may have the same name, whatever the songs are called.
    if problem := clash(planned(Found(Path("song")), options, template, model_name)):
        raise PlanError(problem)
    jobs = apart([planned(found, options, template, model_name) for found in songs])
    real_folder = lru_cache(1024)(os.path.realpath)
    if own is not None:
        jobs = [job for number, job in enumerate(jobs) if number in own]
    return [job if job.problem else attempted(job, real, real_folder) for job in jobs]


def check_room(jobs: Sequence[Job], further: int = 0) -> None:
    """Raise AudioError if the disk has no room for the stems of all songs whose length is known.

    Args:
        jobs: jobs of all songs.
        further: bytes of what else will be written beside them.
    """
    for out in {job.options.out for job in jobs}:
        check_space(out, further + sum(job.size or 0 for job in jobs if not job.problem and job.options.out == out))

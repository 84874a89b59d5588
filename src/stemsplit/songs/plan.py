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
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template, track_of
from stemsplit.songs.record import Record

LONG_SUFFIX = 8
"""Bytes that `.stem.mp4`, and `.stemsplit.json`, may have more than other suffixes."""


class PlanError(ValueError):
    """The request is impossible for any song."""


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
        parent=away.parent if away and away.fetches else os.path.basename(os.path.dirname(os.path.abspath(path))),  # noqa: PTH100, PTH119, PTH120  # of 200,000
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
    return Job(path, options, folder, names, file_format, problem=problem, elsewhere=away)


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
        if found and not options.force and job.elsewhere:
            if job.is_done(found):
                return replace(job, done=True)
        elif found and not options.force:
            now = record.state(job.path)
            if job.is_done(found):
                read = not record.is_newer(job.record, now)
                return replace(job, done=True, compared=(now, str(found.song["sha256"])) if read else None)
        if other := job.other_song(found):
            return replace(job, problem=other)
    except AudioError as error:
        return replace(job, problem=str(error))
    except OSError as error:
        return replace(job, problem=f"cannot read {job.song} ({error.strerror})")
    if problem := unwritable(job, songs, real_folder):
        return replace(job, problem=problem)
    return measured(job, found)


def unwritable(job: Job, songs: Collection[str], real_folder: Callable[[Path], str]) -> str:
    """Return why a song's files cannot be written to their places, as far as that is known; else empty."""
    sent = job.elsewhere is not None and job.elsewhere.sends
    if not sent:
        parent = existing_ancestor(job.record.parent)
        effective = os.access in os.supports_effective_ids
        if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
            return f"cannot write into {parent} (no permission, or not a folder); choose another with -o"
        if problem := trial.known_problem(job):
            return problem
    for target in job.targets.values():
        # As realpath gives them.
        place = job.shown(target) if sent else os.path.join(real_folder(target.parent), target.name)  # noqa: PTH118
        if place in songs:
            return f"{target} is itself one of the songs; choose another folder with -o"
    return ""


def measured(job: Job, found: Record | None) -> Job:
    """Return the job with what the song's header tells, unless the song is elsewhere.

    Args:
        job: job of the song.
        found: present record.
    """
    options = job.options
    if job.elsewhere and job.elsewhere.fetches:
        return job
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


def place_of(found: Found) -> str:
    """Return the real path of a song, or its address."""
    away = found.elsewhere
    return away.song if away and away.fetches else os.path.realpath(found.path)


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
    real = {place_of(found) for found in songs}
    away = [found.elsewhere for found in songs if found.elsewhere]
    if any(each.fetches for each in away):
        refuse_what_needs_songs(options, template)
    # Two outputs may have the same name, whatever the songs are called.
    if problem := clash(planned(Found(Path("song")), options, template, model_name)):
        raise PlanError(problem)
    jobs = [planned(found, options, template, model_name) for found in songs]
    if away and away[0].sends:
        away[0].look_ahead([job.record for job in jobs])
    jobs = apart(jobs)
    real_folder = lru_cache(1024)(os.path.realpath)
    if own is not None:
        jobs = [job for number, job in enumerate(jobs) if number in own]
    jobs = [job if job.problem else attempted(job, real, real_folder) for job in jobs]
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

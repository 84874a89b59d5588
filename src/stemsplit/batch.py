"""Many songs: whatever can be known to go wrong beforehand, then one song after another, each failing on its own."""

import os
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.audio import Reader, Song, examine, unsupported
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.job import Job, Options, StemFiles, SumError, check_space, existing_ancestor, stem_bytes

if TYPE_CHECKING:
    from stemsplit.separator import Separator


class PlanError(ValueError):
    """What was asked for cannot be done, whatever the songs are like."""


@dataclass
class Outcome:
    """What became of a song.

    Args:
        job: what was asked.
        error: why it failed; empty if it did not.
        paths: the stems' files.
        song_seconds: duration of the song.
        seconds: time it took.
        sum_error: energy of song minus sum of stems, as their files hold them, over the song's, in dB; None if not all
            stems were written, or in a lossy format.
        clipped: stem -> samples that were beyond full scale, where there were any.
    """

    job: Job
    error: str = ""
    paths: list[Path] = field(default_factory=list)
    song_seconds: float = 0.0
    seconds: float = 0.0
    sum_error: float | None = None
    clipped: dict[str, int] = field(default_factory=dict)


Progress = Callable[[Job, float, float], None]
"""Told, again and again, the job, the seconds of the song that are done and the seconds that it has."""


def examined(job: Job, songs: Collection[str]) -> Job:
    """The job with its size, and with what its folder, its names and the song's header tell against it.

    Args:
        job: as asked for.
        songs: real paths of all songs, none of which may be written over.
    """
    options = job.options
    parent = existing_ancestor(job.folder)
    effective = os.access in os.supports_effective_ids
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
        problem = f"cannot write into {parent} (no permission, or not a folder); choose another with -o"
        return replace(job, problem=problem)
    for target in map(job.target, options.stems):
        if os.path.realpath(target) in songs:
            return replace(job, problem=f"{target} is itself one of the songs; choose another folder with -o")
        if os.path.lexists(target) and not (options.force and target.is_file()):
            advice = "--force writes over it" if target.is_file() else "choose another folder with -o"
            return replace(job, problem=f"{target} is already there; {advice}")
    try:
        with Reader(job.path) as reader:
            rate, channels, frames = reader.sample_rate, reader.channels, reader.frames
    except AudioError as error:
        return replace(job, problem=str(error))
    if reason := unsupported(options.format, options.bit_depth, rate, channels):
        return replace(job, problem=f"cannot write the stems of {job.path}: {reason}")
    return replace(job, size=stem_bytes(options, channels, frames or 0))


def plan(songs: Sequence[Path], options: Options) -> list[Job]:
    """One job a song, each with what is already known to be wrong with it.

    Raises:
        PlanError: two songs would write the same files, or a format cannot be written at all.
        AudioError: the disk has no room for all of the stems.
    """
    if reason := unsupported(options.format, options.bit_depth, 44_100, 2):
        raise PlanError(reason)
    real = {os.path.realpath(path) for path in songs}
    seen: dict[str, Path] = {}
    jobs = []
    for path in songs:
        # A name of dots alone would be a way out of the folder.
        folder = options.out / (path.stem if path.stem.strip(".") else path.name)
        # Without regard to case: some file systems have none.
        key = str(folder).casefold()
        if key in seen:
            same = "twice" if seen[key] == path else f"and {seen[key]}"
            raise PlanError(f"{path} {same} would be written to the same folder {folder}; split them apart, with -o")
        seen[key] = path
        jobs.append(examined(Job(path, folder, options), real))
    check_space(options.out, sum(job.size for job in jobs if not job.problem))
    return jobs


def split(job: Job, song: Song, files: StemFiles, separator: "Separator", progress: Progress) -> Outcome:
    """Split one song into its files.

    Raises:
        StemsplitError: it could not be done.
    """
    started = time.monotonic()
    picked = [separator.stems.index(stem) for stem in job.options.stems]
    exact = all(writer.exact for writer in files.writers.values())
    adds_up = separator.adds_up and exact and set(job.options.stems) == set(separator.stems)
    total, done = SumError(), 0
    with Reader(job.path) as reader:
        for mixture, stems in separator.stream(reader, song.sample_rate, song.channels):
            writers = files.writers.values()
            stored = [writer.write(stems[index]) for index, writer in zip(picked, writers, strict=True)]
            if adds_up:
                total.add(mixture, stored)
            done += mixture.shape[1]
            progress(job, done / song.sample_rate, song.seconds)
    paths = files.finish()
    return Outcome(
        job,
        paths=paths,
        song_seconds=song.seconds,
        seconds=time.monotonic() - started,
        sum_error=total.decibels if adds_up else None,
        clipped={stem: writer.clipped for stem, writer in files.writers.items() if writer.clipped},
    )


def run(jobs: Sequence[Job], load: Callable[[], "Separator"], progress: Progress) -> Iterator[Outcome]:
    """Split songs one after the other; one that fails does not keep the others from being done.

    Args:
        jobs: from `plan`.
        load: gives the separator; asked only when a song was found readable to its end and its stems writable.
        progress: told of every step.

    Raises:
        RegistryError, WeightsError, DeviceError: the model cannot be loaded, which is every song's trouble.
    """
    for job in jobs:
        try:
            if job.problem:
                raise AudioError(job.problem)
            song = examine(job.path)
            check_space(job.options.out, stem_bytes(job.options, song.channels, song.frames))
            files = StemFiles(job, song)
        except AudioError as error:
            yield Outcome(job, str(error))
            continue
        with files:
            progress(job, 0.0, song.seconds)
            separator = load()
            progress(job, 0.0, song.seconds)
            try:
                outcome = split(job, song, files, separator, progress)
            except (StemsplitError, MemoryError) as error:
                outcome = Outcome(job, str(error) or f"out of memory while splitting {job.path}")
        yield outcome

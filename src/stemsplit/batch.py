"""Many songs: what will be written where, whatever can be known to go wrong beforehand, then one song after another."""

import math
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import numpy as np

from stemsplit.audio import Block, Reader, Song, Writer, bytes_per_sample, examine, unsupported
from stemsplit.errors import AudioError, StemsplitError

if TYPE_CHECKING:
    from stemsplit.separator import Separator


class PlanError(ValueError):
    """What was asked for cannot be done, whatever the songs are like."""


@dataclass(frozen=True)
class Options:
    """What to write.

    Args:
        out: folder that gets one folder a song.
        stems: names, out of the model's.
        format: one of `stemsplit.audio.FORMATS`.
        bit_depth: one of `stemsplit.audio.BIT_DEPTHS`, or None for the format's best.
        force: write over stems that are there already.
    """

    out: Path
    stems: tuple[str, ...]
    format: str = "wav"
    bit_depth: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Job:
    """One song to split.

    Args:
        path: the song.
        folder: where its stems go.
        options: what to write.
        size: bytes that its stems take at most; 0 if the song does not tell its length.
        problem: why it cannot be done, as far as that is known beforehand; empty if nothing is.
    """

    path: Path
    folder: Path
    options: Options
    size: int = 0
    problem: str = ""

    def target(self, stem: str) -> Path:
        """The file of a stem."""
        return self.folder / f"{stem}.{self.options.format}"


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


def existing_ancestor(path: Path) -> Path:
    """The folder itself, or the nearest one above it that exists."""
    # os.path.exists: Path.exists raises where a folder on the way may not be entered.
    while not os.path.exists(path) and path != path.parent:  # noqa: PTH110
        path = path.parent
    return path


def check_space(folder: Path, needed: float) -> None:
    """Raises AudioError if the disk that `folder` is, or will be, on has fewer than `needed` bytes free."""
    free = shutil.disk_usage(existing_ancestor(folder)).free
    if needed > free:
        raise AudioError(f"the stems need {needed / 1e6:,.0f} MB in {folder}, where {free / 1e6:,.0f} MB are free")


def stem_bytes(options: Options, channels: int, frames: int) -> int:
    """What a song's stems take on the disk, at most."""
    return frames * channels * len(options.stems) * bytes_per_sample(options.format, options.bit_depth)


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


class StemFiles:
    """The files of one song's stems: written in a hidden folder, moved to their names only when all are whole.

    Leaving the context without `finish` removes whatever was written.
    """

    def __init__(self, job: Job, song: Song) -> None:
        self.job = job
        self.writers: dict[str, Writer] = {}
        options, out = job.options, job.options.out
        with ExitStack() as undo:
            try:
                for folder in reversed([f for f in (out, *out.parents) if not f.exists()]):
                    folder.mkdir(exist_ok=True)
                    undo.callback(remove_if_empty, folder)
                self.hidden = Path(tempfile.mkdtemp(prefix=".stemsplit-", dir=out))
            except OSError as error:
                raise AudioError(f"cannot write into {out} ({error.strerror})") from error
            undo.callback(shutil.rmtree, self.hidden, ignore_errors=True)
            for stem in options.stems:
                path = self.hidden / job.target(stem).name
                writer = Writer(path, options.format, options.bit_depth, song.sample_rate, song.channels, song.frames)
                undo.callback(writer.abandon)
                self.writers[stem] = writer
            self.cleanup = undo.pop_all()

    def finish(self) -> list[Path]:
        """Close all files and give them their names."""
        for writer in self.writers.values():
            writer.close()
        targets = [self.job.target(stem) for stem in self.writers]
        try:
            self.job.folder.mkdir(parents=True, exist_ok=True)
            for target in targets:
                (self.hidden / target.name).replace(target)
        except OSError as error:
            raise AudioError(f"cannot write into {self.job.folder} ({error.strerror})") from error
        return targets

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup.close()


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that nothing was put into."""
    with suppress(OSError):
        folder.rmdir()


class SumError:
    """How far the sum of the stems, as written, is from the song."""

    def __init__(self) -> None:
        self.song = self.error = 0.0

    def add(self, mixture: Block, stems: Sequence[Block]) -> None:
        """Take another block of the song and of all its stems."""
        wide = mixture.astype(np.float64)
        self.song += float(np.square(wide).sum())
        self.error += float(np.square(wide - np.sum(stems, 0, dtype=np.float64)).sum())

    @property
    def decibels(self) -> float:
        """Energy of the error over the song's: minus infinity where they are equal, plus if only the song is silent."""
        if not self.error:
            return -math.inf
        return 10 * math.log10(self.error / self.song) if self.song else math.inf


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

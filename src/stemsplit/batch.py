"""Many songs: whatever can be known beforehand, then one song after another, each failing on its own."""

import os
import time
from collections import defaultdict, deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit import sidecar, stem_files
from stemsplit.ahead import ahead
from stemsplit.audio import Reader, bytes_per_sample, examine, read_tags, unsupported
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.job import Job, Options, check_space, existing_ancestor
from stemsplit.naming import Template, track_of
from stemsplit.sidecar import Record
from stemsplit.songs import Found
from stemsplit.stem_files import StemFiles

if TYPE_CHECKING:
    from stemsplit.separator import Separator

PENDING = 4
"""Blocks that may wait to be written while the next ones are computed."""

DECODED = 8
"""Blocks of a song that may be decoded before they are wanted: some seconds."""

POLL_SECONDS = 0.5
"""Between two looks at a song that another process is working on."""


class PlanError(ValueError):
    """What was asked for cannot be done, whatever the songs are like."""


@dataclass
class Outcome:
    """What became of a song.

    Args:
        job: what was asked.
        error: why it failed; empty if it did not.
        record: of what was written, now or before; None if it failed.
        skipped: whether it was written before.
        seconds: time it took.
    """

    job: Job
    error: str = ""
    record: Record | None = None
    skipped: bool = False
    seconds: float = 0.0

    @property
    def paths(self) -> list[Path]:
        """The files of the song."""
        if not self.record:
            return []
        return [path for name, path in self.job.targets.items() if self.record.stems[name]["file"] is not None]

    @property
    def speed(self) -> float:
        """Seconds of song a second; 0 if it was not split."""
        if not self.record or self.skipped:
            return 0.0
        return self.record.figures["duration"] / max(self.seconds, 1e-9)


@dataclass
class Totals:
    """What became of all songs together.

    Args:
        songs: how many.
        done: of them split.
        skipped: of them split before.
        failed: of them not.
        untold: of them whose result nobody took.
        duration: seconds of song that were split.
        seconds: from the first to the last of them.
    """

    songs: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    untold: int = 0
    duration: float = 0.0
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one more song."""
        self.songs += 1
        self.failed += bool(outcome.error)
        self.skipped += outcome.skipped
        if outcome.record and not outcome.skipped:
            self.done += 1
            self.duration += outcome.record.figures["duration"]

    @property
    def speed(self) -> float:
        """Seconds of song a second; 0 if none was split."""
        return self.duration / max(self.seconds, 1e-9)


Progress = Callable[[Job, float, float], None]
"""Told, again and again, the job, the seconds of the song that are done and the seconds that it has."""


def planned(found: Found, options: Options, template: Template, model_name: str) -> Job:
    """A song's job, with nothing known yet but where its files go."""
    path, folder = found.path, options.out / found.below
    tags = read_tags(path) if template.needs_tags else {}
    known = {
        "track": track_of(path),
        "model": model_name,
        "parent": path.absolute().parent.name,
        "ext": path.suffix.removeprefix("."),
        "artist": tags.get("artist", ""),
        "title": tags.get("title", ""),
    }
    format_, bit_depth = options.format, options.bit_depth
    if options.like_source:
        # A song that cannot be read has no format; what is wrong with it will be seen when it is looked at.
        with suppress(AudioError), Reader(path) as reader:
            format_, bit_depth = reader.format, reader.bit_depth
    targets = {}
    for output in options.outputs:
        target = folder / template.path(stem=output.name, **known)
        targets[output.name] = target.with_name(f"{target.name}.{format_}")
    return Job(path, options, targets, folder / template.sidecar(**known), format_, bit_depth)


def examined(job: Job, songs: Collection[str]) -> Job:
    """The job with its size, and with what its folder, its names and the song's header tell against it.

    Args:
        job: as planned.
        songs: real paths of all songs, none of which may be written over.
    """
    options = job.options
    try:
        if not options.force and job.was_done():
            return replace(job, done=True)
    except AudioError as error:
        return replace(job, problem=str(error))
    parent = existing_ancestor(job.record.parent)
    effective = os.access in os.supports_effective_ids
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK, effective_ids=effective):
        problem = f"cannot write into {parent} (no permission, or not a folder); choose another with -o"
        return replace(job, problem=problem)
    for target in job.targets.values():
        if os.path.realpath(target) in songs:
            return replace(job, problem=f"{target} is itself one of the songs; choose another folder with -o")
    try:
        with Reader(job.path, options.start, options.duration) as reader:
            rate, channels, frames = reader.sample_rate, reader.channels, reader.frames or 0
    except AudioError as error:
        return replace(job, problem=str(error))
    if reason := unsupported(job.format, job.bit_depth, rate, channels):
        return replace(job, problem=f"cannot write the stems of {job.path}: {reason}")
    size = frames * channels * len(options.outputs) * bytes_per_sample(job.format, job.bit_depth)
    return replace(job, size=size, seconds=frames / rate)


def apart(jobs: Sequence[Job]) -> list[Job]:
    """The jobs, those that would write the same file with that as their problem."""
    writers: dict[str, set[int]] = defaultdict(set)
    for number, job in enumerate(jobs):
        for path in (*job.targets.values(), job.record):
            # Without regard to case: some file systems have none.
            writers[os.path.abspath(path).casefold()].add(number)  # noqa: PTH100 -- resolves no links
    clashes = {number: numbers - {number} for numbers in writers.values() for number in numbers if len(numbers) > 1}
    told = []
    for number, job in enumerate(jobs):
        if number in clashes:
            other = jobs[min(clashes[number])].path
            advice = 'tell them apart, with --name "{track}.{ext}/{stem}" or another'
            job = replace(job, problem=f"{job.path} and {other} would be written to the same files; {advice}")
        told.append(job)
    return told


def plan(songs: Sequence[Found], options: Options, template: Template, model_name: str) -> list[Job]:
    """One job a song, each with what is already known to be wrong with it.

    Raises:
        PlanError: a format cannot be written at all.
    """
    if not options.like_source and (reason := unsupported(options.format, options.bit_depth, 44_100, 2)):
        raise PlanError(reason)
    real = {os.path.realpath(found.path) for found in songs}
    jobs = apart([planned(found, options, template, model_name) for found in songs])
    return [job if job.problem else examined(job, real) for job in jobs]


def check_room(jobs: Sequence[Job]) -> None:
    """Raises AudioError if the disk has no room for all of the stems."""
    for out in {job.options.out for job in jobs}:
        check_space(out, sum(job.size for job in jobs if not job.problem and job.options.out == out))


def prepare(job: Job) -> StemFiles | Outcome | None:
    """Look at a whole song and open its files.

    Returns:
        The files; or what became of the song, if that is all there is to do; or None if another process works on it.
    """
    if job.problem:
        return Outcome(job, job.problem)
    try:
        held = stem_files.claim(job)
    except BlockingIOError:
        return None
    except AudioError as error:
        return Outcome(job, str(error))
    try:
        if not job.options.force and job.was_done():
            held.release()
            return Outcome(job, record=sidecar.read(job.record), skipped=True)
        if target := job.in_the_way():
            advice = "--force writes over it" if target.is_file() else "choose another folder with -o"
            raise AudioError(f"{target} is already there, and not as stemsplit left it; {advice}")
        song = examine(job.path, job.options.start, job.options.duration)
        check_space(job.options.out, job.size)
        return StemFiles(job, song, held)
    except AudioError as error:
        held.release()
        return Outcome(job, str(error))


def completed(files: StemFiles, started: float) -> Outcome:
    """Finish a song all of whose samples were given to be written."""
    with files:
        try:
            record = files.finish()
        except AudioError as error:
            return Outcome(files.job, str(error))
        return Outcome(files.job, record=record, seconds=time.monotonic() - started)


class Pipeline:
    """Computes one song while the next one is looked at and the last one written.

    Args:
        load: gives the separator; asked only when a song was found readable to its end and its files writable.
        progress: told of every step.
    """

    def __init__(self, load: Callable[[], "Separator"], progress: Progress) -> None:
        self.load, self.progress = load, progress
        self.reading, self.writing = ThreadPoolExecutor(1, "reading"), ThreadPoolExecutor(1, "writing")
        self.ahead: Future[StemFiles | Outcome | None] | None = None
        self.finishing: Future[Outcome] | None = None

    def look_at(self, job: Job) -> None:
        """Begin to prepare a song."""
        self.ahead = self.reading.submit(prepare, job)

    def prepared(self) -> StemFiles | Outcome | None:
        """The song that was last begun to be prepared, as `prepare` gives it."""
        assert self.ahead is not None
        result, self.ahead = self.ahead.result(), None
        return result

    def settled(self, now: bool = True) -> Iterator[Outcome]:
        """What became of the song that is being finished, if one is; unless `now`, only if it is finished."""
        if self.finishing and (now or self.finishing.done()):
            done, self.finishing = self.finishing.result(), None
            yield done

    def compute(self, files: StemFiles) -> Iterator[Outcome]:
        """Split a song and begin to finish it; meanwhile, tell what became of the one before.

        Raises:
            RegistryError, WeightsError, DeviceError: the model cannot be loaded, which is every song's trouble.
        """
        job = files.job
        with ExitStack() as undo:
            undo.push(files)
            self.progress(job, 0.0, files.song.seconds)
            separator = self.load()
            self.progress(job, 0.0, files.song.seconds)
            started = time.monotonic()
            try:
                yield from self._split(files, separator)
            except (StemsplitError, MemoryError) as error:
                yield from self.settled()
                yield Outcome(job, str(error) or f"out of memory while splitting {job.path}")
                return
            undo.pop_all()
        yield from self.settled()
        self.finishing = self.writing.submit(completed, files, started)

    def _split(self, files: StemFiles, separator: "Separator") -> Iterator[Outcome]:
        job, song, done = files.job, files.song, 0
        pending = deque[Future[None]]()
        try:
            with ExitStack() as open_:
                reader = open_.enter_context(Reader(job.path, job.options.start, job.options.duration))
                # Closed in this order, from the last: none may read from what is closed.
                blocks = open_.enter_context(closing(ahead(reader, DECODED)))
                results = open_.enter_context(closing(separator.stream(blocks, song.sample_rate, song.channels)))
                for mixture, stems in results:
                    pending.append(self.writing.submit(files.write, mixture, stems))
                    if len(pending) > PENDING:
                        pending.popleft().result()
                    done += mixture.shape[1]
                    self.progress(job, done / song.sample_rate, song.seconds)
                    yield from self.settled(now=False)
            while pending:
                pending.popleft().result()
        finally:
            wait(pending)

    def close(self) -> None:
        """Finish what was computed, and give up what was not."""
        self.reading.shutdown(cancel_futures=True)
        self.writing.shutdown()
        if self.ahead and not self.ahead.cancelled() and isinstance(files := self.ahead.result(), StemFiles):
            files.close()


def run(jobs: Sequence[Job], load: Callable[[], "Separator"], progress: Progress) -> Iterator[Outcome]:
    """Split songs one after the other; one that fails does not keep the others from being done.

    Songs that another process is working on come last, when that is done with them.

    Args:
        jobs: from `plan`.
        load: gives the separator; asked only when a song was found readable to its end and its files writable.
        progress: told of every step.

    Raises:
        RegistryError, WeightsError, DeviceError: the model cannot be loaded, which is every song's trouble.
    """
    outs = {job.options.out for job in jobs}
    new = [folder for out in outs for folder in (out, *out.parents) if not folder.exists()]
    pipeline = Pipeline(load, progress)
    try:
        yield from _in_turn(deque(jobs), pipeline)
    finally:
        pipeline.close()
        for out in outs:
            stem_files.sweep(out)
        for folder in new:
            with suppress(OSError):
                folder.rmdir()  # if nothing was put into it


def _in_turn(jobs: deque[Job], pipeline: Pipeline) -> Iterator[Outcome]:
    busy: set[Path] = set()
    if jobs:
        pipeline.look_at(jobs[0])
    while jobs:
        job, prepared = jobs.popleft(), pipeline.prepared()
        if prepared is None:
            # Asked again after all others, and then from time to time.
            jobs.append(job)
            yield from pipeline.settled()
            if job.record in busy:
                time.sleep(POLL_SECONDS)
            busy.add(job.record)
        if jobs:
            pipeline.look_at(jobs[0])
        if isinstance(prepared, StemFiles):
            yield from pipeline.compute(prepared)
        elif prepared:
            yield from pipeline.settled()
            yield prepared
    yield from pipeline.settled()

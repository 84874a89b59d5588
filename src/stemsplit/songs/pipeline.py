"""Songs one after another, each failing on its own: one is computed while the next is looked at, the last written."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from itertools import chain
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from stemsplit.audio import Block, Reader
from stemsplit.disk import remove_empty_folder
from stemsplit.engine.ahead import ahead
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.songs import commit
from stemsplit.songs.job import Job, Outcome
from stemsplit.songs.preparing import Busy, Course, prepare, reason
from stemsplit.songs.stem_files import StemFiles

if TYPE_CHECKING:
    from stemsplit.engine.base import Mixture, Pair, Splitter

PENDING = 4
"""Blocks that may wait to be written while the next ones are computed."""

DECODED = 8
"""Blocks of a song that may be decoded before they are wanted: some seconds."""

POLL_SECONDS = 0.5
"""Between two looks at songs that other processes are working on."""

STALLED_SECONDS = 300.0
"""After which a process that shows no sign of life is waited for no longer."""

Progress = Callable[[Job, float, float], None]
"""Told, again and again, the job, the seconds of the song that are done and the seconds that it has."""


def decoded(job: Job) -> Generator[Block, None, None]:
    """The blocks of a song; whoever stops early has to close this.

    Raises:
        AudioError: it cannot be read.
    """
    with (
        Reader(job.path, job.options.start, job.options.duration) as reader,
        closing(ahead(reader, DECODED)) as blocks,
    ):
        yield from blocks


def completed(files: StemFiles, started: float) -> Outcome:
    """Finish a song all of whose samples were given to be written."""
    with files:
        try:
            record = files.finish()
        except (AudioError, OSError) as error:
            return Outcome(files.job, reason(error, files.job, "finishing"))
        return Outcome(files.job, record=record, seconds=monotonic() - started)


class Pipeline:
    """Computes one song while the next one is looked at and the last one written.

    Args:
        load: gives the separator; asked only when a song was found readable to its end and its files writable.
        progress: told of every step.
        tell: is told what people should know besides outcomes, in a sentence.
    """

    def __init__(self, load: Callable[[], "Splitter"], progress: Progress, tell: Callable[[str], object]) -> None:
        self.load, self.progress, self.course = load, progress, Course(tell)
        self.reading, self.writing = ThreadPoolExecutor(1, "reading"), ThreadPoolExecutor(1, "writing")
        for executor in (self.reading, self.writing):
            # Here: an interrupt while a thread starts would lose sight of what it is started for.
            executor.submit(int)
        self.ahead: Future[StemFiles | Outcome | Busy] | None = None
        self.begun = deque[tuple[StemFiles | Outcome, float]]()
        """Songs whose results are to come, in their order, and when each was begun."""
        self.finishing: Future[Outcome] | None = None

    def outcomes(self, jobs: deque[Job], busy: deque[Busy]) -> Iterator[Outcome]:
        """What became of songs, in their order.

        Args:
            jobs: taken from here.
            busy: gets those that another process is working on.

        Raises:
            RegistryError, WeightsError, DeviceError: the model cannot be loaded, which is every song's trouble.
        """
        prepared = self._prepared(jobs, busy)
        for first in prepared:
            if isinstance(first, StemFiles):
                yield from self._computed(first, prepared)
            else:
                yield first

    def _prepared(self, jobs: deque[Job], busy: deque[Busy]) -> Iterator[StemFiles | Outcome]:
        """Songs as `prepare` gives them, the next one looked at while something is made of this."""
        while jobs:
            job = jobs.popleft()
            self.ahead = self.ahead or self.reading.submit(prepare, job, self.course)
            found = self.ahead.result()
            self.ahead = self.reading.submit(prepare, jobs[0], self.course) if jobs else None
            if isinstance(found, Busy):
                busy.append(found)
            else:
                yield found

    def _songs(self, prepared: Iterable[StemFiles | Outcome]) -> Generator["Mixture", None, None]:
        """What is to be computed of them, each open until the next is asked for."""
        for item in prepared:
            self.begun.append((item, monotonic()))
            if isinstance(item, StemFiles):
                with closing(decoded(item.job)) as blocks:
                    yield blocks, item.song.sample_rate, item.song.channels
            else:
                yield (), 1, 1  # nothing, in its place among the songs

    def _computed(self, first: StemFiles, others: Iterable[StemFiles | Outcome]) -> Iterator[Outcome]:
        with ExitStack() as undo:
            undo.push(first)
            self.progress(first.job, 0.0, first.song.seconds)
            separator = self.load()
            undo.pop_all()
        with (
            closing(self._songs(chain([first], others))) as songs,
            closing(separator.streams(songs)) as streams,
        ):
            for results in streams:
                item, started = self.begun.popleft()
                if isinstance(item, StemFiles):
                    yield from self._split(item, results, started)
                else:
                    yield from self._settled()
                    yield item
        yield from self._settled()

    def _split(self, files: StemFiles, results: Generator["Pair", None, None], started: float) -> Iterator[Outcome]:
        """Write a song and begin to finish it; meanwhile, tell what became of the one before."""
        job = files.job
        with ExitStack() as undo:
            undo.push(files)
            self.progress(job, 0.0, files.song.seconds)
            try:
                yield from self._written(files, results)
            except (StemsplitError, OSError, MemoryError) as error:
                yield from self._settled()
                yield Outcome(job, reason(error, job, "splitting"))
                return
            yield from self._settled()
            undo.pop_all()
        self.finishing = self.writing.submit(completed, files, started)

    def _written(self, files: StemFiles, results: Generator["Pair", None, None]) -> Iterator[Outcome]:
        job, song, done = files.job, files.song, 0
        pending = deque[Future[None]]()
        try:
            with closing(results):
                for mixture, stems in results:
                    pending.append(self.writing.submit(files.write, mixture, stems))
                    if len(pending) > PENDING:
                        pending.popleft().result()
                    done += mixture.shape[1]
                    self.progress(job, done / song.sample_rate, song.seconds)
                    yield from self._settled(now=False)
            while pending:
                pending.popleft().result()
        finally:
            wait(pending)

    def _settled(self, now: bool = True) -> Iterator[Outcome]:
        """What became of the song that is being finished, if one is; unless `now`, only if it is finished."""
        if self.finishing and (now or self.finishing.done()):
            done, self.finishing = self.finishing.result(), None
            yield done

    def close(self) -> None:
        """Finish what was computed, and give up what was not."""
        self.course.ending.set()
        self.reading.shutdown(cancel_futures=True)
        self.writing.shutdown()
        left: list[StemFiles | Outcome | Busy] = [item for item, _ in self.begun]
        if self.ahead and not self.ahead.cancelled():
            left.append(self.ahead.result())
        for item in left:
            if isinstance(item, StemFiles):
                item.close()


class Patience:
    """Knows how long other processes have worked on songs without a sign of life."""

    def __init__(self) -> None:
        self.seen: dict[Path, tuple[int, float]] = {}

    def is_over(self, busy: Busy) -> bool:
        """Whether a process seems to be stopped, or its machine gone."""
        now = monotonic()
        beat, since = self.seen.get(busy.job.record, (None, now))
        if beat != busy.beat:
            since = now
        self.seen[busy.job.record] = busy.beat, since
        return now - since > STALLED_SECONDS


def stalled(job: Job) -> str:
    """What to say of a song that another process neither finishes nor gives up."""
    minutes = STALLED_SECONDS / 60
    return f"another process holds {job.path}, and showed no life for {minutes:g} minutes; end it, and try again"


def run(
    jobs: Sequence[Job],
    load: Callable[[], "Splitter"],
    progress: Progress,
    tell: Callable[[str], object] = lambda _: None,
) -> Iterator[Outcome]:
    """Split songs one after the other; one that fails does not keep the others from being done.

    Songs that another process is working on come last, when that is done with them or shows no sign of life any more.

    Args:
        jobs: from `batch.plan`.
        load: gives the separator; asked only when a song was found readable to its end and its files writable.
        progress: told of every step.
        tell: is told what people should know besides outcomes, in a sentence.

    Raises:
        RegistryError, WeightsError, DeviceError: the model cannot be loaded, which is every song's trouble.
    """
    outs = {job.options.out for job in jobs}
    new = [folder for out in outs for folder in (out, *out.parents) if not folder.exists()]
    pipeline, left, patience = Pipeline(load, progress, tell), deque(jobs), Patience()
    try:
        while left:
            count, busy = len(left), deque[Busy]()
            yield from pipeline.outcomes(left, busy)
            if len(busy) == count:
                sleep(POLL_SECONDS)
            for waiting in busy:
                if patience.is_over(waiting):
                    yield Outcome(waiting.job, stalled(waiting.job))
                else:
                    left.append(waiting.job)
    finally:
        pipeline.close()
        for out in outs:
            commit.sweep(out, tell)
        for folder in new:
            remove_empty_folder(folder)  # if nothing was put into it

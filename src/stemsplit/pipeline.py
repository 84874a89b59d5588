"""Songs one after another, each failing on its own: one is computed while the next is looked at, the last written."""

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing, suppress
from itertools import chain
from typing import TYPE_CHECKING

from stemsplit import sidecar, stem_files
from stemsplit.ahead import ahead
from stemsplit.audio import Block, Reader, examine
from stemsplit.batch import Outcome
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.job import Job, check_space
from stemsplit.stem_files import StemFiles

if TYPE_CHECKING:
    from stemsplit.chain import Chain
    from stemsplit.separator import Mixture, Pair, Separator

PENDING = 4
"""Blocks that may wait to be written while the next ones are computed."""

DECODED = 8
"""Blocks of a song that may be decoded before they are wanted: some seconds."""

POLL_SECONDS = 0.5
"""Between two looks at songs that other processes are working on."""

Progress = Callable[[Job, float, float], None]
"""Told, again and again, the job, the seconds of the song that are done and the seconds that it has."""


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
    except (AudioError, MemoryError) as error:
        held.release()
        return Outcome(job, str(error) or f"out of memory while looking at {job.path}")


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
        except AudioError as error:
            return Outcome(files.job, str(error))
        return Outcome(files.job, record=record, seconds=time.monotonic() - started)


class Pipeline:
    """Computes one song while the next one is looked at and the last one written.

    Args:
        load: gives the separator; asked only when a song was found readable to its end and its files writable.
        progress: told of every step.
    """

    def __init__(self, load: Callable[[], "Separator | Chain"], progress: Progress) -> None:
        self.load, self.progress = load, progress
        self.reading, self.writing = ThreadPoolExecutor(1, "reading"), ThreadPoolExecutor(1, "writing")
        for executor in (self.reading, self.writing):
            # Here: an interrupt while a thread starts would lose sight of what it is started for.
            executor.submit(int)
        self.ahead: Future[StemFiles | Outcome | None] | None = None
        self.begun = deque[tuple[StemFiles | Outcome, float]]()
        """Songs whose results are to come, in their order, and when each was begun."""
        self.finishing: Future[Outcome] | None = None

    def outcomes(self, jobs: deque[Job], busy: deque[Job]) -> Iterator[Outcome]:
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

    def _prepared(self, jobs: deque[Job], busy: deque[Job]) -> Iterator[StemFiles | Outcome]:
        """Songs as `prepare` gives them, the next one looked at while something is made of this."""
        while jobs:
            job = jobs.popleft()
            self.ahead = self.ahead or self.reading.submit(prepare, job)
            found = self.ahead.result()
            self.ahead = self.reading.submit(prepare, jobs[0]) if jobs else None
            if found is None:
                busy.append(job)
            else:
                yield found

    def _songs(self, prepared: Iterable[StemFiles | Outcome]) -> Generator["Mixture", None, None]:
        """What is to be computed of them, each open until the next is asked for."""
        for item in prepared:
            self.begun.append((item, time.monotonic()))
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
            except (StemsplitError, MemoryError) as error:
                yield from self._settled()
                yield Outcome(job, str(error) or f"out of memory while splitting {job.path}")
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
        self.reading.shutdown(cancel_futures=True)
        self.writing.shutdown()
        left: list[StemFiles | Outcome | None] = [item for item, _ in self.begun]
        if self.ahead and not self.ahead.cancelled():
            left.append(self.ahead.result())
        for item in left:
            if isinstance(item, StemFiles):
                item.close()


def run(jobs: Sequence[Job], load: Callable[[], "Separator | Chain"], progress: Progress) -> Iterator[Outcome]:
    """Split songs one after the other; one that fails does not keep the others from being done.

    Songs that another process is working on come last, when that is done with them.

    Args:
        jobs: from `batch.plan`.
        load: gives the separator; asked only when a song was found readable to its end and its files writable.
        progress: told of every step.

    Raises:
        RegistryError, WeightsError, DeviceError: the model cannot be loaded, which is every song's trouble.
    """
    outs = {job.options.out for job in jobs}
    new = [folder for out in outs for folder in (out, *out.parents) if not folder.exists()]
    pipeline, left = Pipeline(load, progress), deque(jobs)
    try:
        while left:
            count, busy = len(left), deque[Job]()
            yield from pipeline.outcomes(left, busy)
            if len(busy) == count:
                time.sleep(POLL_SECONDS)
            left = busy
    finally:
        pipeline.close()
        for out in outs:
            stem_files.sweep(out)
        for folder in new:
            with suppress(OSError):
                folder.rmdir()  # if nothing was put into it

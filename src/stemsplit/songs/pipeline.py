"""Splits songs in three overlapping steps: while one is computed, the next is examined and the last one is finished.

A song that fails does not stop the others.
"""

import os
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from pathlib import Path
from threading import get_ident
from time import monotonic, sleep
from typing import TYPE_CHECKING

from stemsplit.audio import Block, Reader
from stemsplit.disk import remove_empty_folder
from stemsplit.engine.ahead import ahead
from stemsplit.engine.mixture import Mixture
from stemsplit.failures import is_lost_device
from stemsplit.songs import commit
from stemsplit.songs.finishing import SENT, Finishing, Report, ended, started
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.preparing import Busy, Course, Full, given_up, prepare
from stemsplit.songs.stem_files import StemFiles

if TYPE_CHECKING:
    from stemsplit.engine.base import Pair, Splitter

PENDING = 4
"""Largest number of blocks that wait to be written while the next ones are computed."""

DECODED = 8
"""Largest number of blocks of a song that are decoded ahead: some seconds."""

POLL_SECONDS = 0.5
"""Time between two looks at songs that other processes are working on."""

STALLED_SECONDS = 300.0
"""Time without a sign of life, by this machine's clock alone, after which another process is no longer waited for."""

Progress = Callable[[Job, float, float], object]
"""Called again and again with the job, the seconds of the song that are done, and the song's seconds."""


def decoded(job: Job) -> Generator[Block, None, None]:
    """Decode a song block by block, some blocks ahead. A caller that stops early must close the generator.

    Raises:
        AudioError: the song cannot be read.
    """
    with (
        Reader(job.path, job.options.start, job.options.duration, job.options.track) as reader,
        closing(ahead(reader, DECODED)) as blocks,
    ):
        yield from blocks


class Pipeline:
    """Computes one song while the next is examined and the last one is finished.

    Args:
        load: function that loads the separator; called once, when a song is found readable and its files are open.
        progress: callback, see `Progress`.
        report: callback, see `Report`.
        tell: called with a message that people should see besides outcomes.
    """

    def __init__(
        self, load: Callable[[], "Splitter"], progress: Progress, report: Report, tell: Callable[[str], object]
    ) -> None:
        self.load, self.progress, self.course = load, progress, Course(tell)
        self.jobs, self.busy = deque[Job](), list[Busy]()
        self.thread = get_ident()
        self.reading = started(ThreadPoolExecutor(1, "reading"))
        self.finishing = Finishing(report, self.busy.append, self.course)
        self.separator: Splitter | None = None
        self.ahead: Future[StemFiles | Outcome | Busy | Full] | None = None
        """The next song, while it is examined."""
        self.begun = deque[StemFiles]()
        """Songs that the separator reads, and whose results are to come."""
        self.following: Outcome | Full | None = None
        """Outcome of the song that ended the separator's run, because there was nothing to compute."""
        self.computed_at = 0.0
        """Time at which the last song was computed, later by the time that was spent on waiting for the next."""

    def run(self, jobs: deque[Job]) -> list[Busy]:
        """Split songs in their order.

        Args:
            jobs: jobs of the songs; each is removed when it is taken.

        Returns:
            The songs that another process is working on; they are left as they are.

        Raises:
            RegistryError, WeightsError, DeviceError: the model cannot be loaded, which every song would fail by.
        """
        self.jobs, self.thread = jobs, get_ident()
        item = self._prepared()
        while item:
            if isinstance(item, StemFiles):
                item = self._computed(item)
                continue
            if isinstance(item, Full):
                self.finishing.report_ended()  # after that, nothing is staged any more
                self.jobs.appendleft(item.job)
            else:
                self.finishing.add_ended(item)
            item = self._prepared()
        self.finishing.report_ended()
        busy = [*self.busy]
        self.busy.clear()
        return busy

    def _prepared(self) -> StemFiles | Outcome | Full | None:
        """Return the next song as `prepare` gives it, and let the one after it be examined; None after the last."""
        while self.jobs:
            job = self.jobs.popleft()
            self.ahead = self.ahead or self.reading.submit(prepare, job, self.course)
            item = self._awaited(self.ahead)
            if isinstance(item, Full):
                self.ahead = None
                return item
            self.ahead = self.reading.submit(prepare, self.jobs[0], self.course) if self.jobs else None
            if not isinstance(item, Busy):
                return item
            self.busy.append(item)
        return None

    def _awaited(self, song: "Future[StemFiles | Outcome | Busy | Full]") -> StemFiles | Outcome | Busy | Full:
        """Wait for the next song. If nothing is computed meanwhile, the time does not count as any song's."""
        began = monotonic()
        item = song.result()
        if get_ident() == self.thread:
            self.computed_at += monotonic() - began
        return item

    def _songs(self, first: StemFiles) -> Generator[Mixture, None, None]:
        """Yield songs for the separator, up to the first with nothing to compute."""
        item: StemFiles | Outcome | Full | None = first
        while isinstance(item, StemFiles):
            with closing(decoded(item.job)) as blocks:
                song = item.song
                yield Mixture(blocks, song.sample_rate, song.channels, song.speakers)
            item = self._prepared()
            if isinstance(item, StemFiles):
                self.begun.append(item)
        self.following = item

    def _computed(self, first: StemFiles) -> Outcome | Full | None:
        """Split this song and those that follow, up to one with nothing to compute; return the outcome of that one."""
        with ExitStack() as undo:
            undo.callback(given_up, first.close)
            if not self.separator:
                self.progress(first.job, 0.0, first.song.seconds)
                self.separator = self.load()
            self.begun.append(first)  # here: the separator may fail before it asks for a song
            undo.pop_all()
        self.following, self.computed_at = None, monotonic()
        with (
            closing(self._songs(first)) as songs,
            closing(self.separator.streams(songs)) as streams,
        ):
            for results in streams:
                self._split(self.begun.popleft(), results)
        return self.following

    def _split(self, files: StemFiles, results: Generator["Pair", None, None]) -> None:
        """Write a song's stems while they are computed, and begin to finish its files."""
        job, song = files.job, files.song
        with ExitStack() as undo:
            undo.callback(given_up, files.close)
            self.progress(job, 0.0, song.seconds)
            with closing(self._written(files, results)) as steps:
                for step in steps:
                    if isinstance(step, Exception):
                        self.finishing.add_ended(ended(files, step, "splitting"))
                        self.computed_at = monotonic()
                        return
                    # Here, not where stems are written: an error in reporting is not one of this song.
                    self.progress(job, step / song.sample_rate, song.seconds)
                    self.finishing.report_ended(len(self.finishing.ended))
            self.finishing.report_ended(SENT if job.elsewhere else 0)
            # The song's own time: from when the song before it was computed.
            seconds, self.computed_at = monotonic() - self.computed_at, monotonic()
            undo.pop_all()
        self.finishing.add(files, seconds)

    def _written(
        self, files: StemFiles, results: Generator["Pair", None, None]
    ) -> Generator[int | Exception, None, None]:
        """Write a song's stems block by block, in another thread.

        Yields:
            The samples done after each block; at last the error that the song failed by, if there was one.

        Raises:
            Exception: the device that computes is gone, by which every other song would fail, too.
        """
        done, failure = 0, None
        pending = deque[Future[None]]()
        try:
            with closing(results):
                for mixture, stems in results:
                    pending.append(self.finishing.write(files.write, mixture, stems))
                    if len(pending) > PENDING:
                        pending.popleft().result()
                    done += mixture.shape[1]
                    yield done
            while pending:
                pending.popleft().result()
        except Exception as error:  # of any kind, from the song's decoder, the network or the encoders
            if is_lost_device(error):
                raise
            failure = error
        finally:
            wait(pending)
        if failure:
            yield failure

    def close(self) -> None:
        """Finish the songs that were computed, and give up the others, also those whose stems are being sent."""
        self.course.ending.set()
        self.reading.shutdown(cancel_futures=True)
        self.finishing.close()
        left: list[StemFiles | Outcome | Busy | Full] = [*self.begun]
        if self.ahead and not self.ahead.cancelled():
            left.append(self.ahead.result())
        for item in left:
            if isinstance(item, StemFiles):
                given_up(item.close)


class Patience:
    """Measures how long other processes have worked on songs without a sign of life."""

    def __init__(self) -> None:
        self.seen: dict[Path, tuple[int, float]] = {}

    def is_over(self, busy: Busy) -> bool:
        """Return whether a process seems to be stopped, or its machine gone. After that, it is measured anew."""
        now = monotonic()
        beat, since = self.seen.get(busy.job.record, (None, now))
        is_over = beat == busy.beat and now - since > STALLED_SECONDS
        self.seen[busy.job.record] = busy.beat, now if is_over or beat != busy.beat else since
        return is_over


def run(
    jobs: Sequence[Job],
    load: Callable[[], "Splitter"],
    progress: Progress,
    report: Report,
    tell: Callable[[str], object] = lambda _: None,
) -> None:
    """Split songs one after the other; one that fails does not stop the others.

    Songs that another process is working on come last, when that process is done with them or shows no sign of life.

    Args:
        jobs: jobs of the songs, from `stemsplit.songs.plan.plan`. A deque is emptied, and another thread may add jobs
            to its right end meanwhile.
        load: function that loads the separator; called once, when a song is found readable and its files are open.
        progress: callback, see `Progress`.
        report: callback, see `Report`; called in this thread.
        tell: called with a message that people should see besides outcomes.

    Raises:
        RegistryError, WeightsError, DeviceError: the model cannot be loaded, which every song would fail by.
    """
    left = jobs if isinstance(jobs, deque) else deque(jobs)
    outs = {job.options.out for job in tuple(left)}
    new = [folder for out in outs for folder in (out, *out.parents) if not os.path.exists(folder)]  # noqa: PTH110  # pathlib may raise
    pipeline, patience = Pipeline(load, progress, report, tell), Patience()
    try:
        while left:
            count = len(left)
            busy = pipeline.run(left)
            if len(busy) == count:
                sleep(POLL_SECONDS)
            for waiting in busy:
                stale = pipeline.course.stale
                if patience.is_over(waiting):
                    if waiting.alive or stale.get(waiting.job.record) == waiting.beat:
                        report(Outcome(waiting.job, waiting.stalled(STALLED_SECONDS), blameless=True))
                        continue
                    tell(waiting.taken_over(STALLED_SECONDS))
                    stale[waiting.job.record] = waiting.beat
                left.append(waiting.job)
    finally:
        pipeline.close()
        for out in outs:
            commit.sweep(out, tell)
        for folder in new:
            remove_empty_folder(folder)  # if nothing was put into it

"""Splits songs in a process of its own, and hands what becomes of them to the driver. Knows nothing of Ray."""

import os
import sys
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

from stemsplit.disk.owner import this_host
from stemsplit.errors import DeviceError, StemsplitError, WeightsError
from stemsplit.failures import cause
from stemsplit.libraries import version
from stemsplit.songs import pipeline, record

if TYPE_CHECKING:
    from stemsplit.engine.base import Splitter
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome

SEEN_SECONDS = 10.0
"""Longest time in seconds that a network file system may take to show what another machine wrote."""

STEP_SECONDS = 1.0
"""Seconds between two reports of progress."""


@dataclass(frozen=True)
class Task:
    """What all songs of a run share.

    Args:
        load: function that loads the separator, given one that takes messages for people.
        identity: function that returns the identity of the models on this machine, as records have it.
        expected: identity of the models on the driver's machine.
        folder: working folder, which relative paths start from.
        variables: environment variables to set.
        seen: folder that only the driver's machine has just made, if stems are written to files; else None.
        song: a song and the size of its file, which the driver's machine sees; None if songs come from elsewhere.
        staging: function that makes the folder for songs and stems that are elsewhere; None if none are.
    """

    load: "Callable[[Callable[[str], object]], Splitter]"
    identity: Callable[[], Mapping[str, Any]]
    expected: Mapping[str, Any]
    folder: str
    variables: Mapping[str, str] = field(default_factory=dict)
    seen: Path | None = None
    song: tuple[Path, int] | None = None
    staging: Callable[[], object] | None = None


@dataclass(frozen=True)
class Ready:
    """The model is loaded."""


@dataclass(frozen=True)
class Step:
    """So many seconds of a song are split.

    Args:
        number: number of the song.
        done: seconds that are done.
        total: the song's seconds.
    """

    number: int
    done: float
    total: float


@dataclass(frozen=True)
class Said:
    """A message that people should see."""

    text: str


@dataclass(frozen=True)
class Ended:
    """A song has ended.

    Args:
        number: number of the song.
        facts: what `Outcome` says, without the job and the exception, which may not be fit to be pickled.
    """

    number: int
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Failed:
    """The worker has stopped.

    Args:
        kind: name of the error's class, if it is one of stemsplit's own; empty for any other.
        text: what to tell people.
    """

    kind: str
    text: str


Told = Ready | Step | Said | Ended | Failed


class StoppedError(Exception):
    """The driver asked the worker to stop."""


def _unseen(task: Task) -> str:
    """Return what the driver's machine sees and this one does not, in words; empty if both see the same."""
    if task.seen and not task.seen.is_dir():
        return f"the output folder {task.seen.parent}"
    if task.song:
        path, size = task.song
        with suppress(OSError):
            return "" if path.stat().st_size == size else f"the song {path}"
        return f"the song {path}"
    return ""


def checked(task: Task) -> None:
    """Raise DeviceError if this machine does not see what the driver's machine sees."""
    here, last = this_host(), time.monotonic() + SEEN_SECONDS
    shared = "songs and stems must be on storage that all nodes see under the same path"
    while missing := _unseen(task):
        if time.monotonic() > last:
            raise DeviceError(f"{here} does not see {missing} as this machine does; {shared}")
        time.sleep(0.2)


class Worker:
    """Splits the songs that it is handed with a model that it loads once.

    The work goes on in a thread, so that a call of the driver returns at once, or waits for news.
    """

    def __init__(self) -> None:
        self.news: SimpleQueue[Told] = SimpleQueue()
        self.jobs = deque["Job"]()
        """Songs that the pipeline has not taken; it takes from the left while this is added to on the right."""
        self.numbers: dict[Path, int] = {}
        self.handed, self.stopping = Event(), Event()
        self.told_at = 0.0
        self.thread: Thread | None = None

    def facts(self) -> dict[str, str]:
        """Return what the driver must know before it sends anything but plain data."""
        versions = {name: version(name) for name in ("stemsplit", "torch")}
        return {**versions, "python": ".".join(map(str, sys.version_info[:3])), "host": this_host()}

    def begin(self, task: Task) -> None:
        """Begin to load the model.

        Raises:
            DeviceError: this machine does not see the driver's files.
        """
        try:
            os.chdir(task.folder)
        except OSError as error:
            shown = (task.seen, task.song and task.song[0])
            if any(path and not path.is_absolute() for path in shown):
                told = f"{this_host()} does not have the folder {task.folder} ({error.strerror})"
                raise DeviceError(f"{told}; songs and stems must be on storage that all nodes see") from error
        os.environ.update(task.variables)
        checked(task)
        self.thread = Thread(target=self._work, args=[task], name="splitting", daemon=True)
        self.thread.start()

    def exchange(self, jobs: "Sequence[tuple[int, Job]]", seconds: float) -> list[Told]:
        """Take songs, and return the news.

        Args:
            jobs: songs to be split, with their numbers.
            seconds: longest time to wait for news.
        """
        for number, job in jobs:
            self.numbers[job.path] = number
            self.jobs.append(job)
        if jobs:
            self.handed.set()
        told: list[Told] = []
        with suppress(Empty):
            told.append(self.news.get(timeout=seconds))
            while True:
                told.append(self.news.get_nowait())
        return told

    def stop(self, seconds: float) -> None:
        """Give up the songs, and return when that is done; or after so many seconds."""
        self.stopping.set()
        self.handed.set()
        if self.thread:
            self.thread.join(seconds)

    def _work(self, task: Task) -> None:
        try:
            separator = self._loaded(task)
            self.news.put(Ready())
            while not self.stopping.is_set():
                self.handed.wait()
                self.handed.clear()
                # A deque, not a copy of it: while the pipeline works, it is added to.
                pipeline.run(self.jobs, lambda: separator, self._progress, self._report, self._say)
        except StoppedError:
            pass
        except BaseException as error:  # a thread's error would be seen by nobody
            self.news.put(self._failed(error))

    def _loaded(self, task: Task) -> "Splitter":
        """Load the model, and make sure that it is the one that records will name."""
        if task.staging:
            task.staging()
        separator = task.load(self._say)
        if not record.same(record.plain(task.expected), task.identity()):
            told = f"{this_host()} has other weights, or another registry entry, than the machine of the command"
            raise WeightsError(f"{told}; download the model there anew, or let all nodes share a cache folder")
        return separator

    @staticmethod
    def _failed(error: BaseException) -> Failed:
        if isinstance(error, StemsplitError):
            return Failed(type(error).__name__, str(error))
        return Failed("", cause(error, "splitting") if isinstance(error, Exception) else type(error).__name__)

    def _say(self, text: str) -> None:
        self.news.put(Said(text))

    def _progress(self, job: "Job", done: float, total: float) -> None:
        if self.stopping.is_set():
            raise StoppedError
        now = time.monotonic()
        if now - self.told_at > STEP_SECONDS:
            self.told_at = now
            self.news.put(Step(self.numbers[job.path], done, total))

    def _report(self, outcome: "Outcome") -> None:
        facts = {
            item.name: getattr(outcome, item.name) for item in fields(outcome) if item.name not in ("job", "cause")
        }
        self.news.put(Ended(self.numbers[outcome.job.path], facts))

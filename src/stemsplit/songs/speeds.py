"""Remembers how fast each model was on this machine, so that the time of a batch can be estimated."""

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any

from stemsplit.disk import open_own, read_text, replacing
from stemsplit.disk.folders import cache_folder
from stemsplit.disk.lock import try_lock
from stemsplit.errors import WeightsError
from stemsplit.libraries import version

if TYPE_CHECKING:
    from stemsplit.engine.base import Splitter
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome
    from stemsplit.songs.pipeline import Progress

USED = 5
"""Number of last runs that an estimate is made of."""

KEPT, LIMIT = 100, 100_000
"""Largest number of runs in the file, and its largest size in bytes; a larger one is not ours, and is replaced."""

ENOUGH = 4
"""Number of chunks from which on their time is measured well; what fewer tell is used only if nothing else is known."""

LONGEST = 1e6
"""Seconds beyond which a time in the file is not believed."""

AGREEING = 1.4
"""Largest ratio of two estimates that are shown as one."""

WAITS, WAIT_SECONDS = 50, 0.02
"""How often, and how long each time, one process waits for another that writes the file."""


@dataclass(frozen=True)
class Settings:
    """The options that decide how fast a model is, as the user gives them.

    Args:
        device: device to compute on.
        threads: number of CPU threads; None for the default.
        precision: number format to compute in.
        batch_size: number of chunks computed together; None for the default.
        compiled: whether PyTorch compiles the network.
    """

    device: str = "auto"
    threads: int | None = None
    precision: str = "auto"
    batch_size: int | None = None
    compiled: bool = False


@dataclass(frozen=True)
class Estimate:
    """An estimate of a time in seconds, and the least and the most that single runs would make it."""

    seconds: float
    least: float
    most: float

    @property
    def is_vague(self) -> bool:
        """Whether the runs disagree."""
        return self.most > AGREEING * self.least


@dataclass(frozen=True)
class Speed:
    """What one run showed.

    Args:
        start_up: seconds until the first chunk could be computed; None if unknown.
        per_chunk: seconds per chunk of the first model, or of the models that split the song together, with all that
            is done to it.
        chunks: number of chunks that this was measured over.
    """

    start_up: float | None
    per_chunk: float
    chunks: int


def _file() -> Path:
    return cache_folder() / "speeds.json"


def _about(models: "ChainEntry") -> dict[str, str]:
    """Return what decides the speed of models, whatever their weights are."""
    networks = [(e.architecture, e.config, e.sample_rate, e.channels, e.chunk) for e in models.entries]
    digest = hashlib.sha256(repr(networks).encode(errors="backslashreplace")).hexdigest()[:16]
    return {
        "model": models.name,
        "network": digest,
        "version": f"stemsplit {version('stemsplit')}, torch {version('torch')}",
    }


def _runs() -> list[dict[str, Any]]:
    """Return the runs in the file, oldest first; none if it cannot be read, or was written by an earlier version."""
    try:
        runs = json.loads(read_text(_file(), LIMIT))["runs"]
        return [run for run in runs if isinstance(run, dict)][-KEPT:] if isinstance(runs, list) else []
    except (OSError, ValueError, KeyError, TypeError, RecursionError, WeightsError):
        return []


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= LONGEST


def _speed(run: Mapping[str, Any]) -> Speed | None:
    """Return what a run in the file says, if that is possible."""
    start_up, per_chunk, chunks = run.get("start_up"), run.get("per_chunk"), run.get("chunks")
    if not _is_time(per_chunk) or not per_chunk or type(chunks) is not int or not 0 < chunks < LONGEST:
        return None
    return Speed(start_up if _is_time(start_up) else None, per_chunk, chunks)


def _fits(run: Mapping[str, Any], about: Mapping[str, str], settings: Settings) -> bool:
    """Return whether a run in the file was made with these models and settings."""
    if any(run.get(name) != value for name, value in about.items()):
        return False
    options = run.get("settings")
    if not isinstance(options, dict):
        return False
    # Each is a list of values: what the user gave, and what that turned out to be.
    given = vars(settings).items()
    return all(isinstance(options.get(name), list) and value in options[name] for name, value in given)


def names() -> set[str]:
    """Return the names of the models whose runs are in the file."""
    return {name for run in _runs() if isinstance(name := run.get("model"), str)}


def known(models: "ChainEntry", settings: Settings) -> list[Speed]:
    """Return what the last runs of models with the same settings on this machine showed, oldest first."""
    about = _about(models)
    speeds = [speed for run in _runs() if _fits(run, about, settings) and (speed := _speed(run))]
    return ([speed for speed in speeds if speed.chunks >= ENOUGH] or speeds)[-USED:]


def estimate(speeds: Sequence[Speed], chunks: float) -> Estimate | None:
    """Estimate the time that a number of chunks takes, with start-up; None if no run is known."""
    if not speeds:
        return None
    start_ups = [speed.start_up for speed in speeds if speed.start_up is not None] or [0.0]
    paces = [speed.per_chunk for speed in speeds]
    seconds, least, most = (pick(start_ups) + chunks * pick(paces) for pick in (median, min, max))
    return Estimate(seconds, least, most)


def chunks_of(jobs: Sequence["Job"], models: "ChainEntry") -> float:
    """Return how many chunks' work the first model has with songs whose length is known."""
    return sum(models.first.chunks_in(job.seconds, job.channels) for job in jobs if job.seconds is not None)


@contextmanager
def _turn() -> Iterator[None]:
    """Wait a while for other processes that write the file."""
    with open_own(_file().with_name(".speeds.lock"), append=True) as file:
        for _ in range(WAITS):
            if try_lock(file.fileno()) is not False:
                break
            time.sleep(WAIT_SECONDS)
        yield


def remember(models: "ChainEntry", settings: Sequence[Settings], speed: Speed) -> None:
    """Store what a run showed. If that is impossible, it is not stored.

    Args:
        models: the models that ran.
        settings: settings that mean the run's: those that were given, and what they turned out to be.
        speed: the run's speed.
    """
    options = {name: [*dict.fromkeys(vars(each)[name] for each in settings)] for name in vars(settings[0])}
    figures = {
        "start_up": None if speed.start_up is None else round(speed.start_up, 3),
        "per_chunk": float(f"{speed.per_chunk:.4g}"),
        "chunks": speed.chunks,
    }
    run = {**_about(models), "settings": options, **figures}
    if _speed(run) is None:
        return
    with suppress(OSError, WeightsError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        with _turn():
            runs = [*_runs(), run][-KEPT:]
            while len(text := json.dumps({"runs": runs}).encode()) > LIMIT and runs:
                del runs[: len(runs) // 2 + 1]
            with replacing(_file()) as file:
                file.write(text)


class Stopwatch:
    """Measures a run of models over songs: start-up and time per chunk, separately.

    Args:
        models: the models.
        settings: the settings that the user gave.
    """

    def __init__(self, models: "ChainEntry", settings: Settings) -> None:
        self.models, self.settings = models, settings
        self.splitter: Splitter | None = None
        self.loading_seconds = self.loaded_at = 0.0
        self.first: tuple[Job, float, float] | None = None
        """The first song, the chunks that its first result took, and the seconds from loading to that result."""
        self.chunks, self.seconds, self.has_first = 0.0, 0.0, False

    def loads(self, load: "Callable[[], Splitter]") -> "Callable[[], Splitter]":
        """Return a function that loads the models once, and measures the time."""

        def loaded() -> "Splitter":
            if self.splitter is None:
                began = time.monotonic()
                self.splitter = load()
                self.loaded_at = time.monotonic()
                self.loading_seconds = self.loaded_at - began
            return self.splitter

        return loaded

    def watches(self, progress: "Progress") -> "Progress":
        """Return a callback of the pipeline that calls this one too."""

        def watched(job: "Job", done: float, total: float) -> None:
            if self.first is None and done and self.splitter is not None:
                chunks = self.models.first.chunks_in(done, job.channels)
                self.first = job, chunks, time.monotonic() - self.loaded_at
            progress(job, done, total)

        return watched

    def add(self, outcome: "Outcome") -> None:
        """Count a song, if it was split now."""
        if not outcome.record or outcome.skipped:
            return
        self.chunks += self.models.first.chunks_in(outcome.record.figures["duration"], outcome.job.channels)
        self.seconds += outcome.seconds
        self.has_first |= self.first is not None and outcome.job == self.first[0]

    @property
    def speed(self) -> Speed | None:
        """What the run showed; None if no song was split."""
        if not self.chunks:
            return None
        if self.first and self.has_first:
            # The first result takes longer: memory is laid out and instructions are chosen.
            _, chunks, seconds = self.first
            if (rest := self.chunks - chunks) > 0:
                per_chunk = max(self.seconds - seconds, 0) / rest
                return Speed(
                    self.loading_seconds + max(seconds - chunks * per_chunk, 0), per_chunk, max(round(rest), 1)
                )
        return Speed(self.loading_seconds, self.seconds / self.chunks, 1)

    def remember(self) -> None:
        """Store what the run showed, if a song was split."""
        if self.splitter is not None and (speed := self.speed):
            remember(self.models, [self.settings, found(self.splitter, self.settings)], speed)


def found(splitter: "Splitter", settings: Settings) -> Settings:
    """Return what the given settings of loaded models turned out to be."""
    from stemsplit.engine.chain import Chain  # only now: it imports PyTorch, which takes seconds
    from stemsplit.engine.combination.combined import Combined
    from stemsplit.engine.separator import Separator
    from stemsplit.fast import PRECISIONS

    def separators(splitter: "Splitter") -> Iterator[Separator]:
        if isinstance(splitter, Separator):
            yield splitter
        elif isinstance(splitter, Chain | Combined):
            for part in (splitter.before, splitter.then) if isinstance(splitter, Chain) else splitter.members:
                yield from separators(part)

    networks = [*separators(splitter)]
    if not networks:
        return settings
    device, estimator = networks[0].device, networks[0].estimator
    dtypes = {network.estimator.dtype for network in networks}
    # "auto" may be another precision for each model, which no other setting means.
    precision = next((name for name, dtype in PRECISIONS.items() if {dtype} == dtypes), settings.precision)
    threads = estimator.pool.threads if device.type == "cpu" else settings.threads
    return Settings(str(device), threads, precision, estimator.batch_size, settings.compiled)

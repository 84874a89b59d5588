"""Defines what became of a song, and of all songs of a run."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stemsplit.songs.failures import is_foreign
from stemsplit.songs.job import Job
from stemsplit.songs.record import Record


@dataclass
class Outcome:
    """The outcome of a job.

    Args:
        job: job of the song.
        error: why the song failed; empty if it did not.
        record: record of the stems, written in this run or in an earlier one; None if the song failed.
        skipped: whether the song was already split.
        seconds: compute time of the song, without the time in which it was read; 0 if it was not computed.
        cause: exception that caused `error`, if there was one.
        notes: what people should know of the song's file; see `audio.Reader`.
        extras: further files beside the stems, by what they are; see `songs.extras`.
        lacking: why a further file that was asked for is not there, by what it is.
        blameless: whether the machine, the network or a place was the cause, not the song.
        not_tried: whether the run ended before the song was tried, for the reason that `error` says.
    """

    job: Job
    error: str = ""
    record: Record | None = None
    skipped: bool = False
    seconds: float = 0.0
    cause: Exception | None = None
    notes: tuple[str, ...] = ()
    extras: Mapping[str, Path] = field(default_factory=dict)
    lacking: Mapping[str, str] = field(default_factory=dict)
    not_tried: bool = False
    blameless: bool = False

    def __post_init__(self) -> None:
        self.blameless = self.blameless or (self.cause is not None and is_foreign(self.cause))

    @property
    def paths(self) -> list[Path]:
        """Files of the stems."""
        if not self.record:
            return []
        found = [path for name, path in self.job.targets.items() if self.record.stems[name]["file"] is not None]
        return list(dict.fromkeys(found))

    @property
    def shown(self) -> list[str]:
        """Files of the stems as people and scripts read them."""
        return [self.job.shown(path) for path in self.paths]

    @property
    def speed(self) -> float:
        """Seconds of song per second of compute time; 0 if it was not split."""
        if not self.record or self.skipped:
            return 0.0
        return self.record.figures["duration"] / max(self.seconds, 1e-9)


@dataclass
class Totals:
    """The totals of a run.

    Args:
        songs: number of songs processed.
        done: number of songs split in this run.
        skipped: number of songs that were already split.
        failed: number of songs that failed.
        untold: number of songs whose line could not be printed.
        not_tried: number of songs that the run ended before; None if no option may end it early.
        lacking: number of songs that lack a further file which was asked for, by what it is.
        duration: seconds of music that were split.
        seconds: wall time of the run, start-up included.
    """

    songs: int = 0
    done: int = 0
    skipped: int = 0
    failed: int = 0
    untold: int = 0
    not_tried: int | None = None
    lacking: Counter[str] = field(default_factory=Counter)
    duration: float = 0.0
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Count one more song."""
        self.songs += 1
        self.failed += bool(outcome.error) and not outcome.not_tried
        if outcome.not_tried:
            self.not_tried = (self.not_tried or 0) + 1
        self.skipped += outcome.skipped
        self.lacking.update(outcome.lacking.keys())
        if outcome.record and not outcome.skipped:
            self.done += 1
            self.duration += outcome.record.figures["duration"]

    @property
    def speed(self) -> float:
        """Seconds of music per second of wall time; 0 if no song was split."""
        return self.duration / max(self.seconds, 1e-9)

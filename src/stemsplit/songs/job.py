"""One song to split: what is written where, and whether that was done before."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.disk.files import size_of
from stemsplit.disk.folder import is_link
from stemsplit.errors import AudioError
from stemsplit.songs import record
from stemsplit.songs.naming import Names
from stemsplit.songs.outputs import Output
from stemsplit.songs.record import Record


@dataclass(frozen=True)
class Options:
    """What to write of every song.

    Args:
        out: folder that gets the files.
        outputs: the files of a song.
        model: what identifies the model, as records have it.
        adds_up: whether all stems of the model together are the song.
        format: one of `stemsplit.audio.FORMATS`.
        bit_depth: one of `stemsplit.audio.BIT_DEPTHS`, or None for the format's best.
        like_source: format and bit depth are those of each song instead.
        start: seconds that are left out at a song's beginning.
        duration: seconds that are split; None for all that follow.
        drop_silent: write no file of what is silent.
        force: split again what is split already, and write over files that stemsplit did not write.
    """

    out: Path
    outputs: tuple[Output, ...]
    model: Mapping[str, Any] = field(default_factory=dict)
    adds_up: bool = False
    format: str = "wav"
    bit_depth: str | None = None
    like_source: bool = False
    start: float = 0.0
    duration: float | None = None
    drop_silent: bool = False
    force: bool = False


@dataclass(frozen=True, slots=True)
class Job:
    """One song to split.

    Args:
        path: the song.
        options: what to write.
        folder: the output folder, or one below it.
        names: what its files are called, from there.
        format: of the outputs.
        bit_depth: of the outputs.
        seconds: how much of the song is to be split; 0 if it does not tell its length.
        size: bytes that the outputs take at most; 0 if the song does not tell its length.
        done: whether it was split before, from the same song in the same way.
        problem: why it cannot be done, as far as that is known beforehand; empty if nothing is.
    """

    path: Path
    options: Options
    folder: Path
    names: Names
    format: str = "wav"
    bit_depth: str | None = None
    seconds: float = 0.0
    size: int = 0
    done: bool = False
    problem: str = ""

    def place(self, stem: str, format_: str) -> Path:
        """The file that a stem has in a format, in this run or in another."""
        return self.folder / f"{self.names.path(stem)}.{format_}"

    # Made anew each time: a plan may be of hundreds of thousands of songs.
    @property
    def targets(self) -> dict[str, Path]:
        """Name of each output -> its file."""
        return {output.name: self.place(output.name, self.format) for output in self.options.outputs}

    @property
    def record(self) -> Path:
        """The file that will say that all of them are whole."""
        return self.folder / self.names.record

    @property
    def is_renamed(self) -> bool:
        """Whether a file is not called as song and template have it, as not every system can have such a name."""
        return any(self.names.path(output.name) != self.names.meant(output.name) for output in self.options.outputs)

    def below(self, target: Path) -> Path:
        """One of its files, as seen from the output folder."""
        return target.relative_to(self.options.out)

    @property
    def choices(self) -> dict[str, Any]:
        """What besides song and model decides what the outputs are, as records have it."""
        return {
            "format": self.format,
            "bit_depth": self.bit_depth,
            "start": self.options.start,
            "duration": self.options.duration,
            "drop_silent": self.options.drop_silent,
        }

    def name(self, target: Path) -> str:
        """One of its files, as its record calls it."""
        return Path(os.path.relpath(target, self.record.parent)).as_posix()

    def size_of(self, name: str) -> int | None:
        """Bytes of a file that its record names; None if there is none below the output folder."""
        # Not resolve: links are not followed.
        path, out = (Path(os.path.abspath(place)) for place in (self.record.parent / name, self.options.out))  # noqa: PTH100
        return size_of(path) if path.is_relative_to(out) else None

    def written(self) -> Record | None:
        """The record of all of it, if it is there already, made from the same song in the same way.

        Raises:
            AudioError: the song cannot be read.
        """
        found = record.read(self.record)
        if not found or not record.same(found.model, self.options.model):
            return None
        if not record.same(found.options, self.choices):
            return None
        for output in self.options.outputs:
            facts, target = found.stems.get(output.name), self.targets[output.name]
            if facts is None or facts["weights"] != list(output.weights):
                return None
            # What was silent may have been left out.
            if facts["file"] is not None and (facts["file"], facts["size"]) != (self.name(target), size_of(target)):
                return None
        try:
            return found if record.unchanged(self.path, found, self.record) else None
        except OSError as error:
            raise AudioError(f"cannot read {self.path} ({error.strerror})") from error

    def obstacle(self, *targets: Path) -> str:
        """What is in the place of an output, and not as stemsplit left it, in words; empty if nothing is.

        Under force, only what is not a regular file is.

        Args:
            targets: its files to look at; none for all.
        """
        if size_of(self.record) is None and os.path.lexists(self.record):
            return f"{self.record} is already there, and is not a file; choose another folder with -o"
        found = record.read(self.record)
        ours = found.files if found else {}
        for target in targets or self.targets.values():
            there = size_of(target)
            if there is None and os.path.lexists(target):
                return f"{target} is already there, and is not a file; choose another folder with -o"
            if there is not None and not self.options.force and there != ours.get(self.name(target)):
                return f"{target} is already there, and not as stemsplit left it; --force writes over it"
        return ""

    def link(self, targets: Iterable[Path]) -> Path | None:
        """A folder on the way from the output folder to some of its files that is a link, which is not followed."""
        for folder in dict.fromkeys(target.parent for target in targets):
            below = self.below(folder)
            for way in (*reversed(below.parents[:-1]), below) if below.parts else ():
                with suppress(OSError):
                    if is_link((self.options.out / way).lstat()):
                        return self.options.out / way
        return None


@dataclass
class Outcome:
    """What became of a song.

    Args:
        job: what was asked.
        error: why it failed; empty if it did not.
        record: of what was written, now or before; None if it failed.
        skipped: whether it was written before.
        seconds: time it took.
        cause: the exception that `error` tells of, if there was one.
    """

    job: Job
    error: str = ""
    record: Record | None = None
    skipped: bool = False
    seconds: float = 0.0
    cause: Exception | None = None

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

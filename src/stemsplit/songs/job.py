"""One song to split: what is written where, and whether that was done before."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.audio import WAV, Format
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
        format: format of the files.
        like_source: the format is that of each song instead.
        start: seconds that are left out at a song's beginning.
        duration: seconds that are split; None for all that follow.
        drop_silent: write no file of what is silent.
        force: split again what is split already, and write over files that stemsplit did not write.
    """

    out: Path
    outputs: tuple[Output, ...]
    model: Mapping[str, Any] = field(default_factory=dict)
    adds_up: bool = False
    format: Format = WAV
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
        format: format of the outputs.
        seconds: how much of the song is to be split; 0 if it does not tell its length.
        size: bytes that the outputs take at most; 0 if the song does not tell its length.
        done: whether it was split before, from the same song in the same way.
        problem: why it cannot be done, as far as that is known beforehand; empty if nothing is.
    """

    path: Path
    options: Options
    folder: Path
    names: Names
    format: Format = WAV
    seconds: float = 0.0
    size: int = 0
    done: bool = False
    problem: str = ""

    def place(self, stem: str, file_format: Format) -> Path:
        """The file that a stem has in a format, in this run or in another."""
        return self.folder / f"{self.names.path(stem)}{file_format.suffix}"

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
    def recorded_options(self) -> dict[str, Any]:
        """What decides the outputs besides the song and the model, as records have it."""
        return {
            "format": self.format.name,
            "bit_depth": self.format.bits,
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

    def recorded(self) -> Record | None:
        """Read the record that is there now, of this run or of an earlier one; None if there is none."""
        return record.read(self.record)

    def is_done(self, found: Record | None) -> bool:
        """Whether all outputs are there already, made from the same song in the same way.

        Args:
            found: the record that is there, see `recorded`.

        Raises:
            AudioError: the song cannot be read.
        """
        if not found or not record.same(found.model, self.options.model):
            return False
        if not record.same(found.options, self.recorded_options):
            return False
        for output in self.options.outputs:
            facts, target = found.stems.get(output.name), self.targets[output.name]
            if facts is None or facts["weights"] != list(output.gains):
                return False
            # What was silent may have been left out.
            if facts["file"] is not None and (facts["file"], facts["size"]) != (self.name(target), size_of(target)):
                return False
        try:
            return record.unchanged(self.path, found, self.record)
        except OSError as error:
            raise AudioError(f"cannot read {self.path} ({error.strerror})") from error

    def obstacle(self, found: Record | None, *targets: Path) -> str:
        """Name the first output path that is taken by something stemsplit did not write, or that was edited since.

        With force, only what is not a regular file is an obstacle.

        Args:
            found: the record that is there, see `recorded`.
            targets: the output files to look at; none for all.

        Returns:
            a sentence; empty if nothing is in the way.
        """
        if size_of(self.record) is None and os.path.lexists(self.record):
            return f"{self.record} is already there, and is not a file; choose another folder with -o"
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
        job: what was to be done.
        error: why the song failed; empty if it did not.
        record: the record of its stems, written now or before; None if it failed.
        skipped: whether it was already split.
        seconds: the song's own compute time; 0 if it was not computed.
        cause: the exception behind `error`, if there was one.
    """

    job: Job
    error: str = ""
    record: Record | None = None
    skipped: bool = False
    seconds: float = 0.0
    cause: Exception | None = None

    @property
    def paths(self) -> list[Path]:
        """The files of the stems."""
        if not self.record:
            return []
        return [path for name, path in self.job.targets.items() if self.record.stems[name]["file"] is not None]

    @property
    def speed(self) -> float:
        """Seconds of song per second of compute time; 0 if it was not split."""
        if not self.record or self.skipped:
            return 0.0
        return self.record.figures["duration"] / max(self.seconds, 1e-9)


@dataclass
class Totals:
    """What became of all songs of a run.

    Args:
        songs: songs looked at.
        done: songs split in this run.
        skipped: songs that were already split.
        failed: songs that failed.
        untold: songs whose line could not be printed.
        duration: seconds of music that were split.
        seconds: wall time of the run.
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
        """Seconds of music per second of wall time; 0 if no song was split."""
        return self.duration / max(self.seconds, 1e-9)

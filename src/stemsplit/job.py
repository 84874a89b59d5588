"""One song to split: what is written where, and whether that was done before."""

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit import sidecar
from stemsplit.errors import AudioError
from stemsplit.recipes import Output


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


@dataclass(frozen=True)
class Job:
    """One song to split.

    Args:
        path: the song.
        options: what to write.
        targets: name of each output -> its file.
        record: the file that will say that all of them are whole.
        format: of the outputs.
        bit_depth: of the outputs.
        seconds: how much of the song is to be split; 0 if it does not tell its length.
        size: bytes that the outputs take at most; 0 if the song does not tell its length.
        done: whether it was split before, from the same song in the same way.
        problem: why it cannot be done, as far as that is known beforehand; empty if nothing is.
    """

    path: Path
    options: Options
    targets: Mapping[str, Path]
    record: Path
    format: str = "wav"
    bit_depth: str | None = None
    seconds: float = 0.0
    size: int = 0
    done: bool = False
    problem: str = ""

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

    def was_done(self) -> bool:
        """Whether all of it is there already, made from the same song in the same way.

        Raises:
            AudioError: the song cannot be read.
        """
        found = sidecar.read(self.record)
        if not found or not sidecar.same(found.model, self.options.model):
            return False
        if not sidecar.same(found.options, self.choices):
            return False
        for output in self.options.outputs:
            facts = found.stems.get(output.name, {})
            if facts.get("weights") != list(output.weights):
                return False
            # What was silent may have been left out.
            if facts["file"] is not None and size_of(self.targets[output.name]) != facts["size"]:
                return False
        try:
            return sidecar.unchanged(self.path, found, self.record)
        except OSError as error:
            raise AudioError(f"cannot read {self.path} ({error.strerror})") from error

    def in_the_way(self) -> Path | None:
        """What is in the place of an output, and not as stemsplit left it; under force, only what is no file."""
        found = sidecar.read(self.record)
        ours = found.files if found else {}
        for target in self.targets.values():
            if not os.path.lexists(target):
                continue
            known = ours.get(self.name(target))
            if not target.is_file() or not (self.options.force or (known is not None and size_of(target) == known)):
                return target
        return None


def size_of(path: Path) -> int | None:
    """Bytes of a file; None if there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None


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

"""One song to split: what is written where, its files whole or not at all, and how far they add up."""

import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from stemsplit.audio import Block, Song, Writer, bytes_per_sample
from stemsplit.errors import AudioError


@dataclass(frozen=True)
class Options:
    """What to write.

    Args:
        out: folder that gets one folder a song.
        stems: names, out of the model's.
        format: one of `stemsplit.audio.FORMATS`.
        bit_depth: one of `stemsplit.audio.BIT_DEPTHS`, or None for the format's best.
        force: write over stems that are there already.
    """

    out: Path
    stems: tuple[str, ...]
    format: str = "wav"
    bit_depth: str | None = None
    force: bool = False


@dataclass(frozen=True)
class Job:
    """One song to split.

    Args:
        path: the song.
        folder: where its stems go.
        options: what to write.
        size: bytes that its stems take at most; 0 if the song does not tell its length.
        problem: why it cannot be done, as far as that is known beforehand; empty if nothing is.
    """

    path: Path
    folder: Path
    options: Options
    size: int = 0
    problem: str = ""

    def target(self, stem: str) -> Path:
        """The file of a stem."""
        return self.folder / f"{stem}.{self.options.format}"


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


def stem_bytes(options: Options, channels: int, frames: int) -> int:
    """What a song's stems take on the disk, at most."""
    return frames * channels * len(options.stems) * bytes_per_sample(options.format, options.bit_depth)


class StemFiles:
    """The files of one song's stems: written in a hidden folder, moved to their names only when all are whole.

    Leaving the context without `finish` removes whatever was written.
    """

    def __init__(self, job: Job, song: Song) -> None:
        self.job = job
        self.writers: dict[str, Writer] = {}
        options, out = job.options, job.options.out
        with ExitStack() as undo:
            try:
                for folder in reversed([f for f in (out, *out.parents) if not f.exists()]):
                    folder.mkdir(exist_ok=True)
                    undo.callback(remove_if_empty, folder)
                self.hidden = Path(tempfile.mkdtemp(prefix=".stemsplit-", dir=out))
            except OSError as error:
                raise AudioError(f"cannot write into {out} ({error.strerror})") from error
            undo.callback(shutil.rmtree, self.hidden, ignore_errors=True)
            for stem in options.stems:
                path = self.hidden / job.target(stem).name
                writer = Writer(path, options.format, options.bit_depth, song.sample_rate, song.channels, song.frames)
                undo.callback(writer.abandon)
                self.writers[stem] = writer
            self.cleanup = undo.pop_all()

    def finish(self) -> list[Path]:
        """Close all files and give them their names."""
        for writer in self.writers.values():
            writer.close()
        targets = [self.job.target(stem) for stem in self.writers]
        try:
            self.job.folder.mkdir(parents=True, exist_ok=True)
            for target in targets:
                (self.hidden / target.name).replace(target)
        except OSError as error:
            raise AudioError(f"cannot write into {self.job.folder} ({error.strerror})") from error
        return targets

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cleanup.close()


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that nothing was put into."""
    with suppress(OSError):
        folder.rmdir()


class SumError:
    """How far the sum of the stems, as written, is from the song."""

    def __init__(self) -> None:
        self.song = self.error = 0.0

    def add(self, mixture: Block, stems: Sequence[Block]) -> None:
        """Take another block of the song and of all its stems."""
        wide = mixture.astype(np.float64)
        self.song += float(np.square(wide).sum())
        self.error += float(np.square(wide - np.sum(stems, 0, dtype=np.float64)).sum())

    @property
    def decibels(self) -> float:
        """Energy of the error over the song's: minus infinity where they are equal, plus if only the song is silent."""
        if not self.error:
            return -math.inf
        return 10 * math.log10(self.error / self.song) if self.song else math.inf

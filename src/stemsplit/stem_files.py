"""The files of one song: written in a hidden folder, moved to their names when all are whole, then recorded."""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from stemsplit import sidecar
from stemsplit.audio import Block, Song, Writer
from stemsplit.claim import PREFIX, Claim
from stemsplit.errors import AudioError
from stemsplit.job import Job, size_of
from stemsplit.recipes import Output
from stemsplit.sidecar import EXACT, Record
from stemsplit.weights.digests import sha256

SILENT = 1e-3
"""What has no larger sample, 60 dB below full scale, is called silent."""


def claim(job: Job) -> Claim:
    """The hidden folder in which a song is worked on, by one process at a time.

    Raises:
        BlockingIOError: another process is working on it.
        AudioError: it cannot be made.
    """
    out = job.options.out
    place = os.path.normcase(os.path.relpath(job.record, out))
    try:
        out.mkdir(parents=True, exist_ok=True)
        held = Claim(out / f"{PREFIX}{hashlib.sha256(os.fsencode(place)).hexdigest()[:16]}")
    except BlockingIOError:
        raise
    except OSError as error:
        raise AudioError(f"cannot write into {out} ({error.strerror})") from error
    try:
        recover(held.folder, out)
        held.clear()
    except OSError as error:
        held.release()
        raise AudioError(f"cannot write into {out} ({error.strerror})") from error
    return held


COMMIT = "commit.json"
"""Says, in a hidden folder, that all files in it are whole, and where they belong: from then on they only move."""


RECORD = "record.json"
"""The new record, there."""


def recover(folder: Path, out: Path) -> None:
    """Give the files in a hidden folder their names, if they are whole and a killed run, or this one, meant to.

    Raises:
        OSError: one cannot be moved; it can be tried again.
    """
    try:
        commit = json.loads((folder / COMMIT).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return  # nothing was to be moved yet
    record = out / commit["record"]
    record.parent.mkdir(parents=True, exist_ok=True)
    for source, name in commit["files"].items():
        target = record.parent / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileNotFoundError):  # it was moved before
            (folder / source).replace(target)
    with suppress(FileNotFoundError):
        (folder / RECORD).replace(record)
    (folder / COMMIT).unlink()


def sweep(out: Path) -> None:
    """Finish, or else remove, what killed runs left in a folder."""
    with suppress(OSError):
        for folder in out.glob(f"{PREFIX}*"):
            with suppress(OSError):
                held = Claim(folder)
                recover(folder, out)
                held.release()


class StemFiles:
    """The files of one song. Leaving the context without `finish` removes whatever was written.

    Args:
        job: what to write.
        song: as it was examined.
        held: its hidden folder, which goes when the context is left.

    Raises:
        AudioError: the song cannot be read, or a file not be made.
    """

    def __init__(self, job: Job, song: Song, held: Claim) -> None:
        self.job, self.song, self.held = job, song, held
        self.writers: dict[str, Writer] = {}
        self.sum, self.energy = SumError(), 0.0
        with ExitStack() as undo:
            undo.callback(held.release)
            self.encoding = undo.enter_context(ThreadPoolExecutor(len(job.options.outputs), "encoding"))
            try:
                self.stat = job.path.stat()
                self.digest = sha256(job.path)
            except OSError as error:
                raise AudioError(f"cannot read {job.path} ({error.strerror})") from error
            for output in job.options.outputs:
                path = held.folder / f"{output.name}.{job.format}"
                tags = marked(song.tags, output.name)
                writer = Writer(path, job.format, job.bit_depth, song.sample_rate, song.channels, song.frames, tags)
                undo.callback(writer.abandon)
                self.writers[output.name] = writer
            self.cleanup = undo.pop_all()
        stems = [output for output in job.options.outputs if output.stem is not None]
        whole = len(stems) == len(job.options.outputs[0].weights) - 1
        exact = all(writer.exact for writer in self.writers.values())
        self.summed = {output.name for output in stems} if whole and exact and job.options.adds_up else set()

    def write(self, mixture: Block, stems: Block) -> None:
        """Write the next samples.

        Args:
            mixture: (c, t).
            stems: (n, c, t), the model's.

        Raises:
            AudioError: a file cannot be written.
        """

        def encode(output: Output) -> Block:
            return self.writers[output.name].write(output.of(mixture, stems))

        # Side by side: encoding is all that a fast device waits for.
        written = {output.name: self.encoding.submit(encode, output) for output in self.job.options.outputs}
        wait(written.values())  # for all of them, even if one fails: nothing may write to files that are given up
        stored = {name: future.result() for name, future in written.items()}
        self.energy += float(np.square(mixture, dtype=np.float64).sum())
        if self.summed:
            self.sum.add(mixture, [stored[name] for name in self.summed])

    def finish(self) -> Record:
        """Close all files, give them their names and write the record, which says that all are whole.

        Raises:
            AudioError: something cannot be written, or the song has been changed meanwhile.
        """
        for writer in self.writers.values():
            writer.close()
        if not self._song_is_as_it_was():
            raise AudioError(f"{self.job.path} was changed while it was split; split it again")
        record = self._record()
        try:
            self._move(record)
        except OSError as error:
            raise AudioError(f"cannot write into {self.job.record.parent} ({error.strerror})") from error
        return record

    def _song_is_as_it_was(self) -> bool:
        try:
            now = self.job.path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.stat.st_size, self.stat.st_mtime_ns)

    def _earlier(self, stems: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
        """What earlier runs left that this one does not write, as it was then."""
        old = sidecar.read(self.job.record)
        new = {facts["file"] for facts in stems.values()}
        there = {name: size for name, size in (old.files if old else {}).items() if name not in new}
        return {name: there[name] for name in sorted(there) if size_of(self.job.record.parent / name) == there[name]}

    def _move(self, record: Record) -> None:
        """Once the commit is written, whoever comes next would do the rest."""
        folder, files = self.held.folder, {}
        for name, writer in self.writers.items():
            if record.stems[name]["file"] is not None:
                sync(writer.path)
                files[writer.path.name] = record.stems[name]["file"]
        commit = {"record": os.path.relpath(self.job.record, self.job.options.out), "files": files}
        for name, text in {RECORD: record.text(), "commit.part": json.dumps(commit)}.items():
            (folder / name).write_text(text, encoding="utf-8")
            sync(folder / name)
        (folder / "commit.part").replace(folder / COMMIT)
        recover(folder, self.job.options.out)

    def _record(self) -> Record:
        job, song = self.job, self.song
        stems = {output.name: self._facts(output.name, output.weights) for output in job.options.outputs}
        return Record(
            song={"name": job.path.name, "size": self.stat.st_size, "sha256": self.digest},
            model=job.options.model,
            options=job.choices,
            stems=stems,
            figures={
                "duration": round(song.seconds, 6),
                "sample_rate": song.sample_rate,
                "channels": song.channels,
                "frames": song.frames,
                "sum_error": self.sum.decibels if self.summed else None,
            },
            earlier=self._earlier(stems),
        )

    def _facts(self, name: str, weights: Sequence[float]) -> dict[str, Any]:
        writer = self.writers[name]
        silent = writer.peak < SILENT
        dropped = silent and self.job.options.drop_silent
        return {
            "file": None if dropped else self.job.name(self.job.targets[name]),
            "size": None if dropped else writer.path.stat().st_size,
            "weights": list(weights),
            "peak": float(f"{writer.peak:.6g}"),
            "clipped": writer.clipped,
            "energy_share": float(f"{writer.energy / self.energy:.4g}") if self.energy else 0.0,
            "silent": silent,
        }

    def close(self) -> None:
        """Remove whatever was written and not moved to its name, and the hidden folder."""
        self.cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def marked(tags: Mapping[str, str], name: str) -> dict[str, str]:
    """A song's tags for one of its stems: the title says which."""
    return {**tags, "title": f"{tags['title']} ({name})"} if tags.get("title") else dict(tags)


def sync(path: Path) -> None:
    """Have a file on the disk, so that no power cut leaves zeros under its name."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


class SumError:
    """How far the sum of the stems, as written, is from the song."""

    def __init__(self) -> None:
        self.song = self.error = 0.0

    def add(self, mixture: Block, stems: Sequence[Block]) -> None:
        """Take another block of the song and of all its stems."""
        error = mixture.astype(np.float64)
        self.song += float(np.square(error).sum())
        for stem in stems:
            error -= stem
        self.error += float(np.square(error, out=error).sum())

    @property
    def decibels(self) -> float:
        """Energy of the error over the song's, between `EXACT` for none and its negative if only the song is silent."""
        if not self.error:
            return EXACT
        return round(max(10 * math.log10(self.error / self.song), EXACT), 2) if self.song else -EXACT

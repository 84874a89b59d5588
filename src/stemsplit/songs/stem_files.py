"""Writes the files of one song in a hidden folder; when all are whole, gives them their names and a record."""

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from stemsplit.audio import Block, Song, Writer
from stemsplit.audio.levels import SILENT, SumError
from stemsplit.audio.stem_file import write_stem_file
from stemsplit.audio.tagging.values import Texts
from stemsplit.disk.claim import Claim
from stemsplit.disk.folder import flush
from stemsplit.disk.limits import why
from stemsplit.errors import AudioError, PlaceError
from stemsplit.songs import commit, hidden, trial
from stemsplit.songs.elsewhere import Pulse
from stemsplit.songs.job import Job
from stemsplit.songs.outputs import Output
from stemsplit.songs.record import Record


class StemFiles:
    """The files of one song. Leaving the context without `settle` removes what was written.

    Args:
        job: job of the song.
        song: facts about the song, from `examine`.
        digest: sha256 of the song's file.
        stat: status of the song's file from before it was read.
        held: hidden folder of the song, which is removed when the context is left.
        before: record of an earlier run, if there is one.

    Raises:
        AudioError: the song cannot be read, or a file cannot be made.
    """

    def __init__(
        self, job: Job, song: Song, digest: str, stat: os.stat_result, held: Claim, before: Record | None = None
    ) -> None:
        self.job, self.song, self.digest, self.stat, self.held, self.before = job, song, digest, stat, held, before
        self.writers: dict[str, Writer] = {}
        self.sum, self.energy = SumError(), 0.0
        with ExitStack() as undo:
            if job.elsewhere:
                undo.callback(job.elsewhere.give_up)
            undo.callback(held.release)
            self.encoding = undo.enter_context(ThreadPoolExecutor(len(job.options.outputs), "encoding"))
            for output in job.options.outputs:
                writer = self._writer(output.name)
                undo.callback(writer.abandon)
                self.writers[output.name] = writer
            self.cleanup = undo.pop_all()
        self.whole_size = 0
        if job.format.holds_all:
            stems = [output for output in job.options.outputs if not output.gains[0]]
            whole = True
        else:
            stems = [output for output in job.options.outputs if output.stem is not None]
            whole = len(stems) == len(job.options.outputs[0].gains) - 1
        exact = all(writer.exact for writer in self.writers.values())
        self.summed = {output.name for output in stems} if whole and exact and job.options.adds_up else set()

    def _writer(self, name: str) -> Writer:
        """Open the file of a stem in the hidden folder."""
        job, song, own = self.job, self.song, hidden.written(name, self.job.format)
        tags, picture = marked(song.tags.texts, name), song.tags.picture
        if job.format.holds_all:
            tags, picture = {}, b""  # of one file, for all tracks
        form = (job.format, song.sample_rate, song.channels, song.frames, tags)
        path = self.held.folder.path / own
        try:
            file = self.held.create(own)
            return Writer(path, *form, file=file, picture=picture, speakers=song.speakers)
        except OSError as error:
            raise AudioError(f"cannot write {path} ({why(error)})") from error

    def write(self, mixture: Block, stems: Block) -> None:
        """Write the next samples.

        Args:
            mixture: (c, t).
            stems: the model's stems, (n, c, t).

        Raises:
            AudioError: a file cannot be written.
        """

        def encode(output: Output) -> Block:
            return self.writers[output.name].write(output.of(mixture, stems))

        # Side by side: encoding is all that a fast device waits for.
        written = {}
        try:
            for output in self.job.options.outputs:
                written[output.name] = self.encoding.submit(encode, output)
        except RuntimeError:  # no more threads: what was handed over must end, as below
            self.encoding.shutdown()
            raise
        wait(written.values())  # for all of them, even if one fails: nothing may write to files that are given up
        stored = {name: future.result() for name, future in written.items()}
        self.energy += float(np.square(mixture, dtype=np.float64).sum())
        if self.summed:
            self.sum.add(mixture, [stored[name] for name in self.summed])

    def whole(self) -> Record:
        """Close all files, in the hidden folder; return their record.

        Raises:
            AudioError: a file cannot be written, or the song was changed meanwhile.
        """
        for writer in self.writers.values():
            writer.close()
        if self.job.format.holds_all:
            self._join()
        if not self._song_is_as_it_was():
            raise PlaceError(f"{self.job.path} was changed while it was split; split it again")
        return self._record()

    def settle(self, record: Record, pulse: Pulse = int) -> None:
        """Give the files their names, or send them to their addresses; then the record, which says that all are whole.

        Args:
            record: the record from `whole`.
            pulse: called again and again while files are sent; raises an error if the batch is to end.

        Raises:
            AudioError: a file cannot be written.
        """
        away = self.job.elsewhere
        try:
            for name, writer in self.writers.items():
                if self._is_dropped(writer):
                    self.held.folder.remove(hidden.finished(name, self.job.format))
            if away and away.sends:
                away.send(self._hidden(record), record, self.job.record, pulse)
            else:
                commit.commit(self.held, self.job, record)
            if away:
                away.confirm(record, self.job.record)
        except commit.CommitError as error:
            raise AudioError(f"cannot finish {self.job.path}: {error}") from error
        except OSError as error:
            place = self.job.record.parent
            raise AudioError(trial.refused(self.job, error) or f"cannot write into {place} ({why(error)})") from error

    def _hidden(self, record: Record) -> dict[Path, Path]:
        """Return the files that are to be sent: path that each is to have -> its path in the hidden folder."""
        job, folder = self.job, self.held.folder.path
        there = {name: job.targets[name] for name, facts in record.stems.items() if facts["file"] is not None}
        return {target: folder / hidden.finished(name, job.format) for name, target in there.items()}

    def _join(self) -> None:
        """Put the finished tracks of the song and its stems into one file.

        Raises:
            AudioError: it cannot be written.
        """
        tracks = [hidden.written(name, self.job.format) for name in self.writers]
        joined, folder = hidden.finished("", self.job.format), self.held.folder
        try:
            with ExitStack() as opened:
                parts = [opened.enter_context(os.fdopen(folder.open(track, os.O_RDONLY), "rb")) for track in tracks]
                file = opened.enter_context(self.held.create(joined))
                write_stem_file(parts, file, self.song.tags.texts, self.song.tags.picture)
                file.flush()
                flush(file.fileno())
                self.whole_size = os.fstat(file.fileno()).st_size
            for track in tracks:
                folder.remove(track)
        except OSError as error:
            what = f"cannot write {folder.path / joined} ({why(error)})"
            raise AudioError(f"{what}; free some space, or choose another disk with -o") from error

    def _song_is_as_it_was(self) -> bool:
        try:
            now = self.job.path.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns) == (self.stat.st_size, self.stat.st_mtime_ns)

    def _earlier(self, stems: Mapping[str, Mapping[str, Any]]) -> dict[str, int]:
        """Return the unchanged files of earlier runs that this run does not write, with their sizes."""
        new = {facts["file"] for facts in stems.values()}
        there = {name: size for name, size in (self.before.files if self.before else {}).items() if name not in new}
        return {name: there[name] for name in sorted(there) if self.job.size_of(name) == there[name]}

    def _record(self) -> Record:
        job, song = self.job, self.song
        stems = {output.name: self._facts(output.name, output.gains) for output in job.options.outputs}
        return Record(
            song={"name": job.path.name, "size": self.stat.st_size, "sha256": self.digest},
            model=job.options.model,
            options=job.recorded_options,
            stems=stems,
            figures={
                "duration": round(song.seconds, 6),
                "sample_rate": job.format.rate(song.sample_rate),
                "channels": job.format.channels(song.channels),
                "frames": job.format.frames(song.frames, song.sample_rate),
                "sum_error": self.sum.decibels if self.summed else None,
            },
            earlier=self._earlier(stems),
        )

    def _is_dropped(self, writer: Writer) -> bool:
        return writer.peak < SILENT and self.job.options.drop_silent and not self.job.format.holds_all

    def _facts(self, name: str, weights: Sequence[float]) -> dict[str, Any]:
        writer = self.writers[name]
        dropped = self._is_dropped(writer)
        return {
            "file": None if dropped else self.job.name(self.job.targets[name]),
            "size": None if dropped else self.whole_size or writer.size,
            "weights": list(weights),
            "peak": float(f"{writer.peak:.6g}"),
            "clipped": writer.clipped,
            "energy_share": float(f"{writer.energy / self.energy:.4g}") if self.energy else 0.0,
            "silent": writer.peak < SILENT,
        }

    def close(self) -> None:
        """Remove the hidden folder, and the files in it that have not got their names."""
        self.cleanup.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def marked(tags: Texts, name: str) -> Texts:
    """Return a song's tags for one of its stems, which the title names."""
    titles = tuple(f"{title} ({name})" for title in tags.get("title", ()))
    return {**tags, "title": titles} if titles else tags

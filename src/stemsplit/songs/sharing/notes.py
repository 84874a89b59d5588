"""Keeps notes in an output folder, a file for each fact, that many machines write and that each of them reads.

A note tells of a song that failed, or of a run that ended. Notes lie in the folder `stemsplit-notes`. They are for
people, for `stemsplit status` and for `tries`. Which songs are done is decided by their records alone.
"""

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from itertools import islice
from typing import Any

from stemsplit.disk.owner import this_host
from stemsplit.errors import AudioError
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job, Options
from stemsplit.songs.known_failures import settings_of
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.record import LIMIT as RECORD_LIMIT
from stemsplit.songs.sharing.note_forms import (
    FOLDER,
    LIMIT,
    LONGEST,
    MOST_SAID,
    NAMES,
    VERSION,
    Failure,
    Run,
    Said,
    digest_of,
    failure_in,
    name_of,
    run_in,
)
from stemsplit.songs.sharing.place import Place

__all__ = ["FOLDER", "Failure", "Notes", "Run", "Said", "all_notes", "contents", "name_of", "state_of", "this_host"]

READ_TOGETHER = 512
"""Number of files that are read before their contents are handed on, where several are read at once."""


def state_of(song: Job | Found) -> str:
    """Return what tells, the same on every machine, whether a song's file has changed; empty if it is missing.

    It begins with the size of the file in bytes.
    """
    if song.elsewhere:
        return song.elsewhere.state
    try:
        now = song.path.stat()
    except OSError:
        return ""
    return f"{now.st_size} {now.st_mtime_ns}"


def shown(song: Found) -> str:
    """Return the song as people and scripts read it."""
    return song.elsewhere.song if song.elsewhere else str(song.path)


def is_away(song: Found) -> bool:
    """Return whether a song is not a file of this machine."""
    return bool(song.elsewhere and song.elsewhere.fetches)


def batch_of(options: Options) -> str:
    """Return a digest of the settings that is the same on every machine, whatever is installed there."""
    settings: list[Any] = [options.model, options.format.name, options.format.bits, options.format.bitrate]
    settings += [options.like_source, options.start, options.duration, options.track, options.drop_silent]
    settings += [(output.name, output.gains) for output in options.outputs]
    text = json.dumps(settings, default=lambda value: dict(value) if isinstance(value, Mapping) else str(value))
    return digest_of(text.encode("utf-8", "surrogatepass"))[:16]


# Reading


def contents(place: Place, names: Iterable[str], limit: int) -> Iterator[tuple[str, bytes | None]]:
    """Yield the contents of files, in their order; None for what is not there, or too large.

    Raises:
        AudioError: one cannot be read.
    """
    if place.reads_at_once == 1:
        for name in names:
            yield name, place.read(name, limit)
        return
    with ThreadPoolExecutor(place.reads_at_once, "notes") as several:
        left = iter(names)
        while some := list(islice(left, READ_TOGETHER)):
            yield from zip(some, several.map(lambda name: place.read(name, limit), some), strict=True)


def all_notes(place: Place, names: Iterable[str]) -> Iterator[Failure | Run | str]:
    """Read the notes.

    Args:
        place: output folder.
        names: names of files in it, of which those of notes are read.

    Yields:
        Failures and runs; and the name of each file that has the name of a note but is not one.

    Raises:
        AudioError: a note cannot be read.
    """
    for name, content in contents(place, filter(NAMES.fullmatch, names), LIMIT):
        if content is not None:
            yield (failure_in(content, name) if "/failed-" in name else run_in(content)) or name


# Writing


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _written(kind: str, note: Mapping[str, Any]) -> bytes:
    return json.dumps({f"stemsplit_{kind}": VERSION, **note}, indent=2).encode() + b"\n"


class Notes:
    """The notes of this run, and what others' notes say of its songs.

    Args:
        place: output folder.
        options: settings of the run.
        host: name of this machine.
        shard: shard of the songs, such as "3/16"; empty for all.
        tell: called with a message, once, if notes cannot be written.
    """

    def __init__(
        self, place: Place, options: Options, host: str, shard: str = "", tell: Callable[[str], object] = lambda _: None
    ) -> None:
        self.place, self.host, self.shard, self.tell = place, _shortened(host), shard, tell
        self.settings, self.batch = settings_of(options), batch_of(options)
        self.name = f"{FOLDER}/run-{os.urandom(8).hex()}.json"
        self.failed = False
        """Whether a note could not be written."""

    def _record(self, job: Job) -> str:
        return job.below(job.record).as_posix()

    def _stems(self, record: str) -> str | None:
        content = self.place.read(record, RECORD_LIMIT)
        return None if content is None else digest_of(content)

    def known(self, job: Job) -> Failure | None:
        """Return how a song failed, here or elsewhere; None if it did not, or changed since, or other settings hold.

        Raises:
            AudioError: the notes cannot be read.
        """
        record = self._record(job)
        content = self.place.read(name_of(record), LIMIT)
        found = failure_in(content, name_of(record)) if content is not None else None
        if found is None or (found.state, found.settings) != (state_of(job), self.settings):
            return None
        return None if found.is_past(self._stems(record)) else found

    def add(self, outcome: Outcome) -> None:
        """Write a note if a song failed. It is written at once: this machine may be gone before the run ends."""
        if not outcome.error:
            return
        try:
            self._add(outcome)
        except AudioError as error:
            self._warn(error)

    def _add(self, outcome: Outcome) -> None:
        job, record = outcome.job, self._record(outcome.job)
        before = self.known(job)
        said = (*(before.said if before else ()), self._said(outcome))[-MOST_SAID:]
        failure = Failure(job.song, record, state_of(job), self.settings, self._stems(record), said)
        self._write(name_of(record), _written("failure", asdict(failure)))

    def settle(self, job: Job) -> None:
        """Let the note on a song that failed be a past one, as the stems that were there already are those wanted."""
        record = self._record(job)
        try:
            content = self.place.read(name_of(record), LIMIT)
            found = failure_in(content, name_of(record)) if content is not None else None
            if found and not found.is_past(self._stems(record)):
                self._write(name_of(record), _written("failure", asdict(replace(found, stems=None))))
        except AudioError as error:
            self._warn(error)

    def _said(self, outcome: Outcome) -> Said:
        counts = not (outcome.blameless or outcome.job.problem)
        return Said(self.host, _shortened(outcome.error), counts=counts)

    def _write(self, name: str, data: bytes) -> None:
        """Write a note, unless something that is not a note is in its place."""
        there = self.place.read(name, LIMIT)
        if there is not None and not isinstance(next(all_notes(self.place, [name]), name), Failure | Run):
            raise AudioError(f"cannot write {self.place.shown(name)} (what is there is not a note); move it away")
        self.place.write(name, data)

    def close(self, summary: Mapping[str, Any]) -> None:
        """Write a note on this run.

        Args:
            summary: totals, as the last line of `split --json` has them.
        """
        run = Run(self.host, self.shard, self.batch, round(time.time(), 3), summary)
        try:
            self._write(self.name, _written("run", asdict(run)))
        except AudioError as error:
            self._warn(error)

    def _warn(self, error: AudioError) -> None:
        if not self.failed:
            self.failed = True
            self.tell(f"{error}; `stemsplit status` will not know of it")

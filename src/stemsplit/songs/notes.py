"""Keeps notes in an output folder, a file for each fact, that many machines write and that each of them reads.

A note tells of a song that failed, or of a run that ended. Notes lie in the folder `stemsplit-notes`, and are read as
if a stranger had written them. They are for people, for `stemsplit status` and for the order of trials: which songs
are done is decided by their records alone.
"""

import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any, TypeVar

from stemsplit.disk.folder import is_plain
from stemsplit.errors import AudioError
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job, Options, Outcome
from stemsplit.songs.known_failures import settings_of
from stemsplit.songs.place import Place
from stemsplit.songs.record import LIMIT as RECORD_LIMIT

FOLDER = "stemsplit-notes"
"""Folder of the notes, in the output folder."""

VERSION, LIMIT = 1, 200_000
"""Version of the form of a note, and its largest size in bytes."""

LONGEST, MOST_SAID = 2_000, 8
"""Longest text in a note, and largest number of failures that are remembered of a song: the last ones."""

READ_TOGETHER = 512
"""Number of files that are read before their contents are handed on, where several are read at once."""

Note = TypeVar("Note")


@dataclass(frozen=True, slots=True)
class Said:
    """What a machine said when a song failed there.

    Args:
        host: name of the machine.
        error: message.
    """

    host: str
    error: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A song that failed.

    Args:
        song: the song, as the message of the last failure names it.
        record: name of the song's record, relative to the output folder.
        state: what tells whether the song's file has changed since; see `state_of`.
        settings: digest of the settings, and of the program.
        stems: digest of the record that was there when the song failed; None if there was none.
        said: failures of the same song with the same settings, the last one last.
    """

    song: str
    record: str
    state: str
    settings: str
    stems: str | None
    said: tuple[Said, ...]

    def is_past(self, digest: str | None) -> bool:
        """Return whether the song was split since it failed.

        Args:
            digest: digest of the song's record as it is now; None if there is none.
        """
        return digest is not None and digest != self.stems


@dataclass(frozen=True, slots=True)
class Run:
    """A run that ended, on one machine.

    Args:
        host: name of the machine.
        shard: share of the songs, such as "3/16"; empty for all.
        batch: digest of the settings, equal on all machines: runs of one batch belong together.
        ended: time at which it ended, in seconds since 1970, by the clock of that machine.
        summary: totals, as the last line of `split --json` has them.
    """

    host: str
    shard: str
    batch: str
    ended: float
    summary: Mapping[str, Any]


COUNTS = ("songs", "done", "skipped", "failed", "exit_status")
"""Whole numbers of a summary that are merged."""

TIMES = ("duration", "seconds")
"""Times of a summary that are merged, in seconds."""

SHARD = re.compile(r"([1-9]\d{0,6})/([1-9]\d{0,6})", re.ASCII)
"""Matches a share of the songs."""

NAMES = re.compile(rf"{FOLDER}/(failed|run)-[0-9a-f]{{16}}\.json")
"""Matches the name of a note, relative to the output folder."""


def this_host() -> str:
    """Return the name of this machine."""
    return platform.node()


def digest_of(content: bytes) -> str:
    """Return the digest of a file's content, as notes have it."""
    return hashlib.sha256(content).hexdigest()


def name_of(record: str) -> str:
    """Return the name of the note on a song's failures.

    Args:
        record: name of the song's record, relative to the output folder.
    """
    return f"{FOLDER}/failed-{digest_of(os.fsencode(record))[:16]}.json"


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


# Parsing


def _is_text(value: object, longest: int = LONGEST) -> bool:
    return isinstance(value, str) and len(value) <= longest


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 10_000 and all(map(is_plain, value.split("/")))


def _is_said(value: object) -> bool:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_SAID:
        return False
    return all(isinstance(one, dict) and one.keys() == {"host", "error"} and _are_texts(one) for one in value)


def _are_texts(value: Mapping[str, object]) -> bool:
    return all(map(_is_text, value.values()))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**40


def _is_time(value: object) -> bool:
    return type(value) in (int, float) and 0 <= value < 1e15  # type: ignore[operator]  # a number


def _is_summary(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    return all(_is_count(value.get(key)) for key in COUNTS) and all(_is_time(value.get(key)) for key in TIMES)


def _is_shard(value: object) -> bool:
    if value == "":
        return True
    match = SHARD.fullmatch(value) if isinstance(value, str) else None
    return bool(match) and int(match[1]) <= int(match[2])  # type: ignore[index]  # it is a match


FAILED: Mapping[str, Callable[[object], bool]] = {
    "song": lambda value: _is_text(value, 10_000),
    "record": _is_name,
    "state": _is_text,
    "settings": _is_digest,
    "stems": lambda value: value is None or _is_digest(value),
    "said": _is_said,
}

RAN: Mapping[str, Callable[[object], bool]] = {
    "host": _is_text,
    "shard": _is_shard,
    "batch": _is_text,
    "ended": _is_time,
    "summary": _is_summary,
}
"""Part of a note -> check of its value. A file of any other form is not a note."""


def _parsed(content: bytes, kind: str, checks: Mapping[str, Callable[[object], bool]]) -> dict[str, Any] | None:
    """Return the parts of a note; None if it is not one of this kind and version."""
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict) or found.pop(f"stemsplit_{kind}", None) != VERSION or found.keys() != checks.keys():
        return None
    return found if all(checks[key](found[key]) for key in found) else None


def failure_in(content: bytes, name: str) -> Failure | None:
    """Return what a note says of a song's failures; None if it is not such a note, or not of this name."""
    found = _parsed(content, "failure", FAILED)
    if found is None or name_of(found["record"]) != name:
        return None
    return Failure(**{**found, "said": tuple(Said(**one) for one in found["said"])})


def run_in(content: bytes) -> Run | None:
    """Return what a note says of a run; None if it is not such a note."""
    found = _parsed(content, "run", RAN)
    return Run(**found) if found is not None else None


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
        shard: share of the songs, such as "3/16"; empty for all.
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
        said = (*(before.said if before else ()), Said(self.host, _shortened(outcome.error)))[-MOST_SAID:]
        failure = Failure(job.song, record, state_of(job), self.settings, self._stems(record), said)
        self._write(name_of(record), _written("failure", asdict(failure)))

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

"""Remembers songs that cannot be read, in the output folder, so that a nightly batch does not fail by them for ever."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stemsplit.audio import examine
from stemsplit.disk import Folder, replacing
from stemsplit.errors import AudioError
from stemsplit.libraries import version
from stemsplit.songs.failures import is_foreign
from stemsplit.songs.find import Search
from stemsplit.songs.job import Job, Options
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.remarks import few
from stemsplit.words import counted

FILE = "stemsplit-failures.json"
"""Name of the list in the output folder."""

VERSION, LIMIT, LONGEST = 1, 64_000_000, 2_000
"""Version of the list's form, largest size of the list in bytes, and longest message in it."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A song that could not be read.

    Args:
        size: size of its file in bytes.
        modified: time at which the file was last written, in nanoseconds.
        changed: time at which anything about the file was last changed, in nanoseconds.
        error: what was said of it.
    """

    size: int
    modified: int
    changed: int
    error: str

    def is_of(self, song: Path) -> bool:
        """Return whether a song's file is still as it was when it failed."""
        try:
            now = song.stat()
        except OSError:
            return False
        return (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (self.size, self.modified, self.changed)


CHECKS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("size", "modified", "changed"), lambda value: type(value) is int),
    "error": lambda value: isinstance(value, str) and len(value) <= LONGEST,
}


def parsed(content: bytes) -> dict[str, Failure]:
    """Parse the content of a list: settings and path of each song -> its failure; empty if the list is damaged."""
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return {}
    songs = found.get("songs") if isinstance(found, dict) and found.get("stemsplit_failures") == VERSION else None
    return {
        path: Failure(**facts)
        for path, facts in (songs.items() if isinstance(songs, dict) else ())
        if isinstance(facts, dict) and facts.keys() == CHECKS.keys() and all(CHECKS[key](facts[key]) for key in facts)
    }


def settings_of(options: Options) -> str:
    """Return a digest of what decides, besides the song, whether it can be split: this program and the options."""
    names = ("start", "duration", "track", "like_source", "drop_silent")
    settings: list[Any] = [version("stemsplit"), bool(shutil.which("ffmpeg")), options.model]
    settings += [options.format.name, options.format.bits, *(getattr(options, name) for name in names)]
    settings += [(output.name, output.gains) for output in options.outputs]
    text = json.dumps(settings, default=lambda value: dict(value) if isinstance(value, Mapping) else str(value))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def failure_of(song: Path, options: Options) -> Failure | None:
    """Read a song that failed once more; None if it can be read, or if that failed for another reason than the song."""
    try:
        before = song.stat()
        with song.open("rb") as file:
            file.read(1)
    except OSError:
        return None
    try:
        examine(song, options.start, options.duration, track=options.track)
    except AudioError as error:
        if is_foreign(error):
            return None
        said = str(error)[:LONGEST]
        return Failure(before.st_size, before.st_mtime_ns, before.st_ctime_ns, said)
    except (OSError, MemoryError, ValueError):
        return None
    return None


class KnownFailures:
    """The songs that could not be read in earlier runs with the same output folder.

    Args:
        options: settings of the run.
    """

    def __init__(self, options: Options) -> None:
        self.options, self.settings = options, settings_of(options)
        self.out = os.path.realpath(options.out)
        self.ended: dict[Path, bool] = {}
        """Song of this run -> whether it failed."""
        self.known = self._read()

    def _read(self) -> dict[str, Failure]:
        try:
            with Folder(self.options.out) as folder:
                return parsed(folder.read(FILE, LIMIT))
        except OSError:
            return {}

    def _key(self, song: Path) -> str:
        """Return the settings' digest, and the path of a song from the output folder: both may be moved together."""
        real = os.path.realpath(song)
        try:
            place = Path(os.path.relpath(real, self.out)).as_posix()
        except ValueError:  # another drive
            place = real
        return f"{self.settings} {place}"

    def without(self, jobs: Sequence[Job], found: Search) -> tuple[list[Job], Search]:
        """Return the jobs without the songs that failed and have not changed since, which are counted instead.

        The jobs are planned with these songs, so that the names of the others are the same as before.
        """
        failed = {} if self.options.force else {job.path: self._unchanged(job.path) for job in jobs}
        said = [failure.error for failure in failed.values() if failure]
        if not said:
            return list(jobs), found
        note = f"{counted(len(said), 'known failure')} passed over: {few(said)}; without --skip-known-failures, "
        note += "it is tried again" if len(said) == 1 else "they are tried again"
        left = [job for job in jobs if not failed[job.path]]
        return left, replace(found, known_failures=len(said), notes=(*found.notes, note))

    def _unchanged(self, song: Path) -> Failure | None:
        failure = self.known.get(self._key(song))
        return failure if failure and failure.is_of(song) else None

    def add(self, outcome: Outcome) -> None:
        """Take note of what became of a song; `write` looks at those that failed once more."""
        if not outcome.not_tried:
            self.ended[outcome.job.path] = bool(outcome.error)

    def write(self) -> None:
        """Write the list anew, with the songs of this run, unless nothing about them has changed.

        Raises:
            OSError: it cannot be written.
        """
        before = self._read()  # again: another process may have written it meanwhile
        now, places = dict(before), {self._key(song).partition(" ")[2]: song for song in self.ended}
        for key, failure in before.items():
            song = places.get(key.partition(" ")[2])
            if song and not failure.is_of(song):
                del now[key]  # of whatever settings
        for song, failed in self.ended.items():
            if failed and (new := failure_of(song, self.options)):
                now[self._key(song)] = new
            elif not failed:
                now.pop(self._key(song), None)
        if now == before:
            return
        content = {"stemsplit_failures": VERSION, "songs": {key: asdict(now[key]) for key in sorted(now)}}
        self.options.out.mkdir(parents=True, exist_ok=True)
        with replacing(self.options.out / FILE) as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")

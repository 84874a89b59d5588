"""Remembers songs that cannot be read, in the output folder, so that a nightly batch does not fail by them for ever."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from stemsplit.audio import examine
from stemsplit.disk import Folder, replacing
from stemsplit.errors import AudioError
from stemsplit.libraries import version
from stemsplit.songs.find import Search, few
from stemsplit.songs.job import Options, Outcome
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
        settings: digest of all else that decides whether the song can be split.
        error: what was said of it.
    """

    size: int
    modified: int
    changed: int
    settings: str
    error: str


CHECKS: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("size", "modified", "changed"), lambda value: type(value) is int),
    **dict.fromkeys(("settings", "error"), lambda value: isinstance(value, str) and len(value) <= LONGEST),
}


def parsed(content: bytes) -> dict[str, Failure]:
    """Parse the content of a list: path of each song, from the output folder -> its failure; empty if it is damaged."""
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
    names = ("start", "duration", "like_source", "drop_silent")
    settings: list[Any] = [version("stemsplit"), bool(shutil.which("ffmpeg")), options.model]
    settings += [options.format.name, options.format.bits, *(getattr(options, name) for name in names)]
    settings += [(output.name, output.gains) for output in options.outputs]
    text = json.dumps(settings, default=lambda value: dict(value) if isinstance(value, Mapping) else str(value))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def is_foreign(error: BaseException) -> bool:
    """Return whether an error came from the machine rather than from the song: no permission, no memory, no program."""
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__  # type: ignore[assignment]  # one of them is there
        if isinstance(error, OSError | MemoryError):
            return True
    return False


def failure_of(song: Path, options: Options, settings: str) -> Failure | None:
    """Read a song that failed once more; None if it can be read, or if that failed for another reason than the song."""
    try:
        before = song.stat()
        with song.open("rb") as file:
            file.read(1)
    except OSError:
        return None
    try:
        examine(song, options.start, options.duration)
    except AudioError as error:
        if is_foreign(error):
            return None
        said = str(error)[:LONGEST]
        return Failure(before.st_size, before.st_mtime_ns, before.st_ctime_ns, settings, said)
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

    def _place(self, song: Path) -> str:
        """Return the path of a song from the output folder, so that both can be moved together."""
        real = os.path.realpath(song)
        try:
            return Path(os.path.relpath(real, self.out)).as_posix()
        except ValueError:  # another drive
            return real

    def without(self, found: Search) -> Search:
        """Return what was found without the songs that failed and have not changed since, which are counted instead."""
        if self.options.force or not self.known:
            return found
        failed = {each.path: failure for each in found.songs if (failure := self._unchanged(each.path))}
        if not failed:
            return found
        said = few(f"{path} ({failure.error})" for path, failure in failed.items())
        note = f"{counted(len(failed), 'known failure')} passed over: {said}; --force tries again"
        songs = tuple(each for each in found.songs if each.path not in failed)
        return replace(found, songs=songs, known_failures=len(failed), notes=(*found.notes, note))

    def _unchanged(self, song: Path) -> Failure | None:
        failure = self.known.get(self._place(song))
        if not failure or failure.settings != self.settings:
            return None
        try:
            now = song.stat()
        except OSError:
            return None
        same = (now.st_size, now.st_mtime_ns, now.st_ctime_ns) == (failure.size, failure.modified, failure.changed)
        return failure if same else None

    def add(self, outcome: Outcome) -> None:
        """Take note of what became of a song; `write` looks at those that failed once more."""
        self.ended[outcome.job.path] = bool(outcome.error)

    def write(self) -> None:
        """Write the list anew, with the songs of this run, unless nothing about them has changed.

        Raises:
            OSError: it cannot be written.
        """
        before = self._read()  # again: another process may have written it meanwhile
        now = dict(before)
        for song, failed in self.ended.items():
            failure = failure_of(song, self.options, self.settings) if failed else None
            if failure:
                now[self._place(song)] = failure
            elif not failed:
                now.pop(self._place(song), None)
        if now == before:
            return
        content = {"stemsplit_failures": VERSION, "songs": {place: asdict(now[place]) for place in sorted(now)}}
        self.options.out.mkdir(parents=True, exist_ok=True)
        with replacing(self.options.out / FILE) as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")

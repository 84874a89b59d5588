"""Reads what earlier runs left in the places of many songs, each of them once.

Most records of a library are just as this run would write them, but for names, sizes and figures. Those are recognised
by their text, in a tenth of the time that parsing takes; all others are parsed.
"""

import json
import os
import re
import stat
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from stemsplit.audio import Format
from stemsplit.disk.folder import read_unlinked
from stemsplit.errors import PlaceError
from stemsplit.songs import record
from stemsplit.songs.job import Job, Options

TEXT = r'"(?:[ !#-\[\]-~]++|\\["\\bfnrt]|\\u[0-9a-f]{4})*+"'
"""Pattern of a text as Python writes it in JSON."""

VALUES = {
    "text": rf"({TEXT})",
    "text or null": rf"({TEXT}|null)",
    "digest": '"([0-9a-f]{64})"',
    "count": r"(\d{1,18})",
    "count or null": r"(\d{1,18}|null)",
    "any": r"(?:-?\d{1,18}(?:\.\d{1,18})?(?:e-?\d{1,2})?|null|true|false)",
}
"""What stands in for a value in a made-up record -> pattern of the values that a record may have there."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the record in a song's place says.

    Args:
        name: name of the song's file.
        size: its size in bytes.
        sha256: its digest.
        fits: whether the stems are those of a run with the same model and options, and all there; False if that was
            not looked at, because they are elsewhere.
    """

    name: str
    size: int
    sha256: str
    fits: bool

    @classmethod
    def of(cls, found: record.Record, fits: bool) -> Self:
        """Return what a record says."""
        return cls(found.song["name"], found.song["size"], found.song["sha256"], fits)


class Standings:
    """Reads the records in the places of a run's songs.

    Args:
        options: settings of the run.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self.known: dict[str, Standing] = {}
        self._patterns: dict[Format, list[re.Pattern[bytes]]] = {}

    def of(self, job: Job) -> Standing | None:
        """Return what the record in a song's place says; None if there is none."""
        place = f"{job.folder}/{job.names.record}"
        found = self.known.get(place) or self._read(job, place)
        if found:
            self.known[place] = found
        return found

    def taken(self, job: Job, place: str) -> Standing | None:
        """Return the same as `of`, and forget it: a plan may have hundreds of thousands of songs.

        Args:
            job: job of the song.
            place: path of its record.
        """
        return self.known.pop(place, None) or self._read(job, place)

    def _read(self, job: Job, place: str) -> Standing | None:
        if job.elsewhere and job.elsewhere.sends:
            try:
                found = job.recorded()
            except PlaceError:  # as for a file below: it is told when the song's turn comes
                return None
            return Standing.of(found, fits=False) if found else None
        try:
            content = read_unlinked(place, record.LIMIT)
        except OSError:
            return None
        if usual := next(filter(None, (pattern.fullmatch(content) for pattern in self._forms(job))), None):
            name, length, digest, *files = usual.groups()
            if [file == b"null" for file in files[::2]] != [size == b"null" for size in files[1::2]]:
                return None  # it is not a record
            return Standing(_text(name), int(length), digest.decode(), _are_there(job, files))
        found = record.parsed(content)
        return Standing.of(found, _fits(job, found)) if found else None

    def _forms(self, job: Job) -> list[re.Pattern[bytes]]:
        """Return patterns that match the records of this run's songs in a format, or of an earlier version's."""
        if job.format not in self._patterns:
            song = dict(zip(record.SONG, ("text", "count", "digest"), strict=True))
            stems: dict[str, dict[str, Any]] = {
                output.name: {
                    **dict.fromkeys(record.STEM, "any"),
                    "file": "text or null",
                    "size": "count or null",
                    "weights": output.gains,
                }
                for output in self.options.outputs
            }
            figures = dict.fromkeys(record.FIGURES, "any")
            self._patterns[job.format] = [
                _as_pattern(record.Record(song, model, job.recorded_options, stems, figures))
                for model in (self.options.model, *self.options.earlier_models)
            ]
        return self._patterns[job.format]


def _as_pattern(made: record.Record) -> re.Pattern[bytes]:
    """Return a pattern of a record in which the keys of `VALUES` stand in for values."""
    song, rest = made.text().split('  "model": ', 1)
    kept, stems = rest.rsplit('  "stems": ', 1)
    parts = [re.escape(song), re.escape(f'  "stems": {stems}')]
    for stand_in, pattern in VALUES.items():
        parts = [part.replace(re.escape(f'"{stand_in}"'), pattern) for part in parts]
    return re.compile((parts[0] + re.escape(f'  "model": {kept}') + parts[1]).encode())


def _text(found: bytes) -> str:
    """Return a text that is given as JSON, quickly if it has no escapes."""
    return str(json.loads(found)) if b"\\" in found else found[1:-1].decode()


def _size_of(path: str) -> int | None:
    """Return the size in bytes of a regular file; None for anything else, a link included."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@lru_cache(256)
def _as_json(value: str | int | None) -> bytes:
    return json.dumps(value).encode()


def _are_there(job: Job, said: Sequence[bytes]) -> bool:
    """Return whether the files of all outputs are there.

    Args:
        job: job of the song.
        said: the name of each output's file and its size, as JSON, from the song's record.
    """
    beside = job.names.record.rpartition("/")[0]
    for file, name, size in zip(job.files, said[::2], said[1::2], strict=True):
        if name == b"null":
            continue  # silent
        folder, _, last = file.rpartition("/")
        expected = last if folder == beside else job.name(job.folder / file)
        if name != _as_json(expected) or int(size) != _size_of(f"{job.folder}/{file}"):
            return False
    return True


def _fits(job: Job, found: record.Record) -> bool:
    """Return whether all outputs exist already, made in the same way; see `Job.is_done`."""
    if not job.options.is_model(found.model) or not record.same(found.options, job.recorded_options):
        return False
    said: list[bytes] = []
    for output in job.options.outputs:
        facts: Mapping[str, Any] = found.stems.get(output.name, {})
        if facts.get("weights") != list(output.gains):
            return False
        said += [_as_json(facts[key]) for key in ("file", "size")]
    return _are_there(job, said)

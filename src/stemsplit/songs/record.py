"""The record beside a song's stems: from what they were made, and, by being there, that they are whole."""

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.disk import Folder
from stemsplit.disk.files import sha256
from stemsplit.disk.folder import is_plain

VERSION = 1
"""Of the record's form; an older stemsplit takes a newer record for none."""


@dataclass(frozen=True)
class Record:
    """What a song's stems were made from, and what they are. It is the same whenever and wherever they are made.

    Args:
        song: the song's file: name, size in bytes, sha256.
        model: name, digest of its weights, hyperparameters.
        options: what else decides what the stems are.
        stems: name -> its file's name, size in bytes and figures.
        figures: of the song as a whole.
        earlier: files that earlier runs with other options left here, with their sizes.
    """

    song: Mapping[str, Any]
    model: Mapping[str, Any]
    options: Mapping[str, Any]
    stems: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, Any] = field(default_factory=dict)
    earlier: Mapping[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """The record as it is written."""
        content = {"stemsplit_record": VERSION, **vars(self)}
        return json.dumps(content, indent=2, ensure_ascii=True, default=_plain) + "\n"

    @property
    def files(self) -> dict[str, int]:
        """All files that stemsplit wrote here, as seen from the record's folder, with their sizes."""
        return {**self.earlier, **{facts["file"]: facts["size"] for facts in self.stems.values() if facts["file"]}}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} has no place in a record")


LIMIT = 16_000_000
"""Bytes of a record: a song of a thousand stems has less."""

DEEPEST = 20
"""Levels of what a record says of model and options."""


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # type: ignore[arg-type]  # also false if it is none


def _is_name(value: object) -> bool:
    """Whether a text names a file by its way from the record's folder, in the one form that this program writes."""
    if not isinstance(value, str) or not value or len(value) > 10_000:
        return False
    steps = value.split("/")
    while steps and steps[0] == "..":
        del steps[0]
    return bool(steps) and all(map(is_plain, steps))


def _is_plain_data(value: object, depth: int = DEEPEST) -> bool:
    """Whether a value is what JSON can say, of sensible depth and without infinities."""
    if isinstance(value, dict):
        return depth > 0 and all(_is_plain_data(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain_data(item, depth - 1) for item in value)
    return value is None or isinstance(value, str | bool) or _is_number(value)


def _or_none(is_valid: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or is_valid(value)


def _has(schema: Mapping[str, Callable[[object], bool]], value: object) -> bool:
    """Whether a value is a dictionary of exactly these keys, each with a value that its check accepts."""
    return isinstance(value, dict) and value.keys() == schema.keys() and all(schema[key](value[key]) for key in schema)


SONG = {
    "name": lambda value: isinstance(value, str),
    "size": _is_count,
    "sha256": lambda value: isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value)),
}

STEM = {
    "file": _or_none(_is_name),
    "size": _or_none(_is_count),
    "weights": lambda value: isinstance(value, list) and all(map(_is_number, value)),
    "peak": _is_number,
    "clipped": _is_count,
    "energy_share": _is_number,
    "silent": lambda value: isinstance(value, bool),
}

FIGURES = {
    "duration": _is_number,
    "sample_rate": _is_count,
    "channels": _is_count,
    "frames": _is_count,
    "sum_error": _or_none(_is_number),
}


def _is_stem(value: object) -> bool:
    return _has(STEM, value) and (value["file"] is None) == (value["size"] is None)  # type: ignore[index]


def _is_earlier(value: object) -> bool:
    return isinstance(value, dict) and all(map(_is_name, value)) and all(map(_is_count, value.values()))


SCHEMA: Mapping[str, Callable[[object], bool]] = {
    "song": lambda value: _has(SONG, value),
    "model": lambda value: isinstance(value, dict) and _is_plain_data(value),
    "options": lambda value: isinstance(value, dict) and _is_plain_data(value),
    "stems": lambda value: isinstance(value, dict) and all(map(is_plain, value)) and all(map(_is_stem, value.values())),
    "figures": lambda value: _has(FIGURES, value),
    "earlier": _is_earlier,
}
"""What each part of a record holds. A file of any other form is not a record."""


def parsed(content: bytes) -> Record | None:
    """The record that a file's content is; None if it is not one of this version, whole and well-formed."""
    try:
        found = json.loads(content.decode("utf-8"))
        if not isinstance(found, dict) or found.pop("stemsplit_record", None) != VERSION or not _has(SCHEMA, found):
            return None
        return Record(**found)
    except (ValueError, RecursionError):
        return None


def read(path: Path) -> Record | None:
    """The record of that name; None if there is none, or what is there is a link or not a record."""
    try:
        with Folder(path.parent) as folder:
            return parsed(folder.read(path.name, LIMIT))
    except OSError:
        return None


def same(read: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether part of a record that was read says what would be written now."""
    return bool(read == json.loads(json.dumps(now, default=_plain)))


def unchanged(song: Path, record: Record, written: Path) -> bool:
    """Whether a song is still the one that a record is of.

    Args:
        song: its file.
        record: what was recorded.
        written: the record's own file, whose time tells when that was.
    """
    now = song.stat()
    if now.st_size != record.song.get("size"):
        return False
    # Neither written, nor moved here, nor touched in any other way since; a record of the future tells nothing of that.
    if max(now.st_mtime_ns, now.st_ctime_ns) < written.stat().st_mtime_ns <= time.time_ns():
        return True
    return sha256(song) == record.song.get("sha256")

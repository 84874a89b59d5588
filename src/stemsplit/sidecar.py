"""The record beside a song's stems: from what they were made, and, by being there, that they are whole."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.weights.digests import sha256

VERSION = 1
"""Of the record's form; an older stemsplit takes a newer record for none."""


EXACT = -200.0
"""The sum error in dB that stands for none at all, which has no logarithm."""


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


def read(path: Path) -> Record | None:
    """The record of that name; None if there is none, or none that can be understood."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content.pop("stemsplit_record") != VERSION:
            return None
        record = Record(**content)
        parts = (*vars(record).values(), *record.stems.values())
        return record if all(isinstance(part, dict) for part in parts) and record.files is not None else None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
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
    # Neither written, nor moved here, nor touched in any other way since.
    if max(now.st_mtime_ns, now.st_ctime_ns) < written.stat().st_mtime_ns:
        return True
    return sha256(song) == record.song.get("sha256")

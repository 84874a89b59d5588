"""Defines and reads the record beside a song's stems: what they were made from. `songs.commit` writes it.

A record is written last, so it also says that the stems are whole.
"""

import json
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.disk import Folder
from stemsplit.disk.digest import sha256
from stemsplit.disk.folder import is_plain

VERSION = 1
"""Version of the record's form. A record of another version is ignored."""


@dataclass(frozen=True)
class Record:
    """What a song's stems were made from, and figures of them; the same whenever and wherever they are made.

    Args:
        song: name, size in bytes and sha256 of the song's file.
        model: name, weights' digest and hyperparameters of the model.
        options: the other settings that decide what the stems are.
        stems: name of each stem -> its file's name, size in bytes, and figures.
        figures: figures of the song as a whole.
        earlier: files beside these that earlier runs with other options wrote, with their sizes.
    """

    song: Mapping[str, Any]
    model: Mapping[str, Any]
    options: Mapping[str, Any]
    stems: Mapping[str, Mapping[str, Any]]
    figures: Mapping[str, Any] = field(default_factory=dict)
    earlier: Mapping[str, int] = field(default_factory=dict)

    def text(self) -> str:
        """Return the record as text, as `songs.commit` writes it."""
        content = {"stemsplit_record": VERSION, **vars(self)}
        return json.dumps(content, indent=2, ensure_ascii=True, default=_plain) + "\n"

    @property
    def files(self) -> dict[str, int]:
        """Sizes of all files of this run and of earlier ones, by their paths relative to the record."""
        return {**self.earlier, **{facts["file"]: facts["size"] for facts in self.stems.values() if facts["file"]}}


def _plain(value: object) -> object:
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{value!r} has no place in a record")


LIMIT = 16_000_000
"""Largest size of a record in bytes; one of a thousand stems is smaller."""

DEEPEST = 20
"""Largest depth of the values in `model` and `options`."""


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value < 2**63


def _is_number(value: object) -> bool:
    return type(value) in (int, float) and abs(value) < 1e300  # type: ignore[arg-type]  # a number


def _is_name(value: object) -> bool:
    """Return whether a value is a file's path relative to the record, in the only form that stemsplit writes."""
    if not isinstance(value, str) or not value or len(value) > 10_000:
        return False
    steps = value.split("/")
    while steps and steps[0] == "..":
        del steps[0]
    return bool(steps) and all(map(is_plain, steps))


def _is_plain_data(value: object, depth: int = DEEPEST) -> bool:
    """Return whether a value is plain JSON data of limited depth, without NaN and infinity."""
    if isinstance(value, dict):
        return depth > 0 and all(_is_plain_data(item, depth - 1) for item in value.values())
    if isinstance(value, list):
        return depth > 0 and all(_is_plain_data(item, depth - 1) for item in value)
    return value is None or isinstance(value, str | bool) or _is_number(value)


def _or_none(is_valid: Callable[[object], bool]) -> Callable[[object], bool]:
    return lambda value: value is None or is_valid(value)


def _has(schema: Mapping[str, Callable[[object], bool]], value: object) -> bool:
    """Return whether a value is a dictionary of exactly these keys, each with a value that its check accepts."""
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
"""Part of a record -> check of its value. A file of any other form is not a record."""


def parsed(content: bytes) -> Record | None:
    """Parse the content of a record's file; None if it is damaged, or of another version."""
    try:
        found = json.loads(content.decode("utf-8"))
        if not isinstance(found, dict) or found.pop("stemsplit_record", None) != VERSION or not _has(SCHEMA, found):
            return None
        return Record(**found)
    except (ValueError, RecursionError):
        return None


def read(path: Path) -> Record | None:
    """Read a record's file; None if it does not exist, is a link, or is not a record."""
    try:
        with Folder(path.parent) as folder:
            return parsed(folder.read(path.name, LIMIT))
    except OSError:
        return None


def plain(now: Mapping[str, Any]) -> Any:
    """Return a part of a record as it is read again after it is written."""
    return json.loads(json.dumps(now, default=_plain))


def same(read: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Return whether a part of a record equals what would be written now."""
    return bool(read == plain(now))


FINE, WHOLE = 100_000_000, 2_500_000_000
"""Time that is longer than a disk's tick, in nanoseconds: of usual disks, and of those that count in whole seconds."""


@dataclass(frozen=True, slots=True)
class State:
    """What tells, without reading a song, whether its file has been changed.

    Args:
        size: bytes.
        modified: time at which the content was last changed, in nanoseconds; anybody may set it.
        changed: time at which anything was last changed, in nanoseconds; nobody can set it.
        file: number of the file.
        seen: time at which the file was looked at, in nanoseconds.
    """

    size: int
    modified: int
    changed: int
    file: int
    seen: int = field(compare=False)

    @property
    def latest(self) -> int:
        """Time of the last change, in nanoseconds.

        A song may be dated in the future, by a camera's or recorder's clock, or by its owner: then only the time that
        nobody can set tells. On Windows, there is none.
        """
        if self.modified > self.seen >= self.changed > 0 and os.name != "nt":
            return self.changed
        return max(self.modified, self.changed)

    @property
    def is_settled(self) -> bool:
        """Whether a change after `seen` would have a later time: disks count in ticks, FAT in 2 s."""
        return self.seen - self.latest > (WHOLE if self.latest % 10**9 == 0 else FINE)


def state(song: Path) -> State:
    """Return the state of a song's file.

    Raises:
        OSError: there is no such file.
    """
    seen, now = time.time_ns(), song.stat()
    return State(now.st_size, now.st_mtime_ns, now.st_ctime_ns, now.st_ino, seen)


def is_newer(written: Path | str, now: State) -> bool:
    """Return whether a record was written after a song's last change. A record from the future proves nothing."""
    return now.latest < os.stat(written).st_mtime_ns <= time.time_ns()  # noqa: PTH116  # it may be a text


def unchanged(song: Path, record: Record, written: Path) -> bool:
    """Return whether a song's file is still as it was when the record was written.

    Args:
        song: file of the song.
        record: record of the song's stems.
        written: file of the record, whose time says when it was written.
    """
    now = state(song)
    if now.size != record.song.get("size"):
        return False
    # The song was not written, moved here or touched since then.
    return is_newer(written, now) or has_digest(song, record.song.get("sha256"))


def has_digest(song: Path, digest: object) -> bool:
    """Return whether a song's file has a digest.

    Raises:
        OSError: it cannot be read.
    """
    return sha256(song) == digest


TICKS = (1_000, 10_000_000, 2_000_000_000)
"""Smallest differences in time, in nanoseconds, of usual disks, of exFAT and of FAT."""


def confirm(song: Path, written: Path, compared: State) -> None:
    """Give a record the time just after its song's last change, so that later runs need not read the song again.

    A library that was moved to another disk has songs newer than their records. The time is that of the song's disk,
    not of this machine's clock, so any later change is later than it. What cannot be done is left.

    Args:
        song: file of the song, whose content is the one that the record names.
        written: file of the record.
        compared: state of the song before its content was compared.
    """
    with suppress(OSError), Folder(written.parent) as folder:
        if is_newer(written, compared) or not compared.is_settled or state(song) != compared:
            return
        descriptor = folder.open(written.name, os.O_RDONLY)
        try:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1 or os.utime not in os.supports_fd:
                return  # not as stemsplit writes it, or on Windows
            for tick in TICKS:
                os.utime(descriptor, ns=(found.st_atime_ns, compared.latest + tick))
                if os.fstat(descriptor).st_mtime_ns > compared.latest:
                    break
        finally:
            os.close(descriptor)

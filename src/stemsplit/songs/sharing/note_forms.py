"""Defines the forms of notes in an output folder, and reads them as if a stranger had written them."""

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from stemsplit.disk.folder import is_plain
from stemsplit.songs.sharing.shards import parsed

FOLDER = "stemsplit-notes"
"""Folder of the notes, in the output folder."""

VERSION, LIMIT = 1, 200_000
"""Version of the form of a note, and its largest size in bytes."""

LONGEST, MOST_SAID = 2_000, 8
"""Longest text in a note, and largest number of failures that are remembered of a song: the last ones."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a machine said when a song failed there.

    Args:
        host: name of the machine.
        error: message.
        counts: whether it speaks against the song: it was tried, and neither the machine nor its disk was the cause.
    """

    host: str
    error: str
    counts: bool = True


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
        shard: shard of the songs, such as "3/16"; empty for all.
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

NAMES = re.compile(rf"{FOLDER}/(failed|run)-[0-9a-f]{{16}}\.json")
"""Matches the name of a note, relative to the output folder."""


def digest_of(content: bytes) -> str:
    """Return the digest of a file's content, as notes have it."""
    return hashlib.sha256(content).hexdigest()


def name_of(record: str) -> str:
    """Return the name of the note on a song's failures.

    Args:
        record: name of the song's record, relative to the output folder.
    """
    return f"{FOLDER}/failed-{digest_of(os.fsencode(record))[:16]}.json"


def _is_text(value: object, longest: int = LONGEST) -> bool:
    return isinstance(value, str) and len(value) <= longest


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and bool(re.fullmatch("[0-9a-f]{64}", value))


def _is_name(value: object) -> bool:
    return isinstance(value, str) and len(value) <= 10_000 and all(map(is_plain, value.split("/")))


def _is_said(value: object) -> bool:
    if not isinstance(value, list) or not 0 < len(value) <= MOST_SAID:
        return False
    return all(isinstance(one, dict) and one.keys() == SAID.keys() and _has(SAID, one) for one in value)


SAID: Mapping[str, Callable[[object], bool]] = {
    **dict.fromkeys(("host", "error"), _is_text),
    "counts": lambda value: type(value) is bool,
}


def _has(checks: Mapping[str, Callable[[object], bool]], value: Mapping[str, object]) -> bool:
    return all(checks[key](value[key]) for key in checks)


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
    try:
        return isinstance(value, str) and str(parsed(value)) == value
    except ValueError:
        return False


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

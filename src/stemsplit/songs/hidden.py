"""Names a song's hidden folder, and the files that are made in it."""

import hashlib
import os

from stemsplit.audio import Format
from stemsplit.choices import FormatName
from stemsplit.songs import trial
from stemsplit.songs.job import Job
from stemsplit.songs.naming import cut, size

COMMIT = "commit.json"
"""Name of the journal in the hidden folder. The journal holds the digest of the new record, and says that all files in
the folder are whole and only have to be moved.
"""

RECORD = "record.json"
"""Name of the new record in the hidden folder."""

LONGEST = 200
"""Longest name of a stem, in bytes, that a hidden file has unchanged."""

WHOLE = "song"
"""Name in the hidden folder of a file that holds a song and all of its stems, without its suffix."""


def finished(stem: str, file_format: Format) -> str:
    """Return the name of the file with a finished stem."""
    if file_format.holds_all:
        return f"{WHOLE}{file_format.suffix}"
    return f"{_short(stem)}{file_format.suffix}"


def written(stem: str, file_format: Format) -> str:
    """Return the name of the file that a stem is first written to: of its own, in any format."""
    return f"{_short(stem)}.{FormatName.m4a}" if file_format.holds_all else finished(stem, file_format)


def _short(stem: str) -> str:
    if size(stem) > LONGEST:
        return f"{cut(stem, LONGEST)}-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:16]}"
    return stem


def listed(job: Job) -> list[str]:
    """Return the names of all files that are made in the hidden folder of a song."""
    stems = [name(output.name, job.format) for name in (written, finished) for output in job.options.outputs]
    return [*dict.fromkeys(stems), *trial.listed(job), RECORD, COMMIT]


def key_of(record: str) -> str:
    """Return the key of the claim on a song, the same on every machine: 16 hexadecimal digits.

    Args:
        record: name of the song's record, relative to the output folder.
    """
    return hashlib.sha256(os.path.normcase(record).encode("utf-8", "surrogatepass")).hexdigest()[:16]

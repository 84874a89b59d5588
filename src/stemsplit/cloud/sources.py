"""Remembers which version of a song its stems were made from, which saves later runs a download.

It is a note in the output folder. It is not part of the record, which is the same wherever a song comes from.
"""

import hashlib
import json
import re

from stemsplit.errors import AudioError
from stemsplit.songs.record import Record
from stemsplit.songs.sharing.note_forms import FOLDER
from stemsplit.songs.sharing.place import Place

LIMIT = 4_000
"""Largest size of a note in bytes."""

VERSION = 1
"""Version of the form of a note."""

DIGEST = re.compile("[0-9a-f]{64}")


def digest(text: str) -> str:
    """Return the digest of a text."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def name_of(record: str) -> str:
    """Return the name of the note of a song, relative to the output folder.

    Args:
        record: name of the song's record, relative to the output folder.
    """
    return f"{FOLDER}/source-{digest(record)[:16]}.json"


def parsed(content: bytes | None) -> tuple[str, str] | None:
    """Return the digests of a record and of a version of its song, out of a note; None if it is not one."""
    try:
        found = json.loads((content or b"").decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    match found:
        case {"stemsplit_source": 1, "record": str(record), "source": str(source)} if len(found) == 3:
            return (record, source) if DIGEST.fullmatch(record) and DIGEST.fullmatch(source) else None
    return None


def noted(place: Place, record: str) -> tuple[str, str] | None:
    """Return the digests of a record and of the version of its song; None if nothing is known."""
    try:
        return parsed(place.read(name_of(record), LIMIT))
    except AudioError:
        return None


def note(place: Place, record: str, found: Record, source: str) -> None:
    """Note which version of a song a record was made from.

    Args:
        place: output folder.
        record: name of the record in it.
        found: the record.
        source: digest of the song's version.

    Raises:
        AudioError: it cannot be written.
    """
    content = {"stemsplit_source": VERSION, "record": digest(found.text()), "source": source}
    place.write(name_of(record), json.dumps(content, indent=2).encode() + b"\n")

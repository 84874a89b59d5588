"""Reads what lies in an output folder: records and whether their stems are whole, notes and claims."""

import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from stemsplit.choices import FormatName
from stemsplit.disk.claim import PREFIX
from stemsplit.songs import naming
from stemsplit.songs.earlier import RECORD
from stemsplit.songs.record import LIMIT, parsed
from stemsplit.songs.sharing import notes
from stemsplit.songs.sharing.note_forms import FOLDER, Failure, Run, digest_of
from stemsplit.songs.sharing.place import ClosedError, Place

AUDIO = tuple(f".{name}" for name in FormatName)


@dataclass(frozen=True, slots=True)
class Kept:
    """What a record in the output folder says.

    Args:
        song: name of the song's file.
        size: size of the song's file, in bytes.
        sha256: digest of the song's file.
        seconds: length of what was split.
        problem: why its stems are not whole; empty if they are.
        failure: how the song failed since; None if it did not.
    """

    song: str
    size: int
    sha256: str
    seconds: float
    problem: str = ""
    failure: Failure | None = None


def normal(text: str) -> str:
    """Return a name with its accents in one form, as some disks give them back in another one than they were given."""
    return unicodedata.normalize("NFC", text)


def key_in(claim: str) -> str:
    """Return the key in the name of a claim, which says which song it is on; see `hidden.key_of`."""
    return claim.removeprefix(PREFIX)[:16]


def is_record(name: str) -> bool:
    """Return whether a file may be a record by its name: that of a stem called `stemsplit`."""
    return name.endswith(".json") and naming.RECORD in naming.folded(name) and not name.startswith(f"{FOLDER}/")


def problem_of(record: str, files: Mapping[str, int], sizes: Mapping[str, int]) -> str:
    """Return which stems of a record are not as it says; empty if all are.

    Args:
        record: name of the record, relative to the output folder.
        files: sizes of its stems, by their names relative to the record.
        sizes: sizes of all audio files, by their names relative to the output folder.
    """
    wrong, own = list[str](), record.split("/")[:-1]
    for name, size in files.items():
        steps = name.split("/")
        ups = steps.count("..")  # at the beginning: a record has no other names
        there = sizes.get(normal("/".join([*own[: len(own) - ups], *steps[ups:]]))) if ups <= len(own) else None
        if there != size:
            wrong.append(f"{name} is {'missing' if there is None else 'changed'}")
    return ", ".join(wrong[:2]) + (f" and {len(wrong) - 2} more" if len(wrong) > 2 else "")


class Contents:
    """What lies in an output folder.

    Args:
        place: output folder.

    Raises:
        AudioError: it does not exist, or cannot be read.
    """

    def __init__(self, place: Place) -> None:
        self.sizes: dict[str, int] = {}
        self.strange, self.runs, self.failures = list[str](), list[Run](), dict[str, Failure]()
        self.closed = ""
        named, noted = list[str](), list[str]()
        try:
            for name, size in place.files():
                if name.endswith(AUDIO):
                    self.sizes[normal(name)] = size
                elif name.startswith(f"{FOLDER}/"):
                    noted.append(name)
                elif is_record(name) and size <= LIMIT:
                    named.append(name)
                elif PurePosixPath(name).name == RECORD:
                    self.strange.append(name)
        except ClosedError as error:
            self.closed = str(error)
        for note in notes.all_notes(place, noted):
            if isinstance(note, Failure):
                self.failures[normal(note.record)] = note
            elif isinstance(note, Run):
                self.runs.append(note)
            else:
                self.strange.append(note)
        self.kept = dict(self._kept(place, sorted(named)))
        claims = sorted(place.claims(), key=lambda claim: claim.name)
        self.claims = [claim for claim in claims if not claim.strange]
        self.strange += [claim.name for claim in claims if claim.strange]

    def _kept(self, place: Place, names: Sequence[str]) -> Iterator[tuple[str, Kept]]:
        for name, content in notes.contents(place, names, LIMIT):
            found = parsed(content) if content is not None else None
            if content is None or found is None:
                if content is not None and PurePosixPath(name).name == RECORD:
                    self.strange.append(name)
                continue
            name = normal(name)  # some disks give accents back in another form
            files = {facts["file"]: facts["size"] for facts in found.stems.values() if facts["file"]}
            failure = self.failures.get(name)
            if failure and failure.is_past(digest_of(content)):
                failure = None
                del self.failures[name]
            song, seconds = found.song, float(found.figures["duration"])
            problem = problem_of(name, files, self.sizes)
            yield name, Kept(normal(song["name"]), song["size"], song["sha256"], seconds, problem, failure)

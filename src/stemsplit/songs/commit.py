"""The journal by which a song's files get their names, all or none, through kills: what it says is checked first."""

import errno
import hashlib
import json
import os
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from stemsplit.audio import Format
from stemsplit.choices import FormatName
from stemsplit.disk import Folder
from stemsplit.disk.claim import Claim, claim, leftovers
from stemsplit.disk.files import size_of
from stemsplit.errors import AudioError
from stemsplit.songs.job import Job
from stemsplit.songs.naming import cut, size
from stemsplit.songs.record import LIMIT, Record, parsed

COMMIT, PART = "commit.json", "commit.part"
"""Says, in a hidden folder, that all files in it are whole, by the digest of their record: from then on they only move.
The other name is its own until it is whole.
"""

RECORD = "record.json"
"""The new record, there."""

LONGEST = 200
"""Bytes of a stem's name that a hidden file takes as it is."""


class CommitError(AudioError):
    """A commit is not one that a run on this song can have left, or what it says cannot be done any more."""


def hidden(stem: str, file_format: Format) -> str:
    """What the file of a stem is called in the hidden folder."""
    if size(stem) > LONGEST:
        stem = f"{cut(stem, LONGEST)}-{hashlib.sha256(os.fsencode(stem)).hexdigest()[:16]}"
    return f"{stem}{file_format.suffix}"


def listed(job: Job) -> list[str]:
    """All files that are made in the hidden folder of a song."""
    return [*(hidden(output.name, job.format) for output in job.options.outputs), RECORD, COMMIT, PART]


def hold(job: Job, tell: Callable[[str], object]) -> Claim:
    """The empty hidden folder in which a song is worked on. What a killed run made whole there gets its names first.

    Args:
        job: the song.
        tell: is told what was found there and not used.

    Raises:
        BusyError: another process is working on it.
        AudioError: it cannot be made.
    """
    out = job.options.out
    place = os.path.normcase(job.record.relative_to(out))
    try:
        out.mkdir(parents=True, exist_ok=True)
        with Folder(out) as folder:
            held = claim(folder, hashlib.sha256(os.fsencode(place)).hexdigest()[:16])
    except BlockingIOError:
        raise
    except OSError as error:
        raise AudioError(f"cannot write into {out} ({error.strerror})") from error
    try:
        carry_out(held, job)
    except CommitError as error:
        tell(f"what an earlier run left in {held.folder.path} is not used: {error}")
    except OSError as error:
        held.leave()
        raise AudioError(f"cannot write into {out} ({error.strerror})") from error
    try:
        held.begin(listed(job))
    except OSError as error:
        held.release()
        raise AudioError(f"cannot write into {out} ({error.strerror})") from error
    return held


@dataclass(frozen=True)
class Move:
    """A file that is to get its name.

    Args:
        source: its name in the hidden folder.
        folder: of the target, below the output folder.
        name: of the target.
    """

    source: str
    folder: PurePath
    name: str


def _signed(held: Claim) -> str:
    """The digest in a commit."""
    try:
        commit = json.loads(held.folder.read(COMMIT, LIMIT))
    except (ValueError, RecursionError, OSError) as error:
        raise CommitError("its commit cannot be read") from error
    match commit:
        case {"stemsplit_commit": 1, "record": str(digest)} if len(commit) == 2:
            return digest
    raise CommitError("its commit is of another form")


def _is_in_place(job: Job, held: Claim, digest: str) -> bool:
    """Whether the record of a commit has its name already, and so have all files."""
    with suppress(OSError), held.out.descend(job.below(job.record).parent) as folder:
        return hashlib.sha256(folder.read(job.record.name, LIMIT)).hexdigest() == digest
    return False


def _record(held: Claim, digest: str) -> Record:
    """The record that a commit signs."""
    try:
        content = held.folder.read(RECORD, LIMIT)
    except OSError as error:
        raise CommitError("its record cannot be read") from error
    record = parsed(content) if hashlib.sha256(content).hexdigest() == digest else None
    if record is None:
        raise CommitError("its record is not the one that was committed")
    return record


def _moves(held: Claim, job: Job, record: Record) -> list[Move]:
    """What is still to be moved.

    Raises:
        CommitError: the record is not of this song, a file is not as it says, or something is in the way of one.
    """
    name = record.options.get("format")
    if record.song["name"] != job.path.name or name not in list(FormatName):
        raise CommitError(f"it is not of {job.path.name}")
    file_format = Format(name)
    moves, found = [], job.recorded()
    for stem, facts in record.stems.items():
        if facts["file"] is None:
            continue
        target = job.place(stem, file_format)
        if job.name(target) != facts["file"]:
            raise CommitError(f"its {stem} would go elsewhere")
        source, below = hidden(stem, file_format), job.below(target)
        there = held.folder.size(source)
        if there is None and size_of(target) == facts["size"]:
            continue  # it was moved before
        if there != facts["size"]:
            raise CommitError(f"its {stem} is not whole")
        if obstacle := job.obstacle(found, target):
            raise CommitError(obstacle)
        moves.append(Move(source, below.parent, below.name))
    return moves


def carry_out(held: Claim, job: Job) -> None:
    """Give the files in a hidden folder their names, if a commit is there and is one that a run on this song leaves.

    Raises:
        CommitError: there is a commit that is not used.
        OSError: a file cannot be moved; it can be tried again.
    """
    if COMMIT not in held.names:
        return
    digest = _signed(held)
    if RECORD in held.names or not _is_in_place(job, held, digest):
        moves = _moves(held, job, _record(held, digest))
        below = job.below(job.record)
        with ExitStack() as opened:
            for move in moves:
                folder = opened.enter_context(held.out.descend(move.folder, make=True))
                held.folder.move(move.source, folder, move.name)
                folder.sync()
            folder = opened.enter_context(held.out.descend(below.parent, make=True))
            held.folder.move(RECORD, folder, below.name)
            folder.sync()
    held.folder.remove(COMMIT)


def commit(held: Claim, job: Job, record: Record) -> None:
    """Say that all files are whole, and give them their names, the record last.

    Killed before the commit has its name, nothing has changed; killed later, the next run on this song does the rest.

    Raises:
        CommitError: something was put in the place of a file meanwhile.
        OSError: something cannot be written. If it was committed by then, the hidden folder is left to the next run.
    """
    content = record.text().encode()
    journal = json.dumps({"stemsplit_commit": 1, "record": hashlib.sha256(content).hexdigest()}).encode()
    for name, data in ((RECORD, content), (PART, journal)):
        with held.create(name) as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
    held.folder.move(PART, held.folder, COMMIT)
    held.folder.sync()
    try:
        carry_out(held, job)
    except OSError:
        held.leave()
        raise


def sweep(out: Path, tell: Callable[[str], object]) -> None:
    """Remove what killed runs left in a folder, as far as it is ours and nothing in it is whole.

    What is committed stays: only a run on its song can check it.

    Args:
        out: the folder.
        tell: is told of what is left alone.
    """
    with suppress(OSError), Folder(out) as folder:
        for found in leftovers(folder):
            if isinstance(found, Claim):
                if COMMIT in found.names:
                    again = "the same command goes on from there"
                    tell(f"{found.folder.path} holds stems that could not be given their names; {again}")
                    found.leave()
                else:
                    found.release()
            elif found.errno == errno.EEXIST:
                tell(f"{found.filename} is left alone: {found.strerror}")

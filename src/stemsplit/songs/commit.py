"""Moves a song's finished files to their names, all or none, even if a run is killed.

A journal, `commit.json`, says that all files are whole. The next run checks it and moves what a killed run left.
"""

import errno
import hashlib
import json
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path, PurePath

from stemsplit.audio import Format
from stemsplit.choices import FormatName
from stemsplit.disk import Folder, flush
from stemsplit.disk.claim import BusyError, Claim, TakenOverError, claim, leftovers
from stemsplit.disk.files import size_of
from stemsplit.disk.limits import why
from stemsplit.disk.listed import Listed, is_gone
from stemsplit.disk.lock import TRIES
from stemsplit.disk.moving import equal, move_between
from stemsplit.errors import AudioError, PlaceError
from stemsplit.songs import trial
from stemsplit.songs.hidden import COMMIT, RECORD, finished, key_of, listed
from stemsplit.songs.job import Job
from stemsplit.songs.record import LIMIT, Record, parsed


class CommitError(PlaceError):
    """The journal does not come from a run on this song, or cannot be carried out any more."""


def _claimed(out: Path, key: str, stale: int | None) -> Claim:
    """Claim a hidden folder in the output folder, which is made if it does not exist.

    Another run that made the output folder, and put nothing into it, may remove it just now. Then it is made again.
    """
    for _ in range(TRIES):
        try:
            out.mkdir(parents=True, exist_ok=True)
            with Folder(out) as folder:
                return claim(folder, key, stale)
        except OSError as error:
            if not is_gone(error):
                raise
            last = error
    raise last


def hold(job: Job, tell: Callable[[str], object], stale: int | None = None) -> Claim:
    """Claim the hidden folder of a song, and empty it. Files that an earlier run finished are moved to their names.

    Args:
        job: job of the song.
        tell: called with a message about files that an earlier run left and that are not used.
        stale: beat of a process that is taken for gone, so that its song is taken over.

    Raises:
        BusyError: another process works on the song.
        AudioError: the folder cannot be made.
    """
    out = job.options.out
    key = key_of(str(job.record.relative_to(out)))
    try:
        held = _claimed(out, key, stale)
    except BlockingIOError:
        raise
    except OSError as error:
        raise AudioError(f"cannot write into {out} ({why(error)})") from error
    try:
        for files in (*held.earlier, held):
            try:
                carry_out(files, job)
            except CommitError as error:
                if COMMIT in files.names:  # else another process has just carried it out
                    tell(f"what an earlier run left in {files.folder.path} is not used: {error}")
    except OSError as error:
        if held.is_overtaken:
            held.release()
            raise BusyError(str(out), 0) from error
        held.leave()
        raise AudioError(trial.refused(job, error) or f"cannot write into {out} ({why(error)})") from error
    try:
        for files in held.earlier:
            files.empty()  # its list stays until the end: that process may still make a file
        held.begin(listed(job))
    except OSError as error:
        overtaken = held.is_overtaken
        held.release()
        if overtaken:
            raise BusyError(str(out), 0) from error
        raise AudioError(f"cannot write into {out} ({why(error)})") from error
    return held


@dataclass(frozen=True)
class Move:
    """A file to move to its name.

    Args:
        source: name in the hidden folder.
        below: path to move it to, relative to the output folder.
        size: its bytes.
    """

    source: str
    below: PurePath
    size: int


def _signed(held: Listed) -> str:
    """Return the digest in the journal."""
    try:
        commit = json.loads(held.folder.read(COMMIT, LIMIT))
    except (ValueError, RecursionError, OSError) as error:
        raise CommitError("its journal cannot be read") from error
    match commit:
        case {"stemsplit_commit": 1, "record": str(digest)} if len(commit) == 2:
            return digest
    raise CommitError("its journal has another form")


def _is_in_place(job: Job, held: Listed, digest: str) -> bool:
    """Return whether the record is already in its place, and so all files, as the record is moved last."""
    with suppress(OSError), held.out.descend(job.below(job.record).parent) as folder:
        return hashlib.sha256(folder.read(job.record.name, LIMIT)).hexdigest() == digest
    return False


def _record(held: Listed, digest: str) -> Record:
    """Return the record that the journal holds the digest of."""
    try:
        content = held.folder.read(RECORD, LIMIT)
    except OSError as error:
        raise CommitError("its record cannot be read") from error
    record = parsed(content) if hashlib.sha256(content).hexdigest() == digest else None
    if record is None:
        raise CommitError("its record is not the one in the journal")
    return record


def _is_copied(held: Listed, source: str, below: PurePath) -> bool:
    """Return whether a file is also in its place already: a run was killed on a disk that cannot move it there."""
    with suppress(OSError), held.out.descend(below.parent) as folder:
        return equal(held.folder, source, folder, below.name)
    return False


def _moves(held: Listed, job: Job, record: Record) -> list[Move]:
    """Return the moves that are still to be made.

    Raises:
        CommitError: the record belongs to another song, a file is not as the record says, or its name is taken.
    """
    name = record.options.get("format")
    if record.song["name"] != job.path.name or name not in list(FormatName):
        raise CommitError(f"it belongs to another song than {job.path.name}")
    file_format = Format(name)
    moves, found = list[Move](), job.recorded()
    for stem, facts in record.stems.items():
        if facts["file"] is None:
            continue
        target = job.place(stem, file_format)
        if job.name(target) != facts["file"]:
            raise CommitError(f"its {stem} belongs in another place")
        source, below = finished(stem, file_format), job.below(target)
        obstacle = job.obstacle(found, target)
        there = held.folder.size(source)  # after the obstacle: another process may be moving the same files
        if size_of(target) == facts["size"] and (there is None or _is_copied(held, source, below)):
            continue  # it is already moved
        if there != facts["size"]:
            raise CommitError(f"its {stem} is not whole")
        if obstacle:
            raise CommitError(obstacle)
        move = Move(source, below, facts["size"])
        if move not in moves:  # one file may hold all stems
            moves.append(move)
    return moves


def _move(held: Listed, move: Move, folder: Folder) -> None:
    """Move a file to its name. Another process that carries out the same journal may be faster."""
    try:
        move_between(held.folder, move.source, folder, move.below.name)
    except FileNotFoundError:
        if folder.size(move.below.name) != move.size:
            raise


def carry_out(held: Listed, job: Job) -> None:
    """Move the files in a hidden folder to their names, if it has a journal that a run on this song left.

    The process that wrote the journal, and one that took over from it, may do so at the same time: each file is moved
    once, and the record last.

    Raises:
        CommitError: the journal is not used.
        OSError: a file cannot be moved; a later call may succeed.
    """
    if COMMIT not in held.names:
        return
    digest = _signed(held)
    if RECORD in held.names or not _is_in_place(job, held, digest):
        try:
            _move_all(held, job, _moves(held, job, _record(held, digest)))
        except (CommitError, FileNotFoundError):
            if not _is_in_place(job, held, digest):
                raise
    held.folder.remove(COMMIT)


def _move_all(held: Listed, job: Job, moves: list[Move]) -> None:
    """Move files to their names, and the record last."""
    below = job.below(job.record)
    with ExitStack() as opened:
        for move in moves:
            folder = opened.enter_context(held.out.descend(move.below.parent, make=True))
            _move(held, move, folder)
        folder = opened.enter_context(held.out.descend(below.parent, make=True))
        move_between(held.folder, RECORD, folder, below.name)


def commit(held: Claim, job: Job, record: Record) -> None:
    """Write the journal, and move all files to their names, the record last.

    If the process is killed before the journal has its name, nothing has changed; if later, the next run on this song
    moves the rest.

    Raises:
        CommitError: the name of a file was taken meanwhile.
        TakenOverError: another process took over the song.
        OSError: a file cannot be written or moved. If the journal is written by then, the hidden folder is left to the
            next run.
    """
    content = record.text().encode()
    digest = hashlib.sha256(content).hexdigest()
    journal = json.dumps({"stemsplit_commit": 1, "record": digest}).encode()
    with held.create(RECORD) as file:
        file.write(content)
        file.flush()
        flush(file.fileno())
    held.folder.sync()
    held.decide(COMMIT, journal)
    try:
        carry_out(held, job)
    except (CommitError, OSError) as error:
        if held.is_overtaken:
            raise TakenOverError(held.folder.path) from error
        if isinstance(error, OSError):
            held.leave()
        raise
    # The other process may have carried it out. Or it could not, or did its own work since.
    if held.is_overtaken and not _is_in_place(job, held, digest):
        raise TakenOverError(held.folder.path)


def sweep(out: Path, tell: Callable[[str], object]) -> None:
    """Remove the hidden folders that killed runs left.

    Those with a journal stay: only a run on their song can check it.

    Args:
        out: output folder.
        tell: called with a message about each folder that stays.
    """
    with suppress(OSError), Folder(out) as folder:
        for leftover in leftovers(folder):
            if isinstance(leftover, Claim):
                if COMMIT in leftover.names:
                    again = "once their place can be written to, run the same command again to move them"
                    tell(f"{leftover.folder.path} holds stems that could not be moved to their names; {again}")
                    leftover.leave()
                else:
                    leftover.release()
            elif leftover.errno == errno.EEXIST:
                tell(f"{leftover.filename} is left alone: {leftover.strerror}")

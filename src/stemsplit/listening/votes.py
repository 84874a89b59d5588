"""Keeps the votes of blind comparisons in a file beside the comparison's record."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from typing import Any

from stemsplit.comparison.clip_files import VOTES, VOTES_MARK
from stemsplit.disk import Folder
from stemsplit.disk.lock import try_lock
from stemsplit.errors import AudioError
from stemsplit.listening.piece import Piece, Role
from stemsplit.songs import beside

MOST = 10_000
"""Most votes that a file holds."""

LIMIT = 16_000_000
"""Largest size of the file, in bytes."""

PATIENCE = 3.0
"""Seconds to wait for another process that writes votes."""

_WRITING = Lock()


class VoteError(ValueError):
    """A vote is not on this piece."""


def checked(piece: Piece, vote: object) -> dict[str, Any]:
    """Return a vote as it is kept, without the time.

    Args:
        piece: the comparison.
        vote: what a page sent: stem, candidates (indices of tracks), choice (one of them, or None) and seconds heard.

    Raises:
        VoteError: it is not a vote on one of the comparison's stems.
    """
    if not isinstance(vote, dict) or vote.keys() != {"stem", "candidates", "choice", "seconds"}:
        raise VoteError("a vote has stem, candidates, choice and seconds")
    stem, candidates, choice, seconds = (vote[name] for name in ("stem", "candidates", "choice", "seconds"))
    if not isinstance(candidates, list) or not 2 <= len(candidates) <= len(piece.tracks):
        raise VoteError("a vote is on two candidates or more")
    if any(type(index) is not int or not 0 <= index < len(piece.tracks) for index in candidates):
        raise VoteError("a candidate is not one of the tracks")
    if len({*candidates}) != len(candidates):
        raise VoteError("a candidate is listed twice")
    tracks = [piece.tracks[index] for index in candidates]
    if any(track.role not in (Role.candidate, Role.reference) or track.stem != stem for track in tracks):
        raise VoteError("a candidate is not a clip of that stem")
    if choice is not None and (type(choice) is not int or choice not in candidates):
        raise VoteError("the choice is not one of the candidates")
    if type(seconds) not in (int, float) or not 0 <= seconds < 1e9:
        raise VoteError("the seconds are not a time")
    return {
        "comparison": piece.digest,
        "stem": stem,
        "candidates": [track.path.name for track in tracks],
        "models": [track.model or track.name for track in tracks],
        "choice": None if choice is None else piece.tracks[choice].path.name,
        "seconds": round(float(seconds), 3),
    }


def _is_vote(value: object) -> bool:
    if not isinstance(value, dict):
        return False
    lists = all(
        isinstance(value.get(name), list) and all(isinstance(each, str) for each in value[name])
        for name in ("candidates", "models")
    )
    texts = all(isinstance(value.get(name), str) for name in ("comparison", "stem", "time"))
    return lists and texts and isinstance(value.get("choice"), str | None) and type(value.get("seconds")) is float


def read(piece: Piece) -> list[dict[str, Any]]:
    """Return all votes in the file beside a comparison, of earlier runs too; none if there is no file.

    Raises:
        AudioError: the file is not one of stemsplit's, or is damaged.
    """
    path = piece.record.with_name(VOTES)
    foreign = AudioError(f"{path} was not made by stemsplit, or is damaged; move it away")
    try:
        with Folder(path.parent) as folder:
            if not folder.has(VOTES):
                return []
            if not beside.is_ours(folder, VOTES, VOTES_MARK):
                raise foreign
            content = json.loads(folder.read(VOTES, LIMIT))
    except OSError as error:
        raise AudioError(f"cannot read {path} ({error.strerror})") from error
    except (ValueError, RecursionError) as error:
        raise foreign from error
    votes = content.get("votes") if isinstance(content, dict) else None
    if not isinstance(votes, list) or not all(map(_is_vote, votes)):
        raise foreign
    return votes


def of_piece(piece: Piece) -> list[dict[str, Any]]:
    """Return the votes on a comparison as it is now.

    Raises:
        AudioError: the file of votes cannot be read.
    """
    return [vote for vote in read(piece) if vote["comparison"] == piece.digest]


@contextmanager
def _alone(record: Path) -> Iterator[None]:
    """Keep other processes from writing votes on the same comparison: one would lose what the other wrote."""
    with _WRITING, Folder(record.parent) as folder:
        descriptor = folder.open(record.name, os.O_RDONLY)
        try:
            until = time.monotonic() + PATIENCE
            while try_lock(descriptor) is False:
                if time.monotonic() > until:
                    raise AudioError(f"another process is writing votes beside {record}; try again")
                time.sleep(0.05)
            yield
        finally:
            os.close(descriptor)


def save(piece: Piece, vote: object) -> str:
    """Add a vote to the file beside a comparison, and return the file's name.

    Raises:
        VoteError: it is not a vote on this comparison.
        AudioError: the file cannot be written, or is not one of stemsplit's.
    """
    kept = {**checked(piece, vote), "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    path = piece.record.with_name(VOTES)
    try:
        with _alone(piece.record):
            votes = read(piece)
            if len(votes) >= MOST:
                raise AudioError(f"{path} holds {MOST} votes; move it away")
            lines = ",\n".join(f"  {json.dumps(each)}" for each in (*votes, kept))
            with beside.writing(path, VOTES_MARK) as file:
                file.write(VOTES_MARK + b' "votes": [\n' + lines.encode() + b"\n]}\n")
    except OSError as error:
        raise AudioError(f"cannot write {path} ({error.strerror})") from error
    return VOTES

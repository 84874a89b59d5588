"""Adds further files to a song's stems once these are whole: a page to listen to them, a session to open them in."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from stemsplit.errors import AudioError
from stemsplit.songs import beside, session
from stemsplit.songs.job import Job, Outcome
from stemsplit.songs.record import Record


class Extra(Protocol):
    """A kind of file that is written beside the stems of every song.

    Attributes:
        name: what the file is, in one word: a key in the results.
    """

    name: str

    def place(self, job: Job) -> Path:
        """Return the file of a song."""

    def obstacle(self, job: Job) -> str:
        """Return why the file cannot be written, as far as that is known beforehand; empty if it can."""

    def write(self, job: Job, record: Record) -> str:
        """Write the file of a song whose stems are whole, unless it is there already.

        Returns:
            What people should know; empty if there is nothing to say.

        Raises:
            AudioError: it cannot be written.
        """


class Session:
    """Sessions for REAPER, which open all stems of a song."""

    name = "session"

    def place(self, job: Job) -> Path:
        """See `Extra`."""
        return session.place(job)

    def obstacle(self, job: Job) -> str:
        """See `Extra`."""
        place = session.place(job)
        if beside.content(place).startswith(session.OTHERS):
            return ""  # one of a person's own is kept
        return beside.obstacle(place, session.MARK, job.options.force)

    def write(self, job: Job, record: Record) -> str:
        """See `Extra`."""
        return session.write(session.place(job), record, job.options.force)


def checked(jobs: Sequence[Job], extras: Sequence[Extra]) -> Sequence[Job]:
    """Return jobs that know, before anything is split, that a further file cannot be written."""
    if not extras:
        return jobs

    def check(job: Job) -> Job:
        told = job.problem or next(filter(None, (extra.obstacle(job) for extra in extras)), "")
        return replace(job, problem=told) if told else job

    return [check(job) for job in jobs]


def added(outcome: Outcome, extras: Sequence[Extra], tell: Callable[[str], object]) -> Outcome:
    """Write the further files of a song whose stems are whole, and return the outcome with them.

    Args:
        outcome: outcome of the song.
        extras: kinds of files to write.
        tell: called with what people should know of a file.
    """
    written: dict[str, Path] = {}
    notes: list[str] = []
    for extra in extras if outcome.record and not outcome.error else ():
        assert outcome.record is not None
        try:
            if note := extra.write(outcome.job, outcome.record):
                tell(note)
                notes.append(note)
        except AudioError as error:
            told = f"{outcome.job.path} is split, but has no {extra.name}: {error}"
            return replace(outcome, error=told, cause=error, extras=written)
        written[extra.name] = extra.place(outcome.job)
    return replace(outcome, extras=written, notes=(*outcome.notes, *notes)) if written else outcome


def places(job: Job, extras: Sequence[Extra]) -> Mapping[str, Path]:
    """Return where a song's further files will be, by what they are."""
    return {extra.name: extra.place(job) for extra in extras}

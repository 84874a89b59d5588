"""Adds further files to a song's stems once these are whole: a page to listen to them, a session to open them in."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from stemsplit.errors import StemsplitError
from stemsplit.failures import cause
from stemsplit.songs import beside, session
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.record import Record


class Extra(Protocol):
    """A kind of file that is written beside the stems of every song.

    Attributes:
        name: what the file is, in one word.
    """

    name: str

    def place(self, job: Job) -> Path:
        """Return the file of a song."""

    def is_current(self, job: Job) -> bool:
        """Return whether a song has the file that would be written for its present record."""

    def expected(self, job: Job, found: Record | None = None) -> int | None:
        """Return about how many bytes the file will take; None if that is unknown.

        Args:
            job: job of the song.
            found: its record; None if it is not split yet.
        """

    def problem(self, job: Job, found: Record | None = None) -> str:
        """Say why a song will not have the file, as far as that is known; empty if it can have one.

        Args:
            job: job of the song.
            found: its record; None if it is not split yet.
        """

    def is_usage(self, job: Job, why: str) -> bool:
        """Return whether a problem is one of the options rather than one of the disk."""

    def write(self, outcome: Outcome) -> str:
        """Write the file of a song whose stems are whole, unless it is there already.

        Returns:
            What people should know; empty if there is nothing to say.

        Raises:
            StemsplitError: it cannot be written.
        """


class Session:
    """Writes sessions for REAPER, each of which opens all stems of a song."""

    name = "session"

    def place(self, job: Job) -> Path:
        """See `Extra`."""
        return session.place(job)

    def is_current(self, job: Job) -> bool:
        """See `Extra`."""
        found = job.recorded()
        return found is not None and beside.content(self.place(job)) == session.text(found)

    def expected(self, job: Job, found: Record | None = None) -> int:
        """See `Extra`."""
        return session.TRACK_BYTES * (len(found.stems) if found else len(job.options.outputs))

    def problem(self, job: Job, found: Record | None = None) -> str:  # noqa: ARG002  # the same for all records
        """See `Extra`."""
        place = self.place(job)
        if link := job.link([place]):
            return f"{link} is a link, which is not followed"
        if beside.content(place).startswith(session.OTHERS):
            return ""  # a session that a person saved is kept
        return beside.obstacle(place, session.MARK, job.options.force)

    def is_usage(self, job: Job, why: str) -> bool:  # noqa: ARG002
        """See `Extra`."""
        return False

    def write(self, outcome: Outcome) -> str:
        """See `Extra`."""
        assert outcome.record is not None
        return session.write(self.place(outcome.job), outcome.record, outcome.job.options.force)


def added(outcome: Outcome, extras: Sequence[Extra], tell: Callable[[str], object]) -> Outcome:
    """Write the further files of a song whose stems are whole, and return the outcome with them.

    Args:
        outcome: outcome of the song.
        extras: kinds of files to write.
        tell: called with what people should know of a file.
    """
    if not outcome.record:
        return outcome
    written: dict[str, Path] = {}
    lacking: dict[str, str] = {}
    for extra in extras:
        try:
            if note := extra.write(outcome):
                tell(note)
            written[extra.name] = extra.place(outcome.job)
        except StemsplitError as error:
            lacking[extra.name] = str(error)
        except Exception as error:  # of any kind: one song must not end the others
            lacking[extra.name] = cause(error, f"writing the {extra.name} of {outcome.job.path}")
    return replace(outcome, extras=written, lacking=lacking)

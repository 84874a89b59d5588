"""Defines what a job needs of a song, or of stems, that are not kept in files of this machine."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from stemsplit.songs.record import Record


class Elsewhere(Protocol):
    """Where a song comes from and where its stems go to, if at least one of them is not on this machine.

    The job's own paths are those of files that are staged on this machine meanwhile. What people and scripts read has
    addresses instead.
    """

    @property
    def song(self) -> str:
        """Address of the song."""

    @property
    def state(self) -> str:
        """What tells, the same on every machine, whether the song was changed: its etag, or its size and time.

        Empty if that is unknown.
        """

    def shown(self, target: Path) -> str:
        """Return the address of one of the job's files, given its path on this machine."""

    def told(self, text: str) -> str:
        """Return a message with addresses in the place of paths of staged files."""

    def begin(self, is_done: Callable[[Record], bool], pulse: Callable[[], object]) -> Record | None:
        """Claim the song, and bring its file to this machine.

        Args:
            is_done: whether a record says that the song was already split in the same way.
            pulse: called again and again; raises an error if the batch is to end.

        Returns:
            The record, if the song is already split in the same way: then nothing is claimed. Else None.

        Raises:
            BusyError: another process works on the song.
            AudioError: the song cannot be brought here.
        """

    def finish(self, record: Record) -> None:
        """Bring the finished stems to their place, the record last, and give up the claim.

        Raises:
            AudioError: they cannot be brought there; nothing there looks finished.
        """

    def give_up(self) -> None:
        """Remove what is staged on this machine, and give up the claim, if that was not done yet."""

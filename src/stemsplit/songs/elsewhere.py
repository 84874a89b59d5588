"""Defines what a job needs of a song, or of stems, that are not kept in files of this machine."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from stemsplit.errors import AudioError
from stemsplit.songs.record import Record

Pulse = Callable[[], object]
"""Called again and again during long work; raises an error if the batch is to end."""


class FullError(Exception):
    """There is no room to bring a song here until the songs before it are finished."""


class OvertakenError(AudioError):
    """Another process took over the song, because this one showed no sign of life for a while."""


class Elsewhere(Protocol):
    """Where a song comes from and where its stems go to, if at least one of them is not on this machine.

    The job's own paths are those of files that are staged on this machine meanwhile. What people and scripts read has
    addresses instead. Before `begin`, it can be pickled.
    """

    @property
    def song(self) -> str:
        """Path or address of the song."""

    @property
    def fetches(self) -> bool:
        """Whether the song comes from an address."""

    @property
    def sends(self) -> bool:
        """Whether the stems go to an address."""

    @property
    def parent(self) -> str:
        """Name of the folder that the song is in."""

    @property
    def state(self) -> str:
        """What tells, the same on every machine, whether the song was changed: its etag, or its size and time.

        Empty if that is unknown.
        """

    @property
    def takeovers(self) -> int:
        """How many processes died, or went silent, at the song before, if it is claimed where its stems go to."""

    @property
    def problem(self) -> str:
        """Why the song cannot be split, if that is known without bringing it; else empty."""

    def look_ahead(self, records: Sequence[Path]) -> None:
        """Look at what is there of many songs at once, so that asking for one of them is quick.

        Args:
            records: paths of all songs' records on this machine, whose stems go to the same place.

        Raises:
            AudioError: nothing can be written there.
        """

    def shown(self, target: Path) -> str:
        """Return the address of one of the job's files, given its path on this machine."""

    def told(self, text: str) -> str:
        """Return a message with addresses in the place of paths of staged files."""

    def recorded(self, path: Path) -> Record | None:
        """Return the present record where the stems go to, given its path on this machine; None if there is none.

        Raises:
            AudioError: it cannot be looked at.
        """

    def size_of(self, target: Path) -> int | None:
        """Return the bytes of a file where the stems go to, given its path on this machine; None if there is none.

        Raises:
            AudioError: it cannot be looked at.
        """

    def is_foreign(self, target: Path) -> bool:
        """Return whether something that stemsplit did not write has the address of a file, given its path here.

        Raises:
            AudioError: it cannot be looked at.
        """

    def is_unchanged(self, song: Path, found: Record, path: Path) -> bool:
        """Return whether the song is the one that a record was made from, as far as that is known without bringing it.

        Args:
            song: file of the song on this machine; it need not be here yet.
            found: the record.
            path: path of the record on this machine.

        Raises:
            OSError: the song cannot be read.
        """

    def begin(self, record: Path, pulse: Pulse) -> None:
        """Claim the song, if its stems go to an address, and look again at the song and at what is there.

        Args:
            record: path of the song's record on this machine.
            pulse: see `Pulse`.

        Raises:
            BusyError: another process works on the song.
            AudioError: nothing can be written there, or the song cannot be found any more.
        """

    def fetch(self, song: Path, pulse: Pulse) -> None:
        """Bring the song to its path on this machine, if it comes from an address.

        Raises:
            FullError: there is no room before other songs are finished.
            AudioError: it cannot be brought here.
        """

    def reserve(self, needed: int, pulse: Pulse) -> None:
        """Make sure that there is room on this machine for stems that go to an address.

        Args:
            needed: bytes.
            pulse: see `Pulse`.

        Raises:
            FullError: there is no room before other songs are finished.
            AudioError: there will never be.
        """

    def confirm(self, found: Record, path: Path) -> None:
        """Note that the song was found to be the one of a record, so that later runs need not bring it. May fail."""

    def send(self, files: Mapping[Path, Path], record: Record, path: Path, pulse: Pulse) -> None:
        """Bring the finished stems to where they go, the record last.

        Args:
            files: path of each file by the name that it is to have -> its path now.
            record: record of the stems.
            path: path of the record.
            pulse: see `Pulse`.

        Raises:
            OvertakenError: another process took over the song.
            AudioError: they cannot be brought there; nothing there looks finished.
        """

    def give_up(self) -> None:
        """Remove what is staged on this machine, and give up the claim, if that was not done yet."""

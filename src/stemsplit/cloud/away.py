"""A song that comes from an address, or whose stems go to one: brought here, kept for a while, and sent away."""

import os
import shlex
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.cloud import commit, lease, sources, staging, transfer
from stemsplit.cloud.address import Address
from stemsplit.cloud.failures import ConflictError, MissingError
from stemsplit.cloud.output import Output
from stemsplit.cloud.store import Item, bucket_of
from stemsplit.disk import flush
from stemsplit.disk.claim import PREFIX, Claim
from stemsplit.disk.digest import sha256
from stemsplit.disk.limits import why
from stemsplit.errors import AudioError
from stemsplit.songs.elsewhere import OvertakenError, Pulse
from stemsplit.songs.hidden import key_of
from stemsplit.songs.record import Record
from stemsplit.songs.sharing.place import LocalPlace, Place

TRIES = 3
"""Largest number of times that a song is downloaded, if it is changed meanwhile."""


def state_of(item: Item | None) -> str:
    """Return what tells versions of an object apart; empty if its store does not say."""
    if item is None:
        return ""
    tag = item.version.tag
    if tag and not tag.startswith("W/"):  # a weak tag does not promise the same bytes
        return f"{item.size} {tag}"
    return f"{item.size} {item.modified}" if item.modified > 0 else ""


@dataclass
class Live:
    """What a song holds while it is split.

    Args:
        there: where its stems go to, as seen for this song.
        claim: claim on the song where its stems go to.
        record: path that stands for the song's record.
        seen: what is at the record's address.
        item: the song, as it is being brought here.
        held: hidden folder with the song.
    """

    there: Output | None = None
    claim: lease.Lease | None = None
    record: Path | None = None
    seen: commit.Seen = field(default_factory=commit.Seen)
    item: Item | None = None
    held: Claim | None = None


@dataclass(eq=False)
class Away:
    """A song that comes from an address, or whose stems go to one. See `songs.elsewhere`.

    Args:
        path: file of the song on this machine.
        out: output folder on this machine, or the folder that stands for the address that stems go to.
        place: where songs are staged.
        source: address of the song; None if it is a file of this machine.
        output: address that stems go to; None if they stay on this machine.
        item: the song, as it was seen when it was found; None if it is a file of this machine, or cannot be found.
        problem: why the song cannot be split, if that is known; else empty.
        force: whether objects that stemsplit did not write are replaced.
    """

    path: Path
    out: Path
    place: staging.Stage
    source: Address | None = None
    output: Output | None = None
    item: Item | None = None
    problem: str = ""
    force: bool = False
    _live: Live | None = field(default=None, init=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs to split the song."""
        return {**vars(self), "_live": None}

    @property
    def live(self) -> Live:
        """What the song holds; nothing before `begin` and after `give_up`."""
        return self._live or Live()

    @property
    def song(self) -> str:
        """Path or address of the song."""
        return str(self.source or self.path)

    @property
    def fetches(self) -> bool:
        """Whether the song comes from an address."""
        return self.source is not None

    @property
    def sends(self) -> bool:
        """Whether the stems go to an address."""
        return self.output is not None

    @property
    def parent(self) -> str:
        """Name of the folder that the song is in."""
        if self.source is None:
            return os.path.basename(os.path.dirname(os.path.abspath(self.path)))  # noqa: PTH100, PTH119, PTH120
        return self.source.key.rpartition("/")[0].rpartition("/")[2] or self.source.bucket

    @property
    def state(self) -> str:
        """What tells, the same on every machine, whether the song was changed; empty if that is unknown."""
        if self.source is not None:
            return state_of(self.live.item or self.item)
        try:
            status = self.path.stat()
        except OSError:
            return ""
        return f"{status.st_size} {status.st_mtime_ns}"

    def _source(self) -> str:
        """Return the digest of the song's present version; empty if that is unknown."""
        state = self.state
        if not state:
            return ""
        if self.source is not None:
            return sources.digest(f"{self.source.url or self.source}\n{state}")
        return sources.digest(f"{state} {self.path.stat().st_ctime_ns}")  # nobody can set that time

    @property
    def _there(self) -> Output:
        output = self.live.there or self.output
        assert output is not None, "the stems stay on this machine"
        return output

    def look_ahead(self, records: Sequence[Path]) -> None:
        """See `Elsewhere`."""
        self._there.look_ahead(records)

    def shown(self, target: Path) -> str:
        """Return the address of one of the job's files, or its path if it stays on this machine."""
        if self.output is None:
            return str(target)
        name = self.output.name(target)
        return f"{self.output.address}/{name}" if name != "." else str(self.output.address)

    def told(self, text: str) -> str:
        """Return a message with addresses in the place of paths of staged files."""
        if self.source is not None:
            # A command in the message is for the reader's own copy: few programs read from object stores.
            text = text.replace(f"-i {shlex.quote(str(self.path))}", f"-i {shlex.quote(self.path.name)}")
            text = text.replace(str(self.path), self.song).replace(f"{self.path.parent}{os.sep}", "")
        if self.output is None:
            return text
        if f"{self.out}{os.sep}{PREFIX}" in text:  # what fails is on this machine
            return text.replace("another disk with -o", "another with --staging")
        return text.replace(str(self.out), str(self.output.address))

    def recorded(self, path: Path) -> Record | None:
        """Return the present record where the stems go to."""
        if path == self.live.record:
            return self.live.seen.record
        return self._there.recorded(path)

    def size_of(self, target: Path) -> int | None:
        """Return the bytes of a file where the stems go to."""
        return self._there.size_of(target)

    def is_foreign(self, target: Path) -> bool:
        """Return whether something that stemsplit did not write has the address of a file."""
        there = self._there
        key, seen = there.key(target), self.live.seen
        item = there.bucket.look(key)
        if item is None or item.mark or (key in seen.keys and seen.record is None):
            return False
        sizes = seen.record.files if seen.record and self.live.record else {}
        known = {there.key(self._beside(name)): size for name, size in sizes.items()}
        return known.get(key) != item.size

    def _beside(self, name: str) -> Path:
        """Return the path of a file that the present record names."""
        assert self.live.record is not None, "begun"
        return Path(os.path.normpath(self.live.record.parent / name))

    def _notes(self) -> Place:
        return LocalPlace(self.out) if self.output is None else self.output.place

    def _is_noted(self, found: Record, path: Path) -> bool:
        """Return whether it is noted that a record was made from the song's present version."""
        source = self._source()
        if not source:
            return False
        if self.output is None:
            note = sources.noted(self._notes(), path.relative_to(self.out).as_posix())
        else:
            note = self._there.noted(path)
        return note == (sources.digest(found.text()), source)

    def is_unchanged(self, song: Path, found: Record, path: Path) -> bool:
        """Return whether the song is the one that a record was made from, as far as that is known."""
        if self._is_noted(found, path):
            return True
        if self.fetches and self.live.held is None:
            return False
        return song.stat().st_size == found.song["size"] and sha256(song) == found.song["sha256"]

    def confirm(self, found: Record, path: Path) -> None:
        """Note that the song was found to be the one of a record."""
        with suppress(AudioError, OSError):
            if (source := self._source()) and not self._is_noted(found, path):
                sources.note(self._notes(), path.relative_to(self.out).as_posix(), found, source)

    @property
    def takeovers(self) -> int:
        """How many processes died, or went silent, at the song before, if it is claimed where its stems go to."""
        return self.live.claim.takeovers if self.live.claim else 0

    def begin(self, record: Path, pulse: Pulse) -> None:
        """Claim the song where its stems go to, and look again at the song and at what is there."""
        self._live = live = Live()
        if self.output is not None:
            there = self.output.fresh()
            work = key_of(there.name(record))
            live.claim = lease.acquire(there.bucket, there.address.key, work, pulse)
            live.seen = commit.look(there.bucket, there.key(record), pulse)
            live.there, live.record = there, record
            if live.seen.is_foreign and not self.force:
                raise commit.occupied(there.bucket, there.key(record))
        if self.source is not None:
            live.item = self._looked_at(self.source, pulse)

    def _looked_at(self, source: Address, pulse: Pulse) -> Item:
        item = bucket_of(source).look(source.key, pulse)
        if item is None:
            raise MissingError(f"cannot read {source} (it does not exist any more)")
        return item

    def fetch(self, song: Path, pulse: Pulse) -> None:
        """Bring the song to its path on this machine."""
        if self.source is None:
            return
        for number in range(TRIES):
            try:
                self._download(self.source, song, pulse)
            except ConflictError:
                if number == TRIES - 1:
                    raise
                self.live.item = self._looked_at(self.source, pulse)
            except MissingError as error:
                raise MissingError(f"cannot read {self.source} (it does not exist any more)") from error
            else:
                return

    def _download(self, source: Address, song: Path, pulse: Pulse) -> None:
        item, room = self.live.item, staging.room_of(self.place)
        assert item is not None, "begun"
        self._drop_song()
        room.reserve(self, str(source), item.size, pulse)
        key = song.parent.parent.name.removeprefix(PREFIX)
        self.live.held, file = staging.hold(self.place, key, song.name)
        try:
            with file:
                transfer.download(bucket_of(source), item, file, pulse)
                file.flush()
                flush(file.fileno())
        except OSError as error:
            raise AudioError(f"cannot write {song} ({why(error)}); choose another with --staging") from error

    def reserve(self, needed: int, pulse: Pulse) -> None:
        """Make sure that there is room on this machine for stems that go to an address."""
        staging.room_of(self.place).reserve(self, self.song, needed, pulse)

    def send(self, files: Mapping[Path, Path], record: Record, path: Path, pulse: Pulse) -> None:
        """Bring the finished stems to where they go, the record last."""
        staging.room_of(self.place).send(self)
        there, live = self._there, self.live
        assert live.claim is not None, "begun"
        stems = {there.key(target): file for target, file in files.items()}
        try:
            commit.commit(live.claim, live.seen, there.key(path), record, stems, self.force, pulse)
        except lease.TakenOverError as error:
            raise OvertakenError(str(error)) from error
        except OSError as error:
            raise AudioError(f"cannot read a stem of {self.song} again ({why(error)})") from error

    def _drop_song(self) -> None:
        held, self.live.held = self.live.held, None
        if held is not None:
            held.release()
        staging.room_of(self.place).free(self)

    def give_up(self) -> None:
        """Remove what is staged on this machine, and give up the claim."""
        live = self.live
        try:
            self._drop_song()
        finally:
            self._live = None
            if live.claim is not None:
                live.claim.release()

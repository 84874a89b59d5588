"""Brings a song's finished stems to their places in a bucket, the record last, so that two writers have one winner.

An object store has no step that moves several objects at once. So the record's own name decides. Before it touches a
stem, a writer puts a fence there: an object that is not a record, and is unlike any other writer's fence. The record
is then put in the place of this fence only. A writer that finds another's fence in the place of its own gives up.

A stem is looked at first, then the fence is checked, then the stem is written if it is still as it was seen. So once a
writer's fence stands, an earlier writer can write each stem at most once more, and only before the later writer does:
the later one then finds another state than it saw, looks again and writes over it. All stems beside a record are
therefore those of the writer that put the record.

(An entity tag of S3 says only what an object holds. If a writer stops between its check and its write for as long as
another takes for the whole song, and that one leaves just the bytes that were there before, the first may still write.)
"""

import json
import posixpath
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from stemsplit.cloud.failures import ConflictError, StoreError, TooLargeError
from stemsplit.cloud.lease import Lease, TakenOverError
from stemsplit.cloud.owner import COMMITTING
from stemsplit.cloud.store import Bucket, Item, Version
from stemsplit.cloud.waiting import Pulse, go_on
from stemsplit.songs.record import LIMIT, Record, parsed

FORM = 1
"""Version of a fence's form."""

ROUNDS = 10
"""Number of times that a write is tried while others write the same object."""


class OccupiedError(StoreError):
    """Something that stemsplit did not write has the name of a stem."""


@dataclass(frozen=True)
class Seen:
    """What has the name of a song's record.

    Args:
        version: its state; None if there is nothing.
        record: the record; None if there is none. A fence is not one.
        keys: names of the objects that a record or a fence there lists: stems of stemsplit's, whole or not.
        is_foreign: whether it is something that stemsplit did not write.
    """

    version: Version | None = None
    record: Record | None = None
    keys: frozenset[str] = frozenset()
    is_foreign: bool = False


def _fenced(content: bytes) -> Collection[str] | None:
    """Return the names that a fence lists, relative to the record; None if it is not a fence."""
    try:
        found = json.loads(content.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    match found:
        case {"stemsplit_fence": 1, "files": list(files)}:
            return [file for file in files if isinstance(file, str)]
    return None


def look(bucket: Bucket, record_key: str, pulse: Pulse = go_on) -> Seen:
    """Return what has the name of a song's record.

    Raises:
        StoreError: the store fails.
    """
    try:
        found = bucket.read(record_key, LIMIT, pulse)
        if found is None:
            return Seen()
        content, version = found
        record = parsed(content)
        names = record.files if record else _fenced(content)
    except TooLargeError:
        names = None
    if names is None:
        item = bucket.look(record_key, pulse)
        return Seen(item.version, is_foreign=not item.mark) if item else Seen()
    folder = f"/{posixpath.dirname(record_key)}"
    paths = (posixpath.normpath(posixpath.join(folder, name)) for name in names)
    return Seen(version, record, frozenset(path.lstrip("/") for path in paths))


def occupied(bucket: Bucket, key: str) -> OccupiedError:
    """Return the error for an object that stemsplit did not write."""
    return OccupiedError(f"{bucket.shown(key)} was not written by stemsplit; --force overwrites it")


class _Commit:
    """One song's way to its place.

    Args:
        lease: claim on the song.
        seen: what had the name of the record when the song was begun.
        record_key: name of the record.
        stems: name of each object -> the file with its content.
        is_forced: whether objects that stemsplit did not write are replaced.
        pulse: called during a wait.
    """

    def __init__(
        self, lease: Lease, seen: Seen, record_key: str, stems: Mapping[str, Path], is_forced: bool, pulse: Pulse
    ) -> None:
        self.lease, self.bucket, self.seen, self.key, self.stems = lease, lease.bucket, seen, record_key, stems
        self.is_forced, self.pulse = is_forced, pulse
        self.fence: Version | None = None

    def taken_over(self) -> TakenOverError:
        """Return the error for a song that another process has finished, or works on."""
        return TakenOverError(f"another process took over {self.bucket.shown(self.key)}; its stems are not touched")

    def check_record(self) -> None:
        """Raise OccupiedError if something that stemsplit did not write has the name of the record."""
        if self.seen.is_foreign and not self.is_forced:
            raise occupied(self.bucket, self.key)

    def look_at(self, key: str) -> Item | None:
        """Return what has the name of a stem.

        Raises:
            OccupiedError: it was not written by stemsplit.
        """
        item = self.bucket.look(key, self.pulse)
        if item and not (self.is_forced or item.mark or key in self.seen.keys):
            raise occupied(self.bucket, key)
        return item

    def put_fence(self) -> None:
        """Put a fence at the record's name.

        Raises:
            TakenOverError: another process has the claim, or has finished the song.
        """
        folder = f"/{posixpath.dirname(self.key)}"
        for _ in range(ROUNDS):
            self.lease.renew(COMMITTING, self.pulse)
            names = sorted(posixpath.relpath(f"/{key}", folder) for key in {*self.stems, *self.seen.keys})
            content = {"stemsplit_fence": FORM, "token": self.lease.token, "files": names}
            try:
                self.fence = self.bucket.put(self.key, json.dumps(content).encode(), self.seen.version, self.pulse)
            except ConflictError:
                now = look(self.bucket, self.key, self.pulse)
                if now.record:
                    raise self.taken_over() from None
                self.seen = Seen(now.version, None, self.seen.keys | now.keys, now.is_foreign)
                self.check_record()
                continue
            return
        raise self.taken_over()

    def check(self) -> None:
        """Raise TakenOverError if the fence does not stand any more."""
        self.lease.check()
        item = self.bucket.look(self.key, self.pulse)
        if item is None or not self.fence or not item.version.equals(self.fence):
            raise self.taken_over()

    def put_stem(self, key: str, item: Item | None) -> None:
        """Write a stem.

        Args:
            key: its name.
            item: what had that name before the fence was last checked.
        """
        for _ in range(ROUNDS):
            self.check()
            try:
                self.bucket.upload(key, self.stems[key], item.version if item else None, self.pulse)
            except ConflictError:
                item = self.look_at(key)
                continue
            return
        raise self.taken_over()

    def run(self, record: Record) -> None:
        """Write everything, see `commit`."""
        self.check_record()
        items = {key: self.look_at(key) for key in self.stems}  # before anything there is changed
        self.put_fence()
        for key, item in items.items():
            self.put_stem(key, item)
        try:
            self.bucket.put(self.key, record.text().encode(), self.fence, self.pulse)
        except ConflictError:
            raise self.taken_over() from None


def commit(
    lease: Lease,
    seen: Seen,
    record_key: str,
    record: Record,
    stems: Mapping[str, Path],
    is_forced: bool = False,
    pulse: Pulse = go_on,
) -> None:
    """Write a song's stems and then its record. If this process ends before that, nothing there looks finished.

    The claim stays; release it afterwards.

    Args:
        lease: claim on the song.
        seen: what `look` returned after the song was claimed.
        record_key: name of the record.
        record: the new record.
        stems: name of each stem's object -> the finished file. Files of silent stems that are left out are not in it.
        is_forced: whether objects that stemsplit did not write are replaced.
        pulse: called during a wait.

    Raises:
        TakenOverError: another process took over the song. Its stems and its record are not touched.
        OccupiedError: something that stemsplit did not write has the name of a stem or of the record. Nothing was
            written.
        StoreError: the store fails.
        OSError: a file cannot be read.
    """
    _Commit(lease, seen, record_key, stems, is_forced, pulse).run(record)

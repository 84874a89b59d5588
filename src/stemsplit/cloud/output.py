"""The place that stems go to in an object store, and what is there: seen for all songs at the start, then again."""

import os
import re
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.cloud import claims, listing, probe, sources
from stemsplit.cloud.address import Address, is_usable
from stemsplit.cloud.failures import RefusedError, StoreError
from stemsplit.cloud.place import StorePlace
from stemsplit.cloud.store import Bucket, bucket_of
from stemsplit.errors import AudioError
from stemsplit.songs import record
from stemsplit.songs.record import Record

AT_ONCE = 32
"""Number of objects that are looked at together."""

MANY = 100
"""Number of songs from which on the whole place is listed, in pages, instead of asking for each song."""

TRIED = re.compile(rf"/?{re.escape(probe.PROBE)}[0-9a-f]+")
"""Matches the name of the object by which a store is tried out, in a message."""


@dataclass
class Seen:
    """What was there when it was last looked at.

    Args:
        sizes: key -> bytes.
        is_whole: whether objects that are not among the sizes do not exist.
        records: key of a record -> its content, compressed, as there may be very many.
        notes: key of a record -> digests from the note beside it, or None; see `sources`.
    """

    sizes: dict[str, int] = field(default_factory=dict)
    is_whole: bool = False
    records: dict[str, bytes | None] = field(default_factory=dict)
    notes: dict[str, tuple[str, str] | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Output:
    """The place that stems go to.

    Args:
        address: its address.
        root: folder of this machine in whose place it is: paths below it stand for addresses.
    """

    address: Address
    root: Path
    seen: Seen = field(default_factory=Seen, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: it looks for itself what is there."""
        return {"address": self.address, "root": self.root, "seen": Seen()}

    @property
    def bucket(self) -> Bucket:
        """The bucket."""
        return bucket_of(self.address)

    @property
    def place(self) -> StorePlace:
        """The same place, as notes are kept in it."""
        return StorePlace(self.address)

    def name(self, target: Path) -> str:
        """Return the name of a file, relative to the place."""
        root, path = str(self.root), str(target)  # as text: there may be very many
        if not path.startswith(root + os.sep):
            return target.relative_to(self.root).as_posix()
        return path[len(root) + 1 :].replace(os.sep, "/")

    def key(self, target: Path) -> str:
        """Return the key of a file.

        Raises:
            AudioError: no object can be called so.
        """
        top = self.address.key
        key = f"{top}/{self.name(target)}" if top else self.name(target)
        try:
            key.encode()
        except UnicodeEncodeError:
            raise AudioError(f"cannot write {self.address} (a name of the song is not text in UTF-8)") from None
        if not is_usable(key):
            raise AudioError(f"cannot write {self.address}/{self.name(target)} (no object can be called so)")
        return key

    def check(self) -> None:
        """Find out whether stems can be written there.

        Raises:
            StoreError: they cannot.
        """
        try:
            probe.check_writable(self.bucket, self.address.key)
        except StoreError as error:
            raise type(error)(TRIED.sub("", str(error))) from error
        claims.watch(self.bucket, self.address.key)

    def sweep(self) -> None:
        """Remove the claims that dead processes left there, at the end of a run."""
        claims.sweep(self.bucket, self.address.key)

    def look_ahead(self, records: Sequence[Path]) -> None:
        """Look at what is there of many songs.

        Raises:
            StoreError: the place cannot be looked at.
        """
        keys = [key for path in records if (key := self._key_or_none(path))]
        if len(keys) >= MANY:
            try:
                self.seen.sizes = {item.key: item.size for item in listing.objects(self.bucket, self.address.key)}
                self.seen.is_whole = True
            except RefusedError:
                raise
            except StoreError:
                self.seen.sizes = {}  # an object there has a name that cannot be listed; the others can still be read
        there = [key for key in keys if not self.seen.is_whole or key in self.seen.sizes]
        with ThreadPoolExecutor(AT_ONCE, "looking") as executor:
            for key, content, note in executor.map(self._looked_at, there):
                self.seen.records[key], self.seen.notes[key] = content, note

    def _key_or_none(self, path: Path) -> str | None:
        try:
            return self.key(path)
        except AudioError:
            return None

    def _looked_at(self, key: str) -> tuple[str, bytes | None, tuple[str, str] | None]:
        name = self.address.below(key)
        content = self.place.read(name, record.LIMIT)
        return (key, None, None) if content is None else (key, zlib.compress(content), sources.noted(self.place, name))

    def recorded(self, path: Path) -> Record | None:
        """Return the record of a song, as it was last seen; None if there is none.

        Raises:
            StoreError: it cannot be looked at.
        """
        key, seen = self.key(path), self.seen
        if key not in seen.records:
            if seen.is_whole and key not in seen.sizes:
                return None
            _, seen.records[key], seen.notes[key] = self._looked_at(key)
        content = seen.records[key]
        return record.parsed(zlib.decompress(content)) if content else None

    def noted(self, path: Path) -> tuple[str, str] | None:
        """Return what is noted beside a record; see `sources`."""
        self.recorded(path)
        return self.seen.notes.get(self.key(path))

    def size_of(self, target: Path) -> int | None:
        """Return the bytes of an object, as it was last seen; None if there is none.

        Raises:
            StoreError: it cannot be looked at.
        """
        key = self.key(target)
        if key not in self.seen.sizes:
            if self.seen.is_whole:
                return None
            item = self.bucket.look(key)
            self.seen.sizes[key] = -1 if item is None else item.size
        size = self.seen.sizes[key]
        return None if size < 0 else size

    def fresh(self) -> "Output":
        """Return the same place, to be looked at again for one song; the sizes of all songs' stems are forgotten."""
        self.seen.sizes, self.seen.is_whole = {}, False
        return Output(self.address, self.root)

"""An output folder in an object store, as `songs.sharing.place` defines one."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

from stemsplit.cloud import claims, listing
from stemsplit.cloud.address import Address, is_usable
from stemsplit.cloud.failures import StoreError, TooLargeError
from stemsplit.cloud.owner import DONE
from stemsplit.cloud.store import bucket_of
from stemsplit.songs.sharing.place import Holding


@dataclass(frozen=True)
class StorePlace:
    """An output folder in an object store.

    Args:
        address: address of the folder.
    """

    address: Address

    @property
    def reads_at_once(self) -> int:
        """Number of files that are best read at the same time."""
        return 16

    def shown(self, name: str) -> str:
        """Return the address of a file as people read it."""
        return str(self.address.at(name) if name else self.address)

    def files(self, below: str = "") -> Iterator[tuple[str, int]]:
        """Yield the name and the size of each object whose name has no step that begins with a dot.

        Args:
            below: name of the only folder to list.

        Raises:
            StoreError: it cannot be listed.
        """
        bucket = bucket_of(self.address)
        top = self.address.at(below) if below else self.address
        for item in listing.objects(bucket, top.key):
            name = self.address.below(item.key)
            if is_usable(item.key) and not any(step.startswith(".") for step in name.split("/")):
                yield name, item.size

    def claims(self) -> Iterator[Holding]:
        """Yield the claims on songs.

        Raises:
            StoreError: they cannot be listed.
        """
        for name, owner, item in claims.claims(bucket_of(self.address), self.address.key):
            if owner.state != DONE:
                silent = max(0.0, time.time() - item.modified)
                is_live = False if owner.is_dead() else None
                yield Holding(name, owner.host, owner.process, silent, is_live, owner.takeovers)

    def _key(self, name: str) -> str:
        key = self.address.at(name).key
        if not name or not is_usable(key):
            raise StoreError(f"cannot use {self.shown(name)} (not a name of an object)")
        return key

    def read(self, name: str, limit: int) -> bytes | None:
        """Read an object; None if there is none of that name, or it is larger than `limit` bytes.

        Raises:
            StoreError: it cannot be read.
        """
        try:
            found = bucket_of(self.address).read(self._key(name), limit)
        except TooLargeError:
            return None
        return found[0] if found else None

    def write(self, name: str, data: bytes) -> None:
        """Write an object whole or not at all, whatever was there.

        Raises:
            StoreError: it cannot be written.
        """
        bucket_of(self.address).overwrite(self._key(name), data)

"""Reads and writes the objects of a bucket, whole or not at all, and tries again after failures that may be over."""

import mmap
import os
import secrets
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import obstore
from obstore.store import ObjectStore

from stemsplit.cloud import waiting
from stemsplit.cloud.address import Address
from stemsplit.cloud.clients import open_client
from stemsplit.cloud.failures import ERRORS, ConflictError, Failure, MissingError, StoreError, TooLargeError, failure
from stemsplit.cloud.waiting import Pulse, go_on, pause, waited

T = TypeVar("T")

SHORT_SECONDS = 60.0
"""Time for a request without much content."""

SLOWEST = 100_000
"""Bytes a second below which a request is given up."""

LARGEST = 5_000 * 1024 * 1024
"""Bytes of the largest object that all three stores accept in one request, as a conditional write has to be."""

BLOCK = 1024 * 1024
"""Bytes of an answer that are handed over at once."""

MARK = "stemsplit"
"""Name of the metadata that tells this process's own writes from others': an answer may be lost on its way."""


@dataclass(frozen=True, slots=True)
class Version:
    """Names the state that an object is in, so that it is replaced only in that state.

    Args:
        tag: entity tag. On S3, it depends on the content only.
        number: version or generation; empty if the store has none.
    """

    tag: str
    number: str = ""

    def equals(self, other: "Version") -> bool:
        """Return whether both name the same state; one of them may have fewer details."""
        if self.number and other.number:
            return self.number == other.number
        return bool(self.tag) and self.tag == other.tag


@dataclass(frozen=True, slots=True)
class Item:
    """An object as a store describes it.

    Args:
        key: its name in the bucket.
        size: bytes.
        version: its state. From a list, it may lack what a conditional write needs: `Bucket.look` tells all.
        modified: time of the last change, in seconds since 1970, by the store's clock.
        mark: mark of the write by stemsplit that made it; empty if it was not one, or if the item comes from a list.
    """

    key: str
    size: int
    version: Version
    modified: float = 0.0
    mark: str = ""


def item_of(meta: Any, mark: str = "") -> Item:
    """Return an object as obstore describes it."""
    version = Version(meta["e_tag"] or "", meta["version"] or "")
    return Item(meta["path"], meta["size"], version, meta["last_modified"].timestamp(), mark)


async def content_of(found: "obstore.GetResult", limit: int) -> bytes | None:
    """Return the content of an answer; None if it has more bytes than the limit, whatever the answer said before."""
    content = bytearray()
    async for block in found.stream(min_chunk_size=min(limit + 1, BLOCK)):
        content += block
        if len(content) > limit:
            return None
    return bytes(content)


def _mode(seen: Version | None) -> Any:
    if seen is None:
        return "create"
    return {key: value for key, value in (("e_tag", seen.tag), ("version", seen.number)) if value}


class Bucket:
    """A bucket of an object store, or a server on the web, where nothing is written or listed.

    All calls may be made in any thread. Each waits for its end, calling a `pulse` meanwhile, and repeats what may
    succeed the next time. A key is the whole name of an object.

    Args:
        address: address of the bucket; its key is ignored, except on the web.
        client: obstore's client for it.
    """

    def __init__(self, address: Address, client: ObjectStore) -> None:
        self.address, self.client = address, client
        self.has_answered = False

    def shown(self, key: str) -> str:
        """Return the address of an object as people read it."""
        return str(self.address) if self.address.is_on_web else f"{self.address.scheme}://{self.address.bucket}/{key}"

    def _failed(self, error: Exception, number: int) -> tuple[Failure, bool]:
        """Return what an error means, and whether to try again after this many failures."""
        found = failure(error, self.address)
        self.has_answered = self.has_answered or found.answered
        tries = waiting.TRIES if self.has_answered else waiting.FIRST_TRIES
        return found, found.is_transient and number < tries

    def ask(
        self, what: str, request: Callable[[], Coroutine[Any, Any, T]], pulse: Pulse, seconds: float = SHORT_SECONDS
    ) -> T:
        """Send a request until it succeeds, or fails for good.

        Args:
            what: what is tried, such as "cannot read s3://bucket/song.flac".
            request: makes the request.
            pulse: called during a wait.
            seconds: time for one try.

        Raises:
            StoreError: it failed.
        """
        number = 0
        while True:
            try:
                result = waited(request(), pulse, seconds)
                self.has_answered = True
                return result
            except ERRORS as error:
                number += 1
                found, again = self._failed(error, number)
                if not again:
                    raise found.error(what) from None
            pause(number, pulse)

    def look(self, key: str, pulse: Pulse = go_on) -> Item | None:
        """Return an object's present state; None if there is no such object.

        Raises:
            RefusedError: the bucket cannot be used.
            StoreError: the store fails.
        """

        async def request() -> Item:
            # Whoever signed an address on the web for reading did not sign it for HEAD.
            options: Any = {} if self.address.is_on_web else {"head": True}
            found = await obstore.get_async(self.client, self.path(key), options=options)
            return item_of(found.meta, found.attributes.get(MARK, ""))

        try:
            return self.ask(f"cannot read {self.shown(key)}", request, pulse)
        except MissingError:
            return None

    def path(self, key: str) -> str:
        """Return what obstore calls an object."""
        return "" if self.address.is_on_web else key

    def read(self, key: str, limit: int, pulse: Pulse = go_on) -> tuple[bytes, Version] | None:
        """Return the content of a small object, and its state; None if there is no such object.

        Args:
            key: name of the object.
            limit: bytes; a larger object is not read.
            pulse: called during a wait.

        Raises:
            RefusedError: the bucket cannot be used.
            TooLargeError: the object is larger.
            StoreError: the store fails.
        """
        what = f"cannot read {self.shown(key)}"

        async def request() -> tuple[bytes, Version]:
            found = await obstore.get_async(self.client, self.path(key))
            content = None if found.meta["size"] > limit else await content_of(found, limit)
            if content is None:
                raise TooLargeError(f"{what} (it is larger than {limit} bytes)")
            return content, item_of(found.meta).version

        try:
            return self.ask(what, request, pulse)
        except MissingError:
            return None

    def _put(self, key: str, data: Any, mode: Any, pulse: Pulse) -> Version:
        what, mark, number = f"cannot write {self.shown(key)}", secrets.token_hex(8), 0

        async def request() -> Version:
            given = {MARK: mark}
            made = await obstore.put_async(self.client, key, data, mode=mode, attributes=given, use_multipart=False)
            return Version(made["e_tag"] or "", made["version"] or "")

        while True:
            try:
                result = waited(request(), pulse, SHORT_SECONDS + len(data) / SLOWEST)
                self.has_answered = True
                return result
            except ERRORS as error:
                # The try before may have succeeded, and only its answer was lost.
                if number and (made := self._made(error, key, mark, pulse)):
                    return made
                number += 1
                found, again = self._failed(error, number)
                if not again:
                    raise found.error(what) from None
            pause(number, pulse)

    def _made(self, error: Exception, key: str, mark: str, pulse: Pulse) -> Version | None:
        """Return the state that an own write left, if that is why the same write is refused now."""
        if failure(error, self.address).kind is not ConflictError:
            return None
        item = self.look(key, pulse)
        return item.version if item and item.mark == mark else None

    def put(self, key: str, data: bytes, seen: Version | None, pulse: Pulse = go_on) -> Version:
        """Write an object, if it is still in the state in which it was last seen.

        Args:
            key: name of the object.
            data: content.
            seen: state of the object; None if there must be no such object.
            pulse: called during a wait.

        Returns:
            The new state.

        Raises:
            ConflictError: the object is in another state; nothing was written.
            StoreError: the store fails. The object may have been written, or be written later, but only in that state.
        """
        return self._put(key, data, _mode(seen), pulse)

    def overwrite(self, key: str, data: bytes, pulse: Pulse = go_on) -> Version:
        """Write an object, whatever was there. Errors: see `put`."""
        return self._put(key, data, "overwrite", pulse)

    def upload(self, key: str, path: Path, seen: Version | None, pulse: Pulse = go_on) -> Version:
        """Write a file's content to an object, as `put` does. The file is not read into memory.

        Raises:
            OSError: the file cannot be read.
            ConflictError, StoreError: see `put`.
        """
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size > LARGEST:
                raise StoreError(
                    f"cannot write {self.shown(key)} (it has more than {LARGEST / 1e9:.1f} GB); try --format flac"
                )
            # Not closed here: a request that was given up may still look at it. It ends with its last user.
            data = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
        return self._put(key, data, _mode(seen), pulse)

    def delete(self, key: str, pulse: Pulse = go_on) -> None:
        """Remove an object, whatever it holds; one that does not exist is as good as removed.

        Raises:
            StoreError: the store fails.
        """

        async def request() -> None:
            await obstore.delete_async(self.client, key)

        with suppress(MissingError):
            self.ask(f"cannot remove {self.shown(key)}", request, pulse)


@cache
def _bucket(address: Address, _process: int) -> Bucket:
    return Bucket(address, open_client(address))


def bucket_of(address: Address) -> Bucket:
    """Return the bucket of an address. Each process has one connection pool for each bucket.

    Raises:
        RefusedError: the environment does not say how the bucket can be reached.
    """
    return _bucket(address if address.is_on_web else replace(address, key=""), os.getpid())

"""Downloads an object into a file, piece by piece, so that a connection that breaks off costs one piece."""

from collections.abc import Callable
from typing import IO, Any

import obstore

from stemsplit.cloud.failures import ConflictError, NoRangesError, StoreError
from stemsplit.cloud.store import BLOCK, SHORT_SECONDS, SLOWEST, Bucket, Item, content_of, item_of
from stemsplit.cloud.waiting import Pulse, go_on

PIECE = 8 * 1024 * 1024
"""Bytes that are downloaded at once."""


def _nothing(_done: int) -> None:
    pass


async def _answer(bucket: Bucket, item: Item, options: Any) -> "obstore.GetResult":
    """Return the store's answer to a download.

    Raises:
        ConflictError: the object is not in the state that the item describes.
    """
    found = await obstore.get_async(bucket.client, bucket.path(item.key), options=options)
    now = item_of(found.meta)
    is_same = now.version.tag == item.version.tag and (bool(item.version.tag) or now.modified == item.modified)
    if now.size != item.size or not is_same:
        raise ConflictError(f"cannot read {bucket.shown(item.key)} (it was changed meanwhile)")
    return found


def _whole(bucket: Bucket, item: Item, file: IO[bytes], pulse: Pulse, progress: Callable[[int], object]) -> None:
    """Download an object in one piece."""
    start = file.tell()

    async def request() -> int:
        found = await _answer(bucket, item, {})
        file.seek(start)
        done = 0
        async for block in found.stream(min_chunk_size=BLOCK):
            done += len(block)
            if done > item.size:
                break
            file.write(block)
            progress(done)
        return done

    what = f"cannot read {bucket.shown(item.key)}"
    done = bucket.ask(what, request, pulse, SHORT_SECONDS + item.size / SLOWEST)
    if done != item.size:
        raise StoreError(f"{what} (the server does not send the {item.size} bytes that it said)")


def download(
    bucket: Bucket,
    item: Item,
    file: IO[bytes],
    pulse: Pulse = go_on,
    progress: Callable[[int], object] = _nothing,
) -> None:
    """Download an object into a file, from the file's position on.

    Args:
        bucket: bucket of the object.
        item: the object, as `Bucket.look` described it.
        file: open file.
        pulse: called during a wait.
        progress: called with the bytes that are done.

    Raises:
        MissingError: the object was removed.
        ConflictError: it was changed since.
        StoreError: the store fails, or sends something else.
        OSError: the file cannot be written.
    """
    what, done = f"cannot read {bucket.shown(item.key)}", 0
    while done < item.size:
        end = min(done + PIECE, item.size)

        async def request(start: int = done, end: int = end) -> bytes | None:
            options = {} if (start, end) == (0, item.size) else {"range": (start, end)}
            return await content_of(await _answer(bucket, item, options), end - start)

        try:
            piece = bucket.ask(what, request, pulse, SHORT_SECONDS + PIECE / SLOWEST)
        except NoRangesError:
            _whole(bucket, item, file, pulse, progress)
            break
        if piece is None or len(piece) != end - done:
            raise StoreError(f"{what} (the server does not send the bytes that it was asked for)")
        file.write(piece)
        done = end
        progress(done)

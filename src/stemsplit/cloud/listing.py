"""Lists the objects below a prefix, page by page, so that memory does not grow with their number."""

import re
from collections.abc import Iterator
from typing import Any

import obstore
from obstore import exceptions

from stemsplit.cloud.failures import StoreError
from stemsplit.cloud.store import Bucket, Item, item_of
from stemsplit.cloud.waiting import Pulse, go_on
from stemsplit.words import printable

PAGE = 1_000
"""Names in a page: as many as the stores send at once."""

UNUSABLE = re.compile(r'Path "(.*?)"(?: contained|: Encountered)', re.DOTALL)
"""How obstore names a key that it cannot use. It then has lost the whole page."""


class _Pages:
    """Asks for the pages of a list, one after the other, and again behind the last key if a connection breaks off."""

    def __init__(self, bucket: Bucket, prefix: str, after: str = "") -> None:
        self.bucket, self.prefix = bucket, prefix
        self.last = after or None
        self.stream: Any = None

    async def next(self) -> list[Any]:
        """Return the next page; empty after the last."""
        if self.stream is None:
            self.stream = obstore.list(self.bucket.client, self.prefix or None, offset=self.last, chunk_size=PAGE)
        try:
            page = list(await anext(self.stream))
        except StopAsyncIteration:
            return []
        except exceptions.InvalidPathError as error:
            found = UNUSABLE.search(str(error))
            key = printable(found[1])[:200] if found else ""
            what = f"cannot list {self.bucket.shown(self.prefix)}"
            raise StoreError(f"{what} (it holds a name that cannot be used: '{key}'); rename that object") from None
        except BaseException:
            self.stream = None
            raise
        self.last = page[-1]["path"] if page else self.last
        return page


def objects(bucket: Bucket, prefix: str, pulse: Pulse = go_on, after: str = "") -> Iterator[Item]:
    """Yield the objects below a prefix, in the order of the store: that of their keys, but for S3's directory buckets.

    Args:
        bucket: the bucket.
        prefix: first steps of the keys, without a slash at the end; empty for the whole bucket. An object of just that
            name is not below it.
        pulse: called during a wait.
        after: key that all come after, in the order of keys; empty for all.

    Raises:
        RefusedError: the bucket cannot be used.
        StoreError: the store fails, or holds a name that cannot be used.
    """
    pages, what = _Pages(bucket, prefix, after), f"cannot list {bucket.shown(prefix)}"
    while page := bucket.ask(what, pages.next, pulse):
        for meta in page:
            yield item_of(meta)

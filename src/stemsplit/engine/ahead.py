"""Makes the next items in another thread while the present one is used."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], most: int) -> Generator[T, None, None]:
    """Give the same items, up to `most` of them made by another thread before they are asked for.

    An error in making an item is raised in its place. Whoever stops early has to close this, which waits for the item
    in work.
    """
    end = object()
    source = iter(items)
    coming: deque[Future[T | object]] = deque()
    with ThreadPoolExecutor(1, "ahead") as thread:
        try:
            coming.extend(thread.submit(next, source, end) for _ in range(most))
            while (item := coming.popleft().result()) is not end:
                coming.append(thread.submit(next, source, end))
                yield item  # type: ignore[misc]  # it is not the end
        finally:
            for future in coming:
                future.cancel()

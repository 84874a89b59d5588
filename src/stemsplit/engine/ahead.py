"""Prepares the next items in another thread while the present one is used."""

from collections import deque
from collections.abc import Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def ahead(items: Iterable[T], most: int) -> Generator[T, None, None]:
    """Yield the same items, up to `most` of which another thread prepares before they are asked for.

    An error in preparing an item is raised in its place. A caller that stops early must close the generator, which
    waits for the item that is being prepared.
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

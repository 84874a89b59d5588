"""Lets several readers go through the same items, each at its own pace."""

from collections import deque
from collections.abc import Generator, Iterable
from contextlib import closing
from threading import Lock
from typing import Generic, TypeVar

T = TypeVar("T")


class Ended:
    """The end of the items, and the error that ended them, if one did."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error


class Shared(Generic[T]):
    """Items that several readers get, each all of them and in their order.

    An item is held until the last reader has it. Readers may be in different threads. An error in making an item is
    raised in every reader. What a reader that was closed did not read is not held for it.

    Args:
        items: the items, each of which is made once.
        readers: number of readers.
    """

    def __init__(self, items: Iterable[T], readers: int) -> None:
        self.items, self.lock = iter(items), Lock()
        self.waiting: list[deque[T | Ended] | None] = [deque() for _ in range(readers)]

    def reader(self, index: int) -> Generator[T, None, None]:
        """Yield the items to one of the readers, each of which may be asked for once."""
        try:
            while True:
                item = self._next(index)
                if isinstance(item, Ended):
                    if item.error:
                        raise item.error
                    return
                yield item
        finally:
            self.waiting[index] = None

    def _next(self, index: int) -> T | Ended:
        with self.lock:
            own = self.waiting[index]
            assert own is not None
            if not own:
                item = self._made()
                for queue in self.waiting:
                    if queue is not None:
                        queue.append(item)
            return own.popleft()

    def _made(self) -> T | Ended:
        try:
            return next(self.items)
        except StopIteration:
            return Ended()
        except Exception as error:  # of any kind, as the items come from anywhere
            return Ended(error)

    def close(self) -> None:
        """Close the items, if they can be closed."""
        if isinstance(self.items, Generator):
            with closing(self.items):
                pass

"""Runs network work in a thread of its own, so that a server that stalls or dribbles is given up in time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from stemsplit.errors import WeightsError

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds to wait for a response, and over which the speed of its content is measured."""

SLOWEST = 1_000
"""Bytes a second below which a server is given up."""

QUEUE_LENGTH = 32
"""Items that the thread may be ahead of their consumer."""

TICK = 0.25
"""Longest wait in seconds: on Windows, a signal does not end a wait."""


class SlowError(WeightsError):
    """A response takes too long, or arrives too slowly."""


class _AbandonedError(Exception):
    """Raised in the thread when its items are not wanted any more."""


@dataclass
class _End:
    """The last item of the queue.

    Args:
        error: exception that ended the work, if there was one.
    """

    error: BaseException | None


class _Queue(Generic[T]):
    """Hands items from the thread to their consumer."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.items: list[T | _End] = []
        self.abandoned = False

    def put(self, item: T | _End) -> None:
        """Add an item; wait while the queue is full.

        Raises:
            _AbandonedError: the items are not wanted any more.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.abandoned or len(self.items) < QUEUE_LENGTH)
            if self.abandoned:
                raise _AbandonedError
            self.items.append(item)
            self.changed.notify()

    def take(self, timeout: float) -> list[T | _End]:
        """Remove and return all items; wait for the first for at most `timeout` seconds."""
        with self.changed:
            self.changed.wait_for(lambda: bool(self.items), timeout)
            items, self.items = self.items, []
            self.changed.notify()
        return items

    def abandon(self) -> None:
        """Tell the thread that its items are not wanted any more."""
        with self.changed:
            self.abandoned = True
            self.changed.notify()

    def run(self, work: Callable[[Callable[[T], None]], object]) -> None:
        """Do the work in the thread, and add an `_End`."""
        error: BaseException | None = None
        try:
            work(self.put)
        except BaseException as caught:
            error = caught
        with suppress(_AbandonedError):
            self.put(_End(error))

    def consume(self, patience: float) -> Iterator[T]:
        """Yield the items until the work ends.

        Only time spent waiting counts, not what the consumer does with the items in between.

        Args:
            patience: seconds, as `PATIENCE`.

        Raises:
            SlowError: nothing arrived in that time, or too few bytes.
            BaseException: the exception that ended the work.
        """
        waited, arrived = 0.0, 0
        while True:
            if waited >= patience:
                if arrived < SLOWEST * patience:
                    raise SlowError(_message(arrived, patience))
                waited, arrived = 0.0, 0
            started = time.monotonic()
            items = self.take(min(TICK, patience - waited))
            waited += time.monotonic() - started
            for item in items:
                if isinstance(item, _End):
                    if item.error:
                        raise item.error
                    return
                if isinstance(item, bytes):
                    arrived += len(item)
                else:
                    waited = 0.0
                yield item


def _message(arrived: int, patience: float) -> str:
    if not arrived:
        return f"nothing arrived in {patience:g} s; try again later"
    return f"only {arrived} bytes arrived in {patience:g} s; try again later"


@contextmanager
def watched(work: Callable[[Callable[[T], None]], object], timeout: float = 0) -> Iterator[Iterator[T]]:
    """Run work in a thread of its own. The thread is abandoned if it takes too long or is not needed any more.

    Args:
        work: function that is given another one, to hand over items with. Of items that are bytes, the speed is
            measured.
        timeout: seconds that the user's settings allow for one response; at least `PATIENCE` is granted.

    Yields:
        An iterator over the items. It raises SlowError if nothing or too little arrives, and what the work raised.
    """
    queue = _Queue[T]()
    # A daemon, so that the program can end without it.
    threading.Thread(target=queue.run, args=(work,), name="network", daemon=True).start()
    try:
        yield queue.consume(max(PATIENCE, timeout))
    finally:
        queue.abandon()


def in_time(action: Callable[[], T], timeout: float = 0) -> T:
    """Return an action's result, unless it takes too long (see `watched`).

    Raises:
        SlowError: it takes too long.
    """

    def work(hand_over: Callable[[T], None]) -> None:
        hand_over(action())

    with watched(work, timeout) as items:
        return next(items)

"""Does in a thread of its own what may hang, so that a server that says nothing, or too little, is given up in time."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

from stemsplit.errors import WeightsError

T = TypeVar("T")

PATIENCE = 60.0
"""Seconds to wait for an answer, and over which the speed of what follows is measured."""

SLOWEST = 1_000
"""Bytes a second below which a server is given up."""

WAITING = 32
"""Items that the thread may be ahead of whoever takes them."""

TICK = 0.25
"""Seconds after which a wait is begun anew: on Windows, a signal does not end it."""


class SlowError(WeightsError):
    """An answer takes too long, or comes too slowly."""


class _AbandonedError(Exception):
    """Raised in the thread when nobody takes its items any more."""


@dataclass
class _End:
    """The last item: what the work ended with."""

    error: BaseException | None


class _Belt(Generic[T]):
    """Carries items from the thread to whoever takes them."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.items: list[T | _End] = []
        self.abandoned = False

    def put(self, item: T | _End) -> None:
        """Hand an item over; wait as long as there are too many.

        Raises:
            _AbandonedError: nobody takes it any more.
        """
        with self.changed:
            self.changed.wait_for(lambda: self.abandoned or len(self.items) < WAITING)
            if self.abandoned:
                raise _AbandonedError
            self.items.append(item)
            self.changed.notify()

    def take(self, timeout: float) -> list[T | _End]:
        """Take all items that are there; wait for one if there is none."""
        with self.changed:
            self.changed.wait_for(lambda: bool(self.items), timeout)
            items, self.items = self.items, []
            self.changed.notify()
        return items

    def abandon(self) -> None:
        """Say that nobody takes items any more."""
        with self.changed:
            self.abandoned = True
            self.changed.notify()

    def run(self, work: Callable[[Callable[[T], None]], object]) -> None:
        """Do the work, and hand over how it ended."""
        error: BaseException | None = None
        try:
            work(self.put)
        except BaseException as caught:
            error = caught
        with suppress(_AbandonedError):
            self.put(_End(error))

    def taken(self, patience: float) -> Iterator[T]:
        """Take all items.

        Only the time spent waiting for them counts, not what is done with them in between.

        Args:
            patience: seconds, as `PATIENCE`.

        Raises:
            SlowError: none came in that time, or too few bytes.
            BaseException: what the work failed with.
        """
        waited, came = 0.0, 0
        while True:
            if waited >= patience:
                if came < SLOWEST * patience:
                    raise SlowError(_words(came, patience))
                waited, came = 0.0, 0
            started = time.monotonic()
            items = self.take(min(TICK, patience - waited))
            waited += time.monotonic() - started
            for item in items:
                if isinstance(item, _End):
                    if item.error:
                        raise item.error
                    return
                if isinstance(item, bytes):
                    came += len(item)
                else:
                    waited = 0.0
                yield item


def _words(came: int, patience: float) -> str:
    if not came:
        return f"nothing came for {patience:g} s; try again later"
    return f"only {came} bytes came in {patience:g} s; try again later"


@contextmanager
def watched(work: Callable[[Callable[[T], None]], object], timeout: float = 0) -> Iterator[Iterator[T]]:
    """Do something in a thread of its own, which is left to itself if it takes too long or is not needed any more.

    Args:
        work: given a function to hand items over with; the speed is that of those which are bytes.
        timeout: seconds that the user lets a server take for one answer; patience is never shorter.

    Yields:
        The items. To take them raises SlowError if nothing comes, or too little, and what the work raised.
    """
    belt = _Belt[T]()
    # A daemon: a program that wants to end does not wait for it.
    threading.Thread(target=belt.run, args=(work,), name="network", daemon=True).start()
    try:
        yield belt.taken(max(PATIENCE, timeout))
    finally:
        belt.abandon()


def in_time(action: Callable[[], T], timeout: float = 0) -> T:
    """Return what an action does, unless it takes too long (see `watched`).

    Raises:
        SlowError: it takes too long.
    """

    def work(hand_over: Callable[[T], None]) -> None:
        hand_over(action())

    with watched(work, timeout) as items:
        return next(items)

"""Lets one thread at a time work on the same thing, while others work on other things."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from threading import Lock


class Turns:
    """Hands out turns: a thing is worked on by one thread at a time."""

    def __init__(self) -> None:
        self._wanted: dict[Hashable, tuple[Lock, int]] = {}
        self._lock = Lock()

    @contextmanager
    def on(self, thing: Hashable) -> Iterator[None]:
        """Wait until no other thread works on a thing, and keep others waiting meanwhile."""
        with self._lock:
            turn, count = self._wanted.get(thing, (Lock(), 0))
            self._wanted[thing] = (turn, count + 1)
        try:
            with turn:
                yield
        finally:
            with self._lock:
                turn, count = self._wanted.pop(thing)
                if count > 1:
                    self._wanted[thing] = (turn, count - 1)

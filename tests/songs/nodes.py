"""Simulates machines that share a disk: each runs in a thread, and goes on one step on the disk at a time."""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from stemsplit.disk import first_turn, next_turn, owner, turn
from stemsplit.disk.folder import Folder

STEPS = ("open", "make", "move", "remove", "remove_folder", "stat", "names")
"""Methods of folders before which another machine may do anything."""


class KilledError(BaseException):
    """The machine was switched off: nothing that it had in mind is done any more."""


@dataclass
class Locks:
    """Locks of files.

    Args:
        kind: "none" if the disk has no locks, "local" if each machine has its own, "shared" if they hold everywhere.
    """

    kind: str
    held: dict[tuple[int, str], tuple[int, "Node"]] = field(default_factory=dict)

    def try_lock(self, descriptor: int, node: "Node") -> bool | None:
        """Lock an open file for a node, as `stemsplit.disk.lock.try_lock` does."""
        if self.kind == "none":
            return None
        key = (os.fstat(descriptor).st_ino, node.machine if self.kind == "local" else "")
        if key in self.held:
            other, by = self.held[key]
            try:
                if other != descriptor and not by.killed and os.fstat(other).st_ino == key[0]:
                    return False
            except OSError:
                pass  # it was closed
        self.held[key] = descriptor, node
        return True


@dataclass
class Node:
    """A process on one of the machines.

    Args:
        machine: the machine's name, 16 hexadecimal digits.
        work: what it does; called in a thread of its own.
    """

    machine: str
    work: Callable[["Node"], None]
    killed: bool = False
    done: bool = False
    waiting: bool = False
    error: BaseException | None = None
    _go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _back: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    _thread: threading.Thread | None = None

    def _run(self) -> None:
        HERE.node = self
        self._go.acquire()
        try:
            if not self.killed:
                self.work(self)
        except KilledError:
            pass
        except BaseException as error:
            self.error = error
        self.done = True
        self._back.release()

    def pause(self) -> None:
        """Let others do something; called in the node's thread."""
        if not self.killed:
            self._back.release()
            self._go.acquire()
        if self.killed:
            raise KilledError

    def wait(self) -> None:
        """Pause until the test lets it look again."""
        self.waiting = True
        self.pause()
        self.waiting = False

    def step(self) -> None:
        """Let it do its next step; called by the test."""
        if self.done:
            return
        if not self._thread:
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()
        self._go.release()
        self._back.acquire()
        if self.error:
            raise self.error

    def kill(self) -> None:
        """Switch it off."""
        self.killed = True
        self.step()
        self.done = True


HERE = threading.local()
"""Has the node of each thread."""


def here() -> Node | None:
    """Return the node of this thread; None in the test's own."""
    return getattr(HERE, "node", None)


@contextmanager
def simulated(kind: str) -> Iterator[None]:
    """Let nodes run in threads, on a disk with locks of a kind, see `Locks`."""
    locks, real = Locks(kind), turn.try_lock

    def pausing(method: Callable[..., Any]) -> Callable[..., Any]:
        def paused(*arguments: Any, **options: Any) -> Any:
            if node := here():
                node.pause()
            return method(*arguments, **options)

        return paused

    def machine(_: Folder) -> str:
        node = here()
        return node.machine if node else "f" * 16

    def try_lock(descriptor: int) -> bool | None:
        node = here()
        return locks.try_lock(descriptor, node) if node else real(descriptor)

    with pytest.MonkeyPatch.context() as patched:
        for name in STEPS:
            patched.setattr(Folder, name, pausing(getattr(Folder, name)))
        for module in (owner, first_turn, next_turn):
            patched.setattr(module, "machine", machine)
        for room in (turn, first_turn, next_turn):
            patched.setattr(room, "try_lock", try_lock)
        patched.setattr(owner, "is_local", lambda _: False)
        yield

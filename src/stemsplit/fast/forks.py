"""Makes anew in a forked process what a fork breaks: threads, which stay in the parent, and locks that they held.

PyTorch's own threads are GNU OpenMP's, which after a fork waits for ever for those of the parent. So PyTorch computes
in one thread there; a `Pool` still has as many as it was asked for.
"""

import multiprocessing
import os
from multiprocessing.context import BaseContext
from threading import RLock
from types import TracebackType
from typing import Any, Protocol
from weakref import WeakSet

import torch


class Renewed(Protocol):
    """An object with a state that a fork breaks."""

    def renew(self) -> None:
        """Make that state anew, in the forked process."""


class _Process:
    """What is known of this process.

    Attributes:
        forked: whether it may have been forked from one in which PyTorch had threads.
    """

    def __init__(self) -> None:
        self.forked = False
        self.renewed: WeakSet[Any] = WeakSet()

    def begin(self) -> None:
        """Go on in a forked process, in which this is the only thread."""
        self.forked = True
        torch.get_num_threads()  # a thread's first call of this would undo the next line
        torch.set_num_threads(1)
        for each in list(self.renewed):
            each.renew()


_process = _Process()


def renew_after_fork(each: Renewed) -> None:
    """Have an object renewed in every process that is forked from this one, as long as it exists."""
    _process.renewed.add(each)


def torch_threads_here(count: int) -> int:
    """Return how many threads PyTorch may use in this process, of those asked for."""
    return 1 if _process.forked else count


def _is_forked_by_multiprocessing() -> bool:
    """Return whether `multiprocessing` forked this process, before this module was there to notice."""
    here: Any = multiprocessing.current_process()
    method = getattr(here, "_start_method", None)
    if multiprocessing.parent_process() is None:
        return False
    context: BaseContext = multiprocessing.get_context()
    return bool((method or context.get_start_method(allow_none=True)) == "fork")


class Turns:
    """A lock, which no other thread holds in a process that was just forked."""

    def __init__(self) -> None:
        self.renew()
        renew_after_fork(self)

    def renew(self) -> None:
        """Make another lock."""
        self._lock = RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._lock.release()


if hasattr(os, "register_at_fork"):  # not on Windows, which cannot fork
    os.register_at_fork(after_in_child=_process.begin)
    if _is_forked_by_multiprocessing():
        _process.begin()

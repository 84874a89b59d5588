"""Tasks on worker threads, in each of which PyTorch works alone: no operation waits for another thread."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from threading import Barrier, BrokenBarrierError
from typing import TypeVar

import torch

from stemsplit.errors import DeviceError

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """CPU cores that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux alone has it
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch share an operation of the calling thread among so many of its own."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work_alone(started: Barrier) -> None:
    torch.get_num_threads()  # a thread's first call of it would undo what follows
    torch.set_num_threads(1)
    with suppress(BrokenBarrierError):  # not all could be started: there will be nothing to do
        started.wait()
    # Numbers too small for full precision, as in a softmax or a fade-out, would take a hundred times as long.
    torch.set_flush_denormal(True)


class Pool:
    """Worker threads for pieces of one computation.

    PyTorch's own threads meet at the end of every operation, and where another program has one of the cores, all others
    wait for that. These meet only at the end of `run`.

    Args:
        threads: how many; None for as many as there are cores.

    Raises:
        ValueError: fewer than one.
        DeviceError: more than the system lets one start.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = cores() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        before, started = torch.get_num_threads(), Barrier(self.threads)
        self._executor = ThreadPoolExecutor(self.threads, "compute", initializer=_work_alone, initargs=(started,))
        # All threads are begun here: what they set for themselves, PyTorch takes for all that are begun later, too.
        try:
            wait([self._executor.submit(int) for _ in range(self.threads)])
        except BaseException as error:
            # Those that were begun wait for the others, and the program would wait for them.
            started.abort()
            self._executor.shutdown(wait=False)
            if isinstance(error, RuntimeError):
                raise DeviceError(f"cannot start {self.threads} threads here; try fewer, with --threads") from error
            raise
        finally:
            torch.set_num_threads(before)

    def run(self, task: Callable[[T], object], items: Iterable[T]) -> None:
        """Do a task for every item, in any order and several at once; an error of one is raised here."""
        self.map(task, items)

    def map(self, task: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """The same, with what the tasks give, in the order of the items."""

        def inferring(item: T) -> R:
            with torch.inference_mode():  # known to its own thread only
                return task(item)

        futures = [self._executor.submit(inferring, item) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # After an error, and when interrupted: nothing works on the caller's tensors any longer.
            for future in futures:
                future.cancel()
            wait(futures)
        # What was cancelled comes after the error because of which it was.
        return [future.result() for future in sorted(futures, key=Future.cancelled)]


class Alone(Pool):
    """A thread by itself, as a pool: for what is a task of a pool and has tasks of its own."""

    def __init__(self) -> None:
        self.threads = 1

    def map(self, task: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Do a task for every item, one after the other."""
        return [task(item) for item in items]

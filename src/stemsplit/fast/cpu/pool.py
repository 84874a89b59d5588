"""Runs tasks on worker threads. PyTorch is single-threaded in each, so that no operation waits for another thread."""

import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from threading import Barrier, BrokenBarrierError, Lock
from typing import TypeVar

import torch

from stemsplit.errors import DeviceError
from stemsplit.fast.forks import renew_after_fork, torch_threads_here

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Return how many CPU cores this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)  # only on Linux
    return len(affinity(0)) if affinity else os.cpu_count() or 1


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Set how many of its own threads PyTorch uses for operations of the calling thread; one in a forked process."""
    before = torch.get_num_threads()
    torch.set_num_threads(torch_threads_here(count))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _work_alone(started: Barrier) -> None:
    torch.get_num_threads()  # a thread's first call of this would undo the next line
    torch.set_num_threads(1)
    with suppress(BrokenBarrierError):  # not all threads could be started, so there will be no tasks
        started.wait()
    # Denormal numbers, as in a softmax or a fade-out, would take a hundred times as long.
    torch.set_flush_denormal(True)


def _do_nothing() -> None:
    pass


class Pool:
    """Worker threads that share one computation.

    PyTorch's own threads synchronise after every operation, so if another program occupies one core, all of them wait
    for it. The threads of a pool synchronise only at the end of `run`. In a forked process, a pool has new ones.

    Args:
        threads: number of threads; None for one per core.

    Raises:
        ValueError: the number is less than 1.
        DeviceError: the system does not allow so many threads.
    """

    def __init__(self, threads: int | None = None) -> None:
        self.threads = cores() if threads is None else threads
        if self.threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
        self._executor: ThreadPoolExecutor | None = self._started()
        self._starting = Lock()
        renew_after_fork(self)

    def renew(self) -> None:
        """Forget the threads, which stayed in the process that this one was forked from."""
        self._executor, self._starting = None, Lock()

    def _here(self) -> ThreadPoolExecutor:
        """Return the threads of this process."""
        with self._starting:
            if self._executor is None:
                self._executor = self._started()
            return self._executor

    def _started(self) -> ThreadPoolExecutor:
        """Start the threads.

        Raises:
            DeviceError: the system does not allow so many.
        """
        before, started = torch.get_num_threads(), Barrier(self.threads)
        executor = ThreadPoolExecutor(self.threads, "compute", initializer=_work_alone, initargs=(started,))
        # All threads start here, because PyTorch applies what they set for themselves to every thread that starts
        # later. The executor starts a thread for each of these tasks, as all threads wait for the last one.
        try:
            wait([executor.submit(_do_nothing) for _ in range(self.threads)])
        except BaseException as error:
            # The threads that started wait for the others, and the program would wait for them at its end.
            started.abort()
            executor.shutdown(wait=False)
            if isinstance(error, RuntimeError):
                raise DeviceError(f"cannot start {self.threads} threads here; try fewer, with --threads") from error
            raise
        finally:
            torch.set_num_threads(before)
        return executor

    def run(self, task: Callable[[T], object], items: Iterable[T]) -> None:
        """Run a task for every item, in any order and several at once. An error in a task is raised here."""
        self.map(task, items)

    def map(self, task: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Run a task for every item as `run` does, and return the results in the order of the items."""

        def inferring(item: T) -> R:
            with torch.inference_mode():  # applies to the current thread only
                return task(item)

        executor = self._here()
        futures = [executor.submit(inferring, item) for item in items]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        finally:
            # After an error or an interruption, no task may go on to work on the caller's tensors.
            for future in futures:
                future.cancel()
            wait(futures)
        # If a task was cancelled, another has failed: its result() raises its error.
        return [future.result() for future in futures if not future.cancelled()]


class SerialPool(Pool):
    """Runs tasks in the calling thread: a pool for use inside a task of another pool."""

    def __init__(self) -> None:
        self.threads = 1

    def map(self, task: Callable[[T], R], items: Iterable[T]) -> list[R]:
        """Run a task for every item, one after another."""
        return [task(item) for item in items]

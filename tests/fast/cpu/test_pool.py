"""A pool's threads: all tasks done, errors raised, the caller's own settings left alone."""

import threading
import time

import pytest
import torch

from stemsplit.errors import DeviceError
from stemsplit.fast.cpu.pool import Pool, cores


def test_every_item_is_done_once() -> None:
    done: list[int] = []
    Pool(3).run(done.append, range(100))
    assert sorted(done) == list(range(100))


def test_as_many_work_at_once_as_asked() -> None:
    """Each waits for all others."""
    barrier = threading.Barrier(3, timeout=10)
    Pool(3).run(lambda _: barrier.wait(), range(3))


def test_each_thread_works_alone_and_infers() -> None:
    seen = []
    before = torch.get_num_threads()
    Pool(2).run(lambda _: seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled())), range(8))
    assert set(seen) == {(1, True)}
    assert torch.get_num_threads() == before


def test_threads_begun_later_have_as_many_as_before() -> None:
    """PyTorch takes what one thread sets for itself for all that come."""
    Pool(2).run(lambda _: None, range(2))
    seen = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [torch.get_num_threads()]


def test_an_error_is_raised_and_nothing_goes_on_behind_it() -> None:
    started: list[int] = []

    def task(item: int) -> None:
        started.append(item)
        if item == 2:
            raise MemoryError
        time.sleep(0.01)

    pool = Pool(1)
    with pytest.raises(MemoryError):
        pool.run(task, range(100))
    count = len(started)
    assert count < 100
    pool.run(lambda _: None, range(3))
    assert len(started) == count


def test_a_pool_needs_a_thread() -> None:
    with pytest.raises(ValueError, match="threads must be at least 1, not 0"):
        Pool(0)
    assert Pool().threads == cores() >= 1


def test_threads_that_cannot_be_started_are_an_error_and_hold_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not those that were started, either: the program's end waits for them."""
    start, begun = threading.Thread.start, list[threading.Thread]()

    def few(thread: threading.Thread) -> None:
        if len(begun) == 2:
            raise RuntimeError("can't start new thread")
        begun.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    with pytest.raises(DeviceError, match="cannot start 4 threads here; try fewer"):
        Pool(4)
    for thread in begun:
        thread.join(10)
        assert not thread.is_alive()

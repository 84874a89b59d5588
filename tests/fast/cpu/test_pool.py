"""A pool runs all tasks, raises their errors, and does not change the caller's settings."""

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


def test_as_many_tasks_run_at_once_as_there_are_threads() -> None:
    """Each task waits for all others."""
    barrier = threading.Barrier(3, timeout=60)
    Pool(3).run(lambda _: barrier.wait(), range(3))


def test_each_task_is_single_threaded_and_in_inference_mode() -> None:
    seen = []
    before = torch.get_num_threads()
    Pool(2).run(lambda _: seen.append((torch.get_num_threads(), torch.is_inference_mode_enabled())), range(8))
    assert set(seen) == {(1, True)}
    assert torch.get_num_threads() == before


def test_threads_that_start_later_keep_the_usual_setting() -> None:
    """PyTorch applies what one thread sets for itself to all that start later."""
    Pool(2).run(lambda _: None, range(2))
    seen = []
    other = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    other.start()
    other.join()
    assert seen == [torch.get_num_threads()]


def test_an_error_is_raised_and_no_task_goes_on_after_it() -> None:
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


def test_too_many_threads_are_an_error_and_leave_none_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """The threads that did start must end too, because the program waits for them at its end."""
    start, started = threading.Thread.start, list[threading.Thread]()

    def few(thread: threading.Thread) -> None:
        if len(started) == 2:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", few)
    with pytest.raises(DeviceError, match="cannot start 4 threads here; try fewer"):
        Pool(4)
    for thread in started:
        thread.join(60)
        assert not thread.is_alive()

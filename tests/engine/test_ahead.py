"""Working ahead changes when things are made, and nothing else."""

import threading
from collections.abc import Iterator

import pytest

from stemsplit.engine.ahead import ahead


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50])
@pytest.mark.parametrize("most", [1, 4])
def test_the_items_are_the_same_in_the_same_order(count: int, most: int) -> None:
    assert list(ahead(iter(range(count)), most)) == list(range(count))


def test_items_are_made_by_another_thread_before_they_are_asked_for() -> None:
    made = [threading.Event() for _ in range(4)]
    makers = set()

    def source() -> Iterator[int]:
        for number, event in enumerate(made):
            makers.add(threading.current_thread())
            event.set()
            yield number

    items = ahead(source(), 2)
    assert next(items) == 0
    assert made[2].wait(60)
    assert threading.current_thread() not in makers
    assert list(items) == [1, 2, 3]


def test_no_more_are_made_than_allowed() -> None:
    made = []

    def source() -> Iterator[int]:
        for number in range(100):
            made.append(number)
            yield number

    items = ahead(source(), 3)
    next(items)
    items.close()
    assert len(made) <= 1 + 3


def test_an_error_comes_after_what_was_made_before_it() -> None:
    def source() -> Iterator[int]:
        yield 1
        raise OSError("the disk is gone")

    items = ahead(source(), 4)
    assert next(items) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(items)

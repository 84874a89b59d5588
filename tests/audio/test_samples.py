"""A queue of samples gives back what was put into it, however both are cut."""

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from stemsplit.audio.samples import Samples

SIZES = st.lists(st.integers(0, 9), min_size=1, max_size=8)


@given(put=SIZES, taken=st.lists(st.integers(1, 12), max_size=20))
def test_samples_come_out_in_the_order_in_which_they_came_in(put: list[int], taken: list[int]) -> None:
    song = np.arange(2 * sum(put), dtype=np.float32).reshape(2, -1)
    queue, place = Samples(), 0
    for block in np.split(song, np.cumsum(put)[:-1], 1):
        queue.put(block)
    for length in taken:
        if length > queue.length:
            break
        assert np.array_equal(queue.take(length), song[:, place : place + length])
        place += length
    assert queue.length == sum(put) - place


def test_what_is_taken_is_not_the_block_that_was_put() -> None:
    queue, block = Samples(), np.zeros((2, 5), np.float32)
    queue.put(block)
    queue.take(5)[:] = 1
    assert not block.any()


def test_samples_may_be_taken_by_one_thread_while_another_puts_them() -> None:
    queue = Samples()
    queue.put(np.zeros((2, 5), np.float32))

    class Interrupted:
        """A block; while its length is asked for, as it is put, another thread takes samples."""

        @property
        def shape(self) -> tuple[int, ...]:
            queue.take(5)
            return (2, 3)

    block: Any = Interrupted()
    queue.put(block)
    assert queue.length == 3

"""One song's figures; its files are watched from outside, in tests/cli."""

import numpy as np
import pytest

from stemsplit.audio.levels import EXACT, SumError
from tests.conftest import noise


def test_sum_error_is_the_energy_that_is_missing() -> None:
    mixture = noise(10_000).T
    total = SumError()
    total.add(mixture, [0.6 * mixture, 0.3 * mixture])
    assert total.decibels == pytest.approx(-20, abs=1e-3)


def test_sum_error_of_equals_and_of_silence() -> None:
    equal, silence = SumError(), SumError()
    equal.add(noise(100).T, [noise(100).T])
    silence.add(np.zeros((1, 10), np.float32), [np.ones((1, 10), np.float32)])
    assert (equal.decibels, silence.decibels) == (EXACT, -EXACT)

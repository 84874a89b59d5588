"""What stems leave of a song is divided among them, bin by bin, and all add up."""

from collections.abc import Generator

import numpy as np
import pytest

from stemsplit.audio import Block
from stemsplit.engine.base import Pair
from stemsplit.engine.combination.division import divided
from tests.conftest import noise

RATE = 44_100


def cut(mixture: Block, stems: Block, size: int) -> Generator[Pair, None, None]:
    """A song and its stems in blocks."""
    for start in range(0, mixture.shape[-1], size):
        yield mixture[..., start : start + size], stems[..., start : start + size]


def whole(pairs: Generator[Pair, None, None]) -> tuple[Block, Block]:
    mixtures, stems = zip(*pairs, strict=True)
    return np.concatenate(mixtures, -1), np.concatenate(stems, -1)


def signals(length: int, count: int = 3) -> tuple[Block, Block]:
    """A song, and stems that have nothing to do with it."""
    mixture, *stems = (np.ascontiguousarray(noise(length, seed=seed).T, np.float32) for seed in range(count + 1))
    return mixture, np.stack(stems)


@pytest.mark.parametrize("length", [1, 100, 2_048, 40_001])
@pytest.mark.parametrize("among", [(0, 1, 2), (0, 2), (1,)])
def test_all_add_up_and_the_song_stays_as_it_is(length: int, among: tuple[int, ...]) -> None:
    mixture, stems = signals(length)
    same, found = whole(divided(cut(mixture, stems, 10_000), among))
    np.testing.assert_array_equal(same, mixture)
    assert abs(found.sum(0) - mixture).max() < 1e-6
    for kept in {0, 1, 2} - {*among}:
        np.testing.assert_array_equal(found[kept], stems[kept])


@pytest.mark.parametrize("size", [700, 33_000, 90_000])
def test_blocks_of_any_length_give_the_same_to_the_last_bit(size: int) -> None:
    mixture, stems = signals(90_000, 2)
    _, one = whole(divided(cut(mixture, stems, 40_000), (0, 1)))
    _, other = whole(divided(cut(mixture, stems, size), (0, 1)))
    np.testing.assert_array_equal(one, other)


def test_a_stem_gets_what_is_where_it_is() -> None:
    """A tone that is missing goes to the stem that has some of it."""
    times = np.arange(RATE) / RATE
    low, high = (np.sin(2 * np.pi * f * times).astype(np.float32)[None] for f in (441, 4_410))
    _, found = whole(divided(cut(low + high, np.stack([0.5 * low, high]), 5_000), (0, 1)))
    middle = slice(5_000, -5_000)
    assert abs(found[0] - low)[:, middle].max() < 1e-3
    assert abs(found[1] - high)[:, middle].max() < 1e-3


def test_what_no_stem_has_is_divided_evenly() -> None:
    mixture, stems = signals(5_000, 4)
    _, found = whole(divided(cut(mixture, 0 * stems, 5_000), (0, 1, 2, 3)))
    assert abs(found - mixture / 4).max() < 1e-6


def test_silence_stays_silence() -> None:
    mixture, stems = signals(6_000)
    mixture[:, 2_000:2_500] = 0
    stems[..., 2_000:2_500] = 0
    _, found = whole(divided(cut(mixture, stems, 900), (0, 1, 2)))
    assert not found[..., 2_000:2_500].any()
    assert found[..., 1_999].any()

"""Resampling by blocks, and channel layouts."""

from itertools import pairwise

import numpy as np
import pytest
import soxr

from stemsplit.audio import layout, resampled
from stemsplit.audio.conversion import converted
from tests.conftest import noise


@pytest.mark.parametrize(("old", "new"), [(48_000, 44_100), (44_100, 48_000), (8_000, 44_100), (44_099, 44_100)])
@pytest.mark.parametrize("sizes", [[1, 7, 5_000, 3, 20_000], [30_011], [100] * 77])
def test_by_blocks_equals_the_whole_file(old: int, new: int, sizes: list[int]) -> None:
    song = noise(sum(sizes)).T
    edges = np.cumsum([0, *sizes])
    blocks = [song[:, start:end] for start, end in pairwise(edges)]
    result = np.concatenate(list(resampled(blocks, old, new)), 1)
    assert np.array_equal(result, soxr.resample(song.T, old, new, quality="VHQ").T)


def test_a_tone_stays_in_its_place() -> None:
    """Neither shifted nor weakened: the resampled tone is the tone computed at the new rate."""
    times_old, times_new = np.arange(48_000) / 48_000, np.arange(44_100) / 44_100
    tone = np.sin(2 * np.pi * 997 * times_old).astype(np.float32)[None]
    result = np.concatenate(list(resampled([tone], 48_000, 44_100)), 1)
    assert result.shape == (1, 44_100)
    inner = slice(2_000, -2_000)
    assert np.abs(result[0, inner] - np.sin(2 * np.pi * 997 * times_new)[inner]).max() < 1e-5


@pytest.mark.parametrize(("old", "new"), [(44_100, 48_000), (96_000, 48_000), (22_050, 48_000), (3_000_000, 48_000)])
@pytest.mark.parametrize("length", [1, 2, 7, 44_101])
def test_a_file_of_another_rate_is_as_long_in_seconds_rounded_up(old: int, new: int, length: int) -> None:
    song = noise(length).T
    result = np.concatenate(list(converted([song[:, :3], song[:, 3:]], old, new)), 1)
    plain = np.concatenate(list(resampled([song], old, new)), 1)
    assert result.shape == (2, -(-length * new // old))
    there = min(result.shape[1], plain.shape[1])
    assert np.allclose(result[:, :there], plain[:, :there], atol=1e-6)


def test_the_same_rate_is_left_alone() -> None:
    block = noise(100).T
    assert next(resampled([block], 44_100, 44_100)) is block


def test_no_blocks_give_none() -> None:
    assert list(resampled([], 48_000, 44_100)) == []


@pytest.mark.parametrize(
    ("channels", "together", "used"),
    [
        (1, 1, [0]),
        (1, 2, [0, 0]),
        (2, 2, [0, 1]),
        (3, 2, [0, 1, 2, 2]),
        (6, 2, [0, 1, 2, 3, 4, 5]),
        (3, 1, [0, 1, 2]),
    ],
)
def test_channels_go_in_pairs(channels: int, together: int, used: list[int]) -> None:
    assert layout(channels, together) == used

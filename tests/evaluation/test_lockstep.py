"""Several tracks of a song are read second by second."""

import re
from collections.abc import Sequence

import numpy as np
import pytest

from stemsplit.errors import AudioError
from stemsplit.evaluation.lockstep import Track, in_step

RATE = 100


def track(name: str, sizes: Sequence[int], rate: int = RATE, channels: int = 2) -> Track:
    """Return a track of numbers that count up, in blocks of these sizes."""
    whole = np.arange(sum(sizes) * channels, dtype=np.float32).reshape(1, channels, -1)
    return Track(name, rate, channels, iter(np.split(whole, np.cumsum(sizes)[:-1], -1)))


@pytest.mark.parametrize("length", [1, 99, 100, 101, 350])
def test_tracks_are_read_by_the_second_however_they_were_cut(length: int) -> None:
    sizes = [[length], [1] * length, [min(length, 70), max(length - 70, 0)]]
    seconds = list(in_step([track("a", some) for some in sizes]))
    assert [second[0].shape[-1] for second in seconds] == [RATE] * (length // RATE) + [length % RATE] * (
        length % RATE > 0
    )
    for whole in (np.concatenate(blocks, -1) for blocks in zip(*seconds, strict=True)):
        assert np.array_equal(whole, np.arange(2 * length).reshape(1, 2, length))


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (track("b", [250]), "b is 1 sample longer than a"),
        (track("b", [100, 1]), "b is 148 samples shorter than a"),
        (track("b", [0]), "b is 249 samples shorter than a"),
        (track("b", [249], rate=48_000), "b has 48000 Hz, but a 100 Hz"),
        (track("b", [249], channels=1), "b has 1 channel, but a 2"),
    ],
)
def test_tracks_that_do_not_match_are_refused(other: Track, complaint: str) -> None:
    with pytest.raises(AudioError, match=f"^{re.escape(complaint)}$"):
        list(in_step([track("a", [249]), other]))


def test_tracks_without_samples_are_refused() -> None:
    with pytest.raises(AudioError, match="a has no samples"):
        list(in_step([track("a", [0]), track("b", [0])]))

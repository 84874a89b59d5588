"""A song's way to a network and back, with one in between that changes nothing."""

import numpy as np
import pytest
import torch

from stemsplit.engine.adapter import Adapter
from tests.conftest import noise


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("together", [1, 2])
def test_what_goes_in_comes_out_beside_the_song_itself(channels: int, together: int) -> None:
    song = noise(1_000, channels).T
    adapter = Adapter(np.split(song, [10, 400], 1), 44_100, channels, 44_100, together)
    given = torch.cat(list(adapter.into()), -1)
    assert len(given) % together == 0
    # Two stems, in blocks of another size than they came in.
    pairs = list(adapter.out(torch.stack([given, 2 * given]).split(300, -1)))
    assert np.array_equal(np.concatenate([mixture for mixture, _ in pairs], 1), song)
    assert np.array_equal(np.concatenate([stems for _, stems in pairs], 2), np.stack([song, 2 * song]))
    assert adapter.take().shape == (channels, 0)


def test_a_song_of_another_rate_is_as_long_as_it_was() -> None:
    song = noise(10_000).T
    adapter = Adapter([song], 48_000, 2, 44_100, 1)
    given = torch.cat(list(adapter.into()), -1)
    assert given.shape[1] == round(10_000 * 44_100 / 48_000)
    lengths = [mixture.shape[1] for mixture, stems in adapter.out([given[None]]) if stems.shape[1:] == mixture.shape]
    assert sum(lengths) + adapter.take().shape[1] == 10_000


def test_what_has_no_estimates_yet_is_kept() -> None:
    song = noise(1_000).T
    adapter = Adapter(np.split(song, [600], 1), 44_100, 2, 44_100, 1)
    next(adapter.into())
    assert np.array_equal(adapter.take(100), song[:, :100])
    assert np.array_equal(adapter.take(), song[:, 100:600])

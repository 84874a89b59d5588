"""Several passes over a song: their mean, in place, as long as the song, and nothing else than that."""

import dataclasses
from collections.abc import Callable
from copy import copy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from stemsplit import Separator, registry
from stemsplit.engine.passes import inverted, offsets, swapped
from stemsplit.fast.cpu.pool import torch_threads
from stemsplit.models.ensemble import mid_side
from stemsplit.registry import ModelEntry
from tests import conftest

STARTER = registry.find("starter").with_chunks(chunk_seconds=0.5)
RATE = STARTER.sample_rate
VOCALS = dataclasses.replace(STARTER, stems=("vocals",), residual="instrumental", mixture_consistency=False, config={})
LOADED = Separator(STARTER, "cpu")


def noise(channels: int, length: int) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(conftest.noise(channels, length), np.float32))


def separator(compute: Callable[[Tensor], Tensor], about: ModelEntry = VOCALS) -> Separator:
    made = Separator.__new__(Separator)
    made.__dict__ |= LOADED.__dict__
    made.entry, made.estimator = about, copy(LOADED.estimator)
    made.estimator.entry, made.estimator.compute = about, compute
    return made


@pytest.fixture(scope="module")
def song() -> Tensor:
    return noise(2, RATE + 77)


@pytest.mark.parametrize("way", [inverted, swapped, mid_side])
def test_a_transform_is_its_own_inverse(way: Callable[[Tensor], Tensor], song: Tensor) -> None:
    once = way(song)
    assert (once - song).abs().max() > 0.1
    assert (way(once) - song).abs().max() <= 1e-6


def test_transforms_are_those_that_a_network_notices_and_was_trained_for() -> None:
    def names(**changes: Any) -> tuple[str, ...]:
        return dataclasses.replace(VOCALS, tta=True, **changes).augmentations

    members = [{"mid_side": False}, {"mid_side": True}]
    assert names() == ("polarity", "swap", "mid_side")
    assert names(channels=1) == ("polarity", "mid_side")
    assert names(config={"members": members}) == ("polarity", "swap")
    assert STARTER.with_passes(tta=True).augmentations == ("polarity", "swap")


def test_augmentation_makes_up_for_what_a_network_does_to_one_channel_only(song: Tensor) -> None:
    """A network deaf on its second channel: of left, what it gives for left, for the swapped, and for mid and side."""
    left_only = torch.tensor([1.0, 0.0])[:, None]
    model = separator(lambda mixtures: (mixtures * left_only)[:, None], VOCALS.with_passes(tta=True))
    found = model.separate(song, RATE)["vocals"]
    left, right = song
    # Twice left as it is, once as right, once as the middle of both.
    expected = torch.stack([2 * left + (left + right) / 2, right + (left + right) / 2]) / 4
    assert (found - expected).abs().max() <= 1e-6


def test_augmentation_takes_away_what_does_not_depend_on_the_song(song: Tensor) -> None:
    model = separator(lambda mixtures: mixtures[:, None] + 0.25, VOCALS.with_passes(tta=True))
    # Inverted, it cancels itself; the other passes have it in place.
    bias = model.separate(song, RATE)["vocals"] - song
    plain = separator(lambda mixtures: mixtures[:, None] + 0.25).separate(song, RATE)["vocals"] - song
    assert plain.mean() == pytest.approx(0.25, abs=1e-4)
    assert bias.mean() < 0.13


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
@pytest.mark.parametrize("together", [1, 2])
def test_augmentation_changes_nothing_where_the_network_is_perfect(channels: int, together: int) -> None:
    song = noise(channels, 30_000)
    about = dataclasses.replace(VOCALS, channels=together).with_passes(tta=True)
    stems = separator(lambda mixtures: mixtures[:, None] * 0.3, about).separate(song, RATE)
    assert (stems["vocals"] - 0.3 * song).abs().max() <= 1e-6
    assert (stems["vocals"] + stems["instrumental"] - song).abs().max() <= 1e-6


def test_shifts_are_even() -> None:
    assert offsets(100, 3) == [0, 33, 66]


@pytest.mark.parametrize("window", ["hann", "linear", "mean"])
@pytest.mark.parametrize("length", [1, 2, 700, 44_177])
def test_shifted_passes_are_in_place(window: str, length: int) -> None:
    about = dataclasses.replace(VOCALS, window=window).with_passes(shifts=3)
    song = noise(2, length)
    stems = separator(lambda mixtures: mixtures[:, None] * 0.3, about).separate(song, RATE)
    assert stems["vocals"].shape == song.shape
    assert (stems["vocals"] - 0.3 * song).abs().max() <= 1e-6


def test_shifts_take_the_mean_of_chunks_at_other_places(song: Tensor) -> None:
    """A network that gives the beginning of each chunk only: the gaps are elsewhere in each pass."""
    about = dataclasses.replace(VOCALS, chunk=22_048, hop=22_048, window="mean")
    quarter = torch.zeros(about.chunk)
    quarter[: about.chunk // 4] = 1
    ones = torch.ones_like(song)

    def heard(shifts: int) -> Tensor:
        model = separator(lambda x: (x * quarter)[:, None], about.with_passes(shifts=shifts))
        return model.separate(ones, RATE)["vocals"]

    assert set(heard(1).unique().tolist()) == {0.0, 1.0}
    assert (heard(4) - 0.25).abs().max() <= 1e-6


def test_a_pass_costs_what_it_costs() -> None:
    once = STARTER.chunks_in(60)
    assert STARTER.with_passes(shifts=3).chunks_in(60) == 3 * once
    assert VOCALS.with_passes(tta=True).chunks_in(60) == 4 * once
    assert STARTER.with_passes(tta=True).chunks_in(60) == 3 * once


@pytest.mark.parametrize("shifts", [0, -1, 65, 1.5, "2", True])
def test_impossible_shifts_are_refused(shifts: Any) -> None:
    with pytest.raises(ValueError, match="shifts must be from 1 to 64"):
        Separator(STARTER, "cpu", shifts=shifts)


def test_memory_does_not_grow_with_shifts() -> None:
    """What one pass has read, the others read soon: little is held for them."""
    model = separator(lambda x: x[:, None], VOCALS.with_passes(shifts=4))
    made, seen, most = 0, 0, 0

    def blocks():  # type: ignore[no-untyped-def]
        nonlocal made, most
        for _ in range(40):
            made += RATE // 4
            most = max(most, made - seen)
            yield np.zeros((2, RATE // 4), np.float32)

    with torch_threads(1):
        for mixture, _ in model.stream(blocks(), RATE, 2):
            seen += mixture.shape[-1]
    assert seen == 10 * RATE
    assert most < 3 * RATE

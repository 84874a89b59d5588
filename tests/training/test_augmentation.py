"""Making more songs out of few: what is changed, how often, and what is not."""

import random

import pytest
import torch
from torch import Tensor

from stemsplit.training.augmentation import (
    AUGMENTATIONS,
    OF_EXAMPLES,
    OF_MIXTURES,
    SPEEDS,
    WHERE_READ,
    equalise,
    faster,
    needed,
    polarity,
    swap,
    with_random_gain,
)
from stemsplit.training.plan import AUGMENTATION_NAMES

RATE = 44_100


def tone(pitch: float, length: int = RATE) -> Tensor:
    """(2, length), the right channel softer."""
    sine = torch.sin(2 * torch.pi * pitch * torch.arange(length) / RATE)
    return torch.stack([sine, 0.5 * sine])


@pytest.mark.parametrize("speed", SPEEDS)
def test_speed_gives_enough_samples_of_a_higher_or_lower_tone(speed: tuple[int, int]) -> None:
    result = faster(tone(1_000, needed(RATE, speed)), speed)
    assert result.shape[-1] >= RATE
    peak = torch.fft.rfft(result[0, :RATE]).abs().argmax()
    assert abs(int(peak) - 1_000 * speed[0] / speed[1]) <= 1


def test_up_and_down_are_as_likely_and_at_most_a_whole_tone() -> None:
    speeds = [above / below for above, below in SPEEDS]
    assert sorted(round(1 / speed, 6) for speed in speeds) == sorted(round(speed, 6) for speed in speeds)
    assert max(speeds) <= 9 / 8 + 1e-9


@pytest.mark.parametrize("speed", SPEEDS)
def test_nothing_stays_nothing_at_any_speed(speed: tuple[int, int]) -> None:
    """As where one stem of a song ends before the others."""
    assert faster(torch.zeros(2, 0), speed).shape == (2, 0)


@pytest.mark.parametrize(("way", "changed"), [(swap, lambda x: x.flip(0)), (polarity, lambda x: -x)])
def test_sides_and_signs_change_half_of_the_time_and_nothing_else_does(way, changed) -> None:  # type: ignore[no-untyped-def]
    source, rng, count = tone(500, 100), random.Random(0), 0
    for _ in range(400):
        result = way(source, rng, RATE)
        count += torch.equal(result, changed(source))
        assert torch.equal(result, source) or torch.equal(result, changed(source))
    assert 160 < count < 240


def test_equalising_raises_or_lowers_a_tone_by_six_decibels_at_most_half_of_the_time() -> None:
    source, rng, unchanged = tone(1_000, 1_000), random.Random(0), 0
    gains = []
    for _ in range(300):
        result = equalise(source, rng, RATE)
        unchanged += torch.equal(result, source)
        # Without the first samples, where the filter begins.
        gains.append(float(20 * (result[:, 500:].norm() / source[:, 500:].norm()).log10()))
    assert 120 < unchanged < 180
    assert -6.01 < min(gains) < -3
    assert 3 < max(gains) < 6.01


def test_equalising_clips_nothing() -> None:
    """A source may be far beyond full scale."""
    for seed in range(8):
        soft, loud = (equalise(level * tone(1_000, 2_000), random.Random(seed), RATE) for level in (0.1, 10))
        assert torch.allclose(100 * soft, loud, atol=1e-3)


@pytest.mark.parametrize("sample_rate", [8_000, 16_000, 44_100])
def test_equalising_is_stable_at_any_rate(sample_rate: int) -> None:
    for seed in range(30):
        assert equalise(torch.ones(2, 2_000), random.Random(seed), sample_rate).abs().max() < 4


def test_gains_are_spread_evenly_over_what_is_allowed() -> None:
    rng, source = random.Random(0), torch.ones(2, 1)
    gains = [20 * float(with_random_gain(source, rng, 3.0)[0, 0].log10()) for _ in range(2_000)]
    assert -3 <= min(gains) < -2.9
    assert 2.9 < max(gains) <= 3
    assert abs(sum(gains) / len(gains)) < 0.15


@pytest.mark.parametrize("way", AUGMENTATIONS.values(), ids=AUGMENTATIONS)
def test_the_same_chance_gives_the_same_source(way) -> None:  # type: ignore[no-untyped-def]
    source = tone(700, 500)
    for seed in range(4):
        first, second = (way(source, random.Random(seed), RATE) for _ in range(2))
        assert torch.equal(first, second)
        assert first.shape == source.shape


def test_every_augmentation_has_a_name_to_ask_for_it_by() -> None:
    assert {*AUGMENTATION_NAMES} == {*AUGMENTATIONS, *OF_EXAMPLES, *OF_MIXTURES, *WHERE_READ}

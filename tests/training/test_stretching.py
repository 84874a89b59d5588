"""Another pitch at the same tempo."""

import random

import pytest
import torch
from torch import Tensor

from stemsplit.training.stretching import STEPS, pitch, stretched

RATE = 44_100


def tone(frequency: float, length: int = RATE) -> Tensor:
    """(1, 2, length)."""
    return torch.sin(2 * torch.pi * frequency * torch.arange(length) / RATE).expand(1, 2, length)


def peak(samples: Tensor) -> float:
    """The strongest frequency, in Hz."""
    return float(torch.fft.rfft(samples[0, 0]).abs().argmax()) * RATE / samples.shape[-1]


@pytest.mark.parametrize("length", [RATE * 9 // 10, RATE, RATE * 9 // 8])
def test_a_longer_or_shorter_tone_is_the_same_tone(length: int) -> None:
    result = stretched(tone(440), length, RATE)
    assert result.shape == (1, 2, length)
    assert peak(result) == pytest.approx(440, rel=0.005)
    middle = result[0, 0, RATE // 4 : -RATE // 4]
    assert float(middle.square().mean().sqrt()) == pytest.approx(0.5**0.5, rel=0.02)


def test_clicks_stay_near_their_time() -> None:
    clicks = torch.zeros(1, 2, RATE)
    clicks[..., 5_000::10_000] = 1
    result = stretched(clicks + 1e-3 * tone(300), RATE * 10 // 9, RATE)[0, 0]
    for place in range(5_000, RATE - 5_000, 10_000):
        around = result[place * 10 // 9 - 1_500 : place * 10 // 9 + 1_500]
        assert around.abs().amax() > 0.3


def test_sources_are_cut_in_the_same_places() -> None:
    sources = torch.randn(3, 2, RATE, generator=torch.Generator().manual_seed(0))
    result = stretched(sources, RATE * 9 // 8, RATE)
    assert torch.allclose(result.sum(0), stretched(sources.sum(0, keepdim=True), RATE * 9 // 8, RATE)[0], atol=1e-4)


def test_a_quarter_is_shifted_by_a_semitone_or_two_up_or_down() -> None:
    ratios = []
    for seed in range(80):
        result = pitch(tone(440, RATE // 2), random.Random(seed), RATE)
        assert result.shape == (1, 2, RATE // 2)
        ratios.append(peak(result) / 440)
    shifted = [ratio for ratio in ratios if abs(ratio - 1) > 0.02]
    assert 10 < len(shifted) < 30
    assert all(any(abs(ratio - above / below) < 0.01 for above, below in STEPS) for ratio in shifted)


def test_silence_and_what_is_short_stay_as_they_are() -> None:
    for seed in range(12):
        for samples in (torch.zeros(2, 2, RATE), torch.ones(2, 2, 100)):
            assert pitch(samples, random.Random(seed), RATE) is samples

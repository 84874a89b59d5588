"""What studios and files do to sources and mixtures."""

import random
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from stemsplit.training.effects import (
    codec,
    compress,
    compression,
    convolved,
    limiting,
    lowpass,
    master,
    pauses,
    reverb,
    room,
)

RATE = 44_100


def bursts(length: int = RATE) -> Tensor:
    """A tone (2, length) that is 20 dB louder for a tenth of each second's quarter."""
    time = torch.arange(length) / RATE
    loud = 0.05 + 0.45 * (time % 0.25 < 0.025)
    return (loud * torch.sin(2 * torch.pi * 440 * time)).expand(2, length)


def sources(length: int = RATE, count: int = 3) -> Tensor:
    """Noise, (count, 2, length)."""
    return 0.1 * torch.randn(count, 2, length, generator=torch.Generator().manual_seed(0))


def changed(way: Callable[[Tensor, random.Random, int], Tensor], samples: Tensor, times: int) -> list[Tensor]:
    """The results of so many tries that differ from the samples."""
    rng = random.Random(0)
    results = [way(samples, rng, RATE) for _ in range(times)]
    assert all(result.shape == samples.shape and result.isfinite().all() for result in results)
    return [result for result in results if not torch.equal(result, samples)]


def test_a_compressor_lowers_what_is_loud_and_leaves_the_rest() -> None:
    for seed in range(20):
        gains = compression(bursts(), random.Random(seed), RATE)
        assert gains.amax() <= 1 + 1e-6
        at_a_burst, before_the_next = gains[round(0.024 * RATE)], gains[round(0.249 * RATE)]
        assert at_a_burst < 0.95
        assert at_a_burst < before_the_next
    assert 12 < len(changed(compress, bursts(9_000), 100)) < 38


def test_a_limiter_lets_no_peak_pass() -> None:
    for seed in range(20):
        gains = limiting(bursts(), random.Random(seed), RATE)
        peak = float((gains * bursts()).abs().amax() / bursts().abs().amax())
        assert 10 ** (-8.01 / 20) < peak < 10 ** (-1.99 / 20)
        assert gains.diff().abs().amax() < 0.01


def test_mastering_changes_all_sources_alike() -> None:
    found = changed(master, sources(9_000), 60)
    assert 20 < len(found) < 40
    for result in found:
        gains = result / sources(9_000)
        assert torch.allclose(gains, gains[:1, :1].expand_as(gains), rtol=1e-4)


def test_rooms_ring_after_the_sound_on_both_sides() -> None:
    for seed in range(20):
        response = room(random.Random(seed), RATE)
        assert response.shape[0] == 2
        assert 0.1 < response.shape[1] / RATE < 0.71
        assert not response[:, :100].any()
        assert not torch.allclose(response[0], response[1])
        assert response.norm(dim=1).amax() < 1.5


def test_a_convolution_is_what_its_name_says() -> None:
    samples, response = sources(300, 2)
    expected = torch.zeros(2, 300)
    for delay in range(300):
        expected[:, delay:] += response[:, delay, None] * samples[:, : 300 - delay]
    assert torch.allclose(convolved(samples, response), expected, atol=1e-5)


def test_reverb_adds_to_a_source_what_is_softer_and_to_one_in_mono_more_often() -> None:
    stereo = sources(9_000, 1)[0]
    mono = stereo[:1].expand(2, 9_000)
    counts = []
    for source in (stereo, mono):
        found = changed(reverb, source, 60)
        counts.append(len(found))
        assert all((result - source).norm() < source.norm() for result in found)
    assert 3 < counts[0] < 18 < counts[1] < 42


def test_low_passed_sources_have_nothing_above_and_keep_what_is_below() -> None:
    found = changed(lowpass, sources(), 60)
    assert 3 < len(found) < 18
    before = torch.fft.rfft(sources()).abs()
    for result in found:
        spectrum = torch.fft.rfft(result).abs()
        assert torch.allclose(spectrum[..., :3_900], before[..., :3_900], atol=1e-2)
        assert spectrum[..., 20_000:].amax() < 1e-3


def test_pauses_are_silent_in_all_sources_and_leave_the_rest() -> None:
    found = changed(pauses, sources(), 240)
    assert 20 < len(found) < 60
    places = set()
    for result in found:
        factors = result / sources()
        assert torch.allclose(factors, factors[:1, :1].expand_as(factors), atol=1e-5)
        silent = (result == 0).all(0).all(0)
        start, end = (int(silent.nonzero()[side]) for side in (0, -1))
        assert silent[start : end + 1].all()
        assert 0.01 * RATE < end + 1 - start <= 0.51 * RATE
        whole = (result == sources()).all(0).all(0)
        assert whole.sum() > 0.15 * RATE
        places.add((start == 0, end == RATE - 1))
    assert places == {(True, False), (False, True), (False, False)}


def test_a_coded_mixture_is_near_and_in_place() -> None:
    mixture = bursts() + 0.003 * torch.randn(2, RATE, generator=torch.Generator().manual_seed(1))
    found = changed(codec, mixture, 60)
    assert 0 < len(found) < 12
    for result in found:
        errors = [float((result.roll(shift, -1) - mixture)[:, 99:-99].norm()) for shift in range(-3, 4)]
        assert min(errors) == errors[3] < 0.2 * float(mixture.norm())


@pytest.mark.parametrize("sample_rate", [7_999, 8_000, RATE])
@pytest.mark.parametrize("length", [1, 10, 441])
def test_silence_and_short_samples_stay_what_they_are(sample_rate: int, length: int) -> None:
    for seed in range(24):
        for way in (compress, reverb, codec):
            silence = torch.zeros(2, length)
            assert way(silence, random.Random(seed), sample_rate).abs().sum() < 1e-3
            assert way(torch.ones(2, length), random.Random(seed), sample_rate).shape == (2, length)
        for way in (master, lowpass, pauses):
            silence = torch.zeros(3, 2, length)
            assert way(silence, random.Random(seed), sample_rate).abs().sum() < 1e-3

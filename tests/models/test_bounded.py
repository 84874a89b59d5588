"""No stem is much louder than the mixture, not even in a pause, and nothing else is changed."""

import pytest
import torch
from torch import Tensor

from stemsplit.fast import Pool
from stemsplit.fast.cpu import ensemble
from stemsplit.fast.cpu.ensemble import FastEnsemble
from stemsplit.models import build
from stemsplit.models.bounded import LOUDEST, WINDOW, bounded, kept, windowed
from tests.models.test_contract import CONFIGS


def stems(length: int, n: int = 4) -> Tensor:
    """Noises that add up to louder noise, (1, n, 2, length)."""
    return torch.randn(1, n, 2, length, generator=torch.Generator().manual_seed(0))


def test_stems_that_are_not_louder_than_the_mixture_are_unchanged_to_the_bit() -> None:
    estimates = stems(9_000)
    assert torch.equal(bounded(estimates.sum(1), estimates), estimates)


@pytest.mark.parametrize("floor", [0.0, 1e-6])
def test_what_a_filter_smeared_into_a_pause_is_taken_out(floor: float) -> None:
    """To the sample, and the stems still add up."""
    true = stems(9_000)
    true[..., 3_000:6_000] *= floor
    smeared = torch.zeros_like(true)
    smeared[:, 0, :, 2_500:6_500], smeared[:, 1, :, 2_500:6_500] = 0.01, -0.01
    mixture = true.sum(1)
    found = bounded(mixture, true + smeared)
    assert torch.allclose(found.sum(1), mixture, atol=1e-5)
    pause = slice(3_000, 6_000)
    assert (
        windowed(found[..., pause].square().sum(2)).amax()
        <= LOUDEST * windowed(mixture[..., pause].square().sum(1)).amin().clamp(min=1e-30) * (0.25 + LOUDEST**0.5) ** 2
    )
    outside = torch.cat([found[..., :2_990], found[..., 6_010:]], -1)
    expected = torch.cat([(true + smeared)[..., :2_990], (true + smeared)[..., 6_010:]], -1)
    assert torch.allclose(outside, expected, atol=1e-3)


def test_a_stem_is_louder_than_the_mixture_by_a_bound_even_where_all_cancel() -> None:
    """By 3 dB, and the equal share of the mixture."""
    one = stems(5_000, 1)
    estimates = torch.cat([3 * one, -2.5 * one], 1)
    found = bounded(estimates.sum(1), estimates)
    ratios = windowed(found.square().sum(2)) / windowed(estimates.sum(1).square().sum(1))[:, None]
    assert float(ratios.amax()) <= (LOUDEST**0.5 + 0.5) ** 2 + 1e-4
    assert torch.allclose(found.sum(1), estimates.sum(1), atol=1e-5)


@pytest.mark.parametrize("level", [1e-4, 1.0, 1e3])
def test_the_level_does_not_matter(level: float) -> None:
    one = stems(3_000, 1)
    estimates = torch.cat([3 * one, -2.5 * one], 1)
    expected = bounded(estimates.sum(1), estimates)
    assert torch.allclose(bounded(level * estimates.sum(1), level * estimates) / level, expected, atol=1e-4)


@pytest.mark.parametrize("length", [1, WINDOW - 1, WINDOW, WINDOW + 1])
def test_short_and_silent_signals_work(length: int) -> None:
    estimates = stems(length, 1).expand(-1, 4, -1, -1).contiguous()
    assert torch.equal(bounded(estimates.sum(1), estimates), estimates)
    silent = torch.zeros(1, 2, length)
    assert not bounded(silent, torch.cat([estimates, -estimates], 1)).any()
    assert not bounded(silent, torch.zeros(1, 3, 2, length)).any()


@pytest.mark.parametrize("length", [700, 4_000, 10_500])
def test_the_fast_implementation_gives_the_same_in_tiles(length: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ensemble, "SAMPLES", 1_500)
    estimates = stems(length)
    some = slice(length // 3, None if length < WINDOW else length * 2 // 3)
    estimates[:, 0, :, some] += 5
    estimates[:, 1, :, some] -= 5
    mixture, result = estimates.sum(1), estimates.clone()
    assert float(kept(mixture, estimates).min()) < 0.9
    FastEnsemble(build("ensemble", CONFIGS["ensemble"][1]), [], Pool(2))._bound(mixture[0], result[0])
    assert torch.equal(result, bounded(mixture, estimates))


def test_it_can_be_trained_through_where_the_mixture_or_a_stem_is_silent() -> None:
    estimates = stems(9_000)
    mixture = estimates.sum(1)
    mixture[..., 2_000:5_000] = 0
    estimates[..., 4_000:8_000] = 0
    estimates.requires_grad_()
    bounded(mixture, estimates).square().sum().backward()
    assert estimates.grad is not None
    assert estimates.grad.isfinite().all()
    assert estimates.grad.any()

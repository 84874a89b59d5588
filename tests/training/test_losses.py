"""What training minimises."""

import math

import pytest
import torch
from torch import Tensor

from stemsplit.training.losses import HOP, LOSSES, WINDOWS, relative_error, spectral, summed
from stemsplit.training.plan import LOSS_NAMES


def naive(estimate: Tensor, source: Tensor) -> float:
    """The paper's loss of one signal (t,) each, frame by frame and bin by bin."""
    total = float((estimate - source).abs().mean())
    for window in WINDOWS:
        hann = 0.5 - 0.5 * torch.cos(2 * math.pi * torch.arange(window) / window)
        spectra = []
        for signal in (estimate, source):
            around = torch.cat([signal[1 : window // 2 + 1].flip(0), signal, signal[-window // 2 - 1 : -1].flip(0)])
            starts = range(0, len(around) - window + 1, HOP)
            spectra.append(torch.stack([torch.fft.rfft(around[start : start + window] * hann) for start in starts]))
        difference = spectra[0] - spectra[1]
        total += float((difference.real.square() + difference.imag.square()).sqrt().mean())
    return total


def signals(length: int = 5_000, stems: int = 2) -> tuple[Tensor, Tensor, Tensor]:
    """Estimates and sources (b, n, c, t), and the mixture."""
    chance = torch.Generator().manual_seed(0)
    sources = torch.randn(2, stems, 2, length, generator=chance)
    return sources + 0.3 * torch.randn(sources.shape, generator=chance), sources, sources.sum(1)


def test_the_windows_are_those_of_the_paper() -> None:
    assert (WINDOWS, HOP) == ((4096, 2048, 1024, 512, 256), 147)


def test_the_spectral_loss_is_what_the_paper_says() -> None:
    estimates, sources, mixture = signals()
    pairs = zip(estimates.flatten(0, 2), sources.flatten(0, 2), strict=True)
    expected = [naive(estimate, source) for estimate, source in pairs]
    assert float(spectral(estimates, sources, mixture)) == pytest.approx(sum(expected) / len(expected), rel=1e-5)


def test_equal_signals_have_no_spectral_loss_and_no_gradient_that_is_none() -> None:
    _, sources, mixture = signals()
    estimates = sources.clone().requires_grad_(True)
    loss = spectral(estimates, sources, mixture)
    loss.backward()
    assert float(loss.detach()) == 0
    assert estimates.grad is not None
    assert estimates.grad.isfinite().all()


@pytest.mark.parametrize("length", [1, 100, 2_048, 2_049])
@pytest.mark.parametrize("name", LOSSES)
def test_short_examples_have_a_loss_as_well(name: str, length: int) -> None:
    assert LOSSES[name](*signals(length)).isfinite()


@pytest.mark.parametrize("name", LOSSES)
def test_the_loss_of_a_batch_is_the_mean_of_its_examples(name: str) -> None:
    """So that the mean of several devices' gradients is that of all their examples."""
    estimates, sources, mixture = signals()
    whole = LOSSES[name](estimates, sources, mixture)
    parts = [LOSSES[name](estimates[n, None], sources[n, None], mixture[n, None]) for n in range(2)]
    assert torch.allclose(whole, (parts[0] + parts[1]) / 2, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_how_an_estimate_divides_a_sum_makes_no_difference(name: str) -> None:
    """Where only the sum of two stems is known."""
    estimates, sources, mixture = signals(stems=3)
    together = torch.tensor([[1, 1, 0], [1, 1, 0], [0, 0, 1]], dtype=torch.bool).expand(2, 3, 3)
    moved = torch.randn(2, 1, 2, 5_000) * torch.tensor([1.0, -1.0, 0.0])[:, None, None]

    def loss(estimates: Tensor, sources: Tensor) -> float:
        return float(LOSSES[name](summed(estimates, together), summed(sources, together), mixture))

    assert loss(estimates + moved, sources) == pytest.approx(loss(estimates, sources), rel=1e-5)
    assert loss(estimates, sources + moved) == pytest.approx(loss(estimates, sources), rel=1e-5)
    assert loss(estimates + 0.5 * moved.abs(), sources) > loss(estimates, sources) + 0.1


def test_only_examples_with_sums_are_summed() -> None:
    estimates, _, _ = signals()
    known = torch.eye(2, dtype=torch.bool)
    assert summed(estimates, known.expand(2, 2, 2)) is estimates
    mixed = summed(estimates, torch.stack([known, torch.ones_like(known)]))
    assert torch.equal(mixed[0], estimates[0])
    assert torch.allclose(mixed[1], estimates[1].sum(0).expand(2, 2, 5_000))


@pytest.mark.parametrize("name", LOSSES)
def test_silence_has_a_finite_gradient(name: str) -> None:
    estimates = torch.zeros(1, 2, 2, 5_000, requires_grad=True)
    LOSSES[name](estimates, torch.zeros_like(estimates), torch.zeros(1, 2, 5_000)).backward()
    assert estimates.grad is not None
    assert estimates.grad.isfinite().all()


def test_the_other_loss_is_negative_sdr_where_nothing_is_silent() -> None:
    sources = torch.randn(1, 2, 2, 10_000, generator=torch.Generator().manual_seed(0))
    error = 0.1**0.5 * torch.randn(sources.shape, generator=torch.Generator().manual_seed(1))
    assert float(relative_error(sources + error, sources, sources.sum(1))) == pytest.approx(-10, abs=0.2)


def test_a_silent_source_asks_for_silence_and_no_more() -> None:
    sources = torch.zeros(1, 2, 2, 1_000)
    sources[:, 0] = torch.randn(2, 1_000, generator=torch.Generator().manual_seed(0))
    mixture = sources.sum(1)
    assert float(relative_error(sources, sources, mixture)) == pytest.approx(-15, abs=0.1)
    leaking = sources + 0.1 * mixture[:, None]
    assert relative_error(leaking, sources, mixture) > relative_error(sources, sources, mixture) + 3


def test_every_loss_has_a_name_to_ask_for_it_by() -> None:
    assert (*LOSSES,) == LOSS_NAMES

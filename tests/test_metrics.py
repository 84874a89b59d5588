"""SDR and SI-SDR, by their definitions."""

import pytest
import torch

from stemsplit.metrics import sdr, si_sdr


def test_silence_scores_zero() -> None:
    source = torch.randn(2, 1_000)
    assert float(sdr(torch.zeros_like(source), source)) == pytest.approx(0, abs=1e-6)


def test_a_tenth_of_the_energy_as_error_scores_ten() -> None:
    source, other = torch.zeros(2, 1_000), torch.zeros(2, 1_000)
    source[0], other[1] = 1.0, 0.1**0.5
    assert float(sdr(source + other, source)) == pytest.approx(10, abs=1e-4)


def test_si_sdr_does_not_mind_the_level() -> None:
    source = torch.randn(1, 1_000)
    estimate = source + 0.1 * torch.randn(1, 1_000)
    assert float(si_sdr(7 * estimate, source)) == pytest.approx(float(si_sdr(estimate, source)), abs=1e-4)
    assert float(sdr(7 * estimate, source)) < 0


def test_leading_axes_are_kept() -> None:
    assert sdr(torch.zeros(3, 4, 2, 10), torch.ones(3, 4, 2, 10)).shape == (3, 4)

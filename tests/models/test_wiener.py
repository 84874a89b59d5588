"""The multichannel Wiener filter separates sources at different positions, and loses nothing."""

import pytest
import torch
from torch import Tensor

from stemsplit.evaluation.metrics import sdr
from stemsplit.models.wiener import filtered, solved


def sources(length: int = 20_000) -> Tensor:
    """Make noise from the left and noise from the right, each in its own bursts: (1, 2, 2, length)."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(2, 1, length, generator=generator) * (
        torch.rand(2, 1, length // 500, generator=generator) > 0.5
    ).repeat_interleave(500, -1)
    positions = torch.tensor([[1.0, 0.2], [0.3, 1.0]])
    return (noise * positions[..., None])[None]


def test_sources_at_different_positions_are_separated() -> None:
    true = sources()
    mixture = true.sum(1)
    # In these estimates, 30 % of each source is in the other.
    rough = 0.7 * true + 0.3 * true.flip(1)
    better = filtered(mixture, rough, 512)
    assert (sdr(better[0], true[0]) > sdr(rough[0], true[0]) + 3).all()


def test_the_estimates_add_up_to_the_mixture() -> None:
    torch.manual_seed(0)
    mixture, estimates = torch.randn(2, 2, 3_000), torch.randn(2, 3, 2, 3_000)
    assert torch.allclose(filtered(mixture, estimates, 256).sum(1), mixture, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_the_equation_is_solved_for_any_number_of_channels(channels: int) -> None:
    torch.manual_seed(0)
    half = torch.randn(2, channels, channels, 4, 5, dtype=torch.complex128)
    covariance = torch.einsum("bijfm,bkjfm->bikfm", half, half.conj())
    x = torch.randn(2, channels, 4, 5, dtype=torch.complex128)
    assert torch.allclose(torch.einsum("bijfm,bjfm->bifm", covariance, solved(covariance, x)), x)


@pytest.mark.parametrize("level", [1e-6, 1.0, 1e3])
def test_the_level_does_not_matter(level: float) -> None:
    true = sources(4_000)
    rough = 0.7 * true + 0.3 * true.flip(1)
    expected = filtered(true.sum(1), rough, 256)
    assert torch.allclose(
        filtered(level * true.sum(1), level * rough, 256), level * expected, rtol=1e-3, atol=1e-4 * level
    )


@pytest.mark.parametrize("length", [1, 100, 128, 129, 1_000])
def test_silence_and_short_mixtures_are_unchanged(length: int) -> None:
    assert not filtered(torch.zeros(1, 2, length), torch.zeros(1, 3, 2, length), 256).any()
    one_channel = filtered(torch.ones(1, 1, length), torch.ones(1, 3, 1, length) / 3, 256)
    assert torch.allclose(one_channel, torch.ones(1, 3, 1, length) / 3, atol=1e-4)


def test_a_song_with_equal_channels_gives_finite_estimates() -> None:
    true = sources(6_000).mean(2, keepdim=True).expand(-1, -1, 2, -1)
    refined = filtered(true.sum(1), 0.7 * true + 0.3 * true.flip(1), 256)
    assert refined.isfinite().all()
    assert torch.allclose(refined.sum(1), true.sum(1), atol=1e-3)

"""Stems that add up: what estimates leave of a mixture is shared out among them, or becomes a stem."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from stemsplit import registry
from stemsplit.engine.completion import completed, remainder

STARTER = replace(registry.find("starter"), mixture_consistency=False, residual="")


def signals(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """A mixture (2, 1000), and as many estimates that have nothing to do with it."""
    random = torch.Generator().manual_seed(seed)
    return torch.randn(2, 1_000, generator=random), torch.randn(count, 2, 1_000, generator=random)


def test_estimates_of_a_model_that_promises_nothing_stay_as_they_are() -> None:
    mixture, estimates = signals(4)
    assert completed(estimates, mixture, STARTER) is estimates


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_with_mixture_consistency_stems_add_up_and_are_changed_alike(count: int) -> None:
    mixture, estimates = signals(count)
    stems = completed(estimates, mixture, replace(STARTER, mixture_consistency=True))
    assert (stems.sum(0) - mixture).abs().max() < 1e-5
    changes = stems - estimates
    assert (changes - changes[:1]).abs().max() < 1e-5


@pytest.mark.parametrize("count", [1, 2, 4, 6])
def test_a_residual_is_one_more_stem_and_changes_no_other(count: int) -> None:
    mixture, estimates = signals(count)
    stems = completed(estimates, mixture, replace(STARTER, residual="rest"))
    assert torch.equal(stems[:-1], estimates)
    assert (stems.sum(0) - mixture).abs().max() < 1e-5


@pytest.mark.parametrize("changes", [{"mixture_consistency": True}, {"residual": "rest"}, {}])
def test_a_batch_is_completed_as_each_of_it_alone(changes: dict[str, object]) -> None:
    pairs = [signals(3, seed) for seed in range(5)]
    entry = replace(STARTER, **changes)  # type: ignore[arg-type]
    together = completed(torch.stack([e for _, e in pairs]), torch.stack([m for m, _ in pairs]), entry)
    for both, (mixture, estimates) in zip(together, pairs, strict=True):
        assert torch.equal(both, completed(estimates, mixture, entry))


@pytest.mark.parametrize("count", range(1, 10))
def test_the_remainder_is_the_same_to_the_last_bit_as_in_numpy(count: int) -> None:
    mixture, estimates = signals(count)
    assert np.array_equal(remainder(mixture, estimates).numpy(), mixture.numpy() - estimates.numpy().sum(0))

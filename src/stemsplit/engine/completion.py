"""Completes a network's estimates: what they leave of the mixture becomes a stem, or is shared out among them."""

from functools import reduce
from operator import add

import torch
from torch import Tensor

from stemsplit.registry import ModelEntry


def remainder(mixture: Tensor, estimates: Tensor) -> Tensor:
    """Return what estimates leave of a mixture.

    Args:
        mixture: (..., c, t).
        estimates: (..., n, c, t), n at least 1.

    Returns:
        (..., c, t): the mixture minus the sum of the estimates, added one after the other: as exact on every device.
    """
    return mixture - reduce(add, estimates.unbind(-3))


def completed(estimates: Tensor, mixture: Tensor, entry: ModelEntry) -> Tensor:
    """Return all stems of a model, which add up to the mixture if the entry says so.

    Args:
        estimates: (..., n, c, t), as the network gives them.
        mixture: (..., c, t).
        entry: of the model: with a residual, the remainder becomes one more stem; with mixture consistency, it is
            divided evenly among the estimates.

    Returns:
        (..., outputs of the entry, c, t).
    """
    if entry.residual:
        return torch.cat([estimates, remainder(mixture, estimates).unsqueeze(-3)], -3)
    if entry.mixture_consistency:
        return estimates + (remainder(mixture, estimates) / estimates.shape[-3]).unsqueeze(-3)
    return estimates

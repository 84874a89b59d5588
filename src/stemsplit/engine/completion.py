"""Completes a network's estimates: the rest of the mixture becomes a stem, or is divided evenly among them."""

from functools import reduce
from operator import add

import torch
from torch import Tensor

from stemsplit.registry import ModelEntry


def remainder(mixture: Tensor, estimates: Tensor) -> Tensor:
    """Return the rest of a mixture without the estimates.

    Args:
        mixture: (..., c, t).
        estimates: (..., n, c, t), n at least 1.

    Returns:
        (..., c, t): the mixture minus the sum of the estimates, which are added one by one, so that every device gives
        the same result.
    """
    return mixture - reduce(add, estimates.unbind(-3))


def completed(estimates: Tensor, mixture: Tensor, entry: ModelEntry) -> Tensor:
    """Return all stems of a model, which add up to the mixture if the entry says so.

    Args:
        estimates: the network's estimates, (..., n, c, t).
        mixture: (..., c, t).
        entry: entry of the model. With a residual, the remainder becomes one more stem; with mixture consistency, it is
            divided evenly among the estimates.

    Returns:
        (..., n, c, t), with a stem for each of `entry.outputs`.
    """
    if entry.residual:
        return torch.cat([estimates, remainder(mixture, estimates).unsqueeze(-3)], -3)
    if entry.mixture_consistency:
        return estimates + (remainder(mixture, estimates) / estimates.shape[-3]).unsqueeze(-3)
    return estimates

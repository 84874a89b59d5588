"""Keeps stems from being much louder than their mixture, as where a filter smears music into a pause."""

import torch
import torch.nn.functional as F
from torch import Tensor

WINDOW = 1_024
"""Samples of a window, a power of two; 23 ms at 44.1 kHz, long enough that low tones seldom cancel in it."""

LOUDEST = 2.0
"""A stem's energy in a window, relative to the mixture's, up to which nothing is changed: 3 dB."""


def windowed(power: Tensor) -> Tensor:
    """Sum over each window of a signal, (..., t) -> (..., t - WINDOW + 1); of a shorter signal, there is one."""
    total, width = F.pad(power, (0, max(WINDOW - power.shape[-1], 0))), 1
    # Sums of sums, not differences of running totals, which would leave rounding errors of loud music in silence.
    while width < WINDOW:
        total = total[..., :-width] + total[..., width:]
        width *= 2
    return total


@torch.no_grad()
def kept(mixture: Tensor, estimates: Tensor) -> Tensor:
    """Return how much `bounded` keeps of the estimates at each sample, from 0 to 1.

    It depends on the window that ends at the sample, and on the one that begins there. It is a constant to training:
    its gradient would be infinite where the mixture is silent.

    Args:
        mixture: (b, c, t).
        estimates: (b, n, c, t).

    Returns:
        (b, t).
    """
    whole = windowed(mixture.square().sum(-2))
    own = windowed(estimates.square().sum(-2)).amax(1)
    factors = (LOUDEST * whole / own).sqrt().where(own > 0, 1.0).clamp(max=1)
    before = after = factors
    if (missing := mixture.shape[-1] - factors.shape[-1]) > 0:
        before, after = (F.pad(factors, pad, mode="replicate") for pad in ((missing, 0), (0, missing)))
    return torch.minimum(before, after)[..., : mixture.shape[-1]]


def drawn(mixture: Tensor, estimates: Tensor, keep: Tensor) -> Tensor:
    """Draw estimates (b, n, c, t) towards equal shares of the mixture (b, c, t) where less than 1 is kept, (b, t)."""
    share = (mixture / estimates.shape[1])[:, None].expand_as(estimates)
    return torch.lerp(share, estimates, keep[:, None, None].expand_as(estimates))


def bounded(mixture: Tensor, estimates: Tensor) -> Tensor:
    """Draw all estimates towards equal shares of the mixture where one of them is louder than it by more than 3 dB.

    A filter's impulse response smears what is before and after a pause into it, with opposite signs in different stems:
    their sum is silent, but they are not. Music hardly ever makes a source that loud for the length of a window.
    Estimates that add up to the mixture still do.

    Args:
        mixture: (b, c, t).
        estimates: (b, n, c, t).

    Returns:
        (b, n, c, t).
    """
    return drawn(mixture, estimates, kept(mixture, estimates))

"""Makes one estimate of several, block by block."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from stemsplit.audio import Block
from stemsplit.choices import CombineName


class Joiner(Protocol):
    """Combines the estimates of one song."""

    def put(self, estimates: Sequence[Block]) -> Block:
        """Take the next samples of each estimate, (n, c, t), and return those that are finished, (n, c, some)."""

    def end(self) -> Block:
        """Return the rest, (n, c, some samples)."""


class Mean:
    """The weighted mean of the estimates.

    Args:
        weights: weight of each estimate, above 0.
    """

    def __init__(self, weights: Sequence[float]) -> None:
        largest = max(weights)  # the sum of all could be too large a number
        shares = [weight / largest for weight in weights]
        self.weights = [np.float32(share / sum(shares)) for share in shares]
        self.rest: Block | None = None

    def put(self, estimates: Sequence[Block]) -> Block:
        """See `Joiner`."""
        self.rest = estimates[0][..., :0]
        if len(estimates) == 1:
            return estimates[0]
        total = estimates[0] * self.weights[0]
        for estimate, weight in zip(estimates[1:], self.weights[1:], strict=True):
            total += estimate * weight
        return total

    def end(self) -> Block:
        """See `Joiner`."""
        assert self.rest is not None
        return self.rest


class Median(Mean):
    """The median of the estimates, sample by sample; of an even number, the mean of the two in the middle."""

    def put(self, estimates: Sequence[Block]) -> Block:
        """See `Joiner`."""
        self.rest = estimates[0][..., :0]
        return np.median(np.stack(estimates), 0).astype(np.float32)


def joiner(combine: CombineName, weights: Sequence[float]) -> Joiner:
    """Return what combines the estimates of a song; a single one stays as it is."""
    if combine == CombineName.median:
        return Median(weights)
    return Mean(weights)

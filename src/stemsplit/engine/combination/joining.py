"""Makes one estimate of several, block by block."""

from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from stemsplit.audio import Block
from stemsplit.choices import CombineName
from stemsplit.engine.spectra import Analysis, Synthesis
from stemsplit.fast.cpu.pool import torch_threads


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


class Magnitude:
    """In each bin of a spectrogram, the estimate with the largest or the smallest magnitude.

    Args:
        largest: whether it is the largest.
    """

    def __init__(self, largest: bool) -> None:
        self.largest = largest
        self.analysis, self.synthesis = Analysis(), Synthesis()
        self.owed = 0  # samples that came and did not leave yet
        self.shape: tuple[int, ...] = ()  # of the samples of one moment

    def _of_two(self, one: Tensor, other: Tensor) -> Tensor:
        """Return in each bin that of two spectra; of equal magnitudes, the first."""
        sizes, others = one.abs(), other.abs()
        return torch.where(others > sizes if self.largest else others < sizes, other, one)

    def _picked(self, spectra: Iterable[Tensor]) -> Block:
        blocks = []
        for each in spectra:
            with torch_threads(1):
                picked = reduce(self._of_two, each.unbind())
            samples = self.synthesis.put(picked)[..., : self.owed]
            self.owed -= samples.shape[-1]
            blocks.append(samples.numpy())
        return np.concatenate(blocks, -1) if blocks else np.zeros((*self.shape, 0), np.float32)

    def put(self, estimates: Sequence[Block]) -> Block:
        """See `Joiner`."""
        self.shape = estimates[0].shape[:-1]
        self.owed += estimates[0].shape[-1]
        return self._picked(self.analysis.put(torch.from_numpy(np.stack(estimates))))

    def end(self) -> Block:
        """See `Joiner`."""
        return self._picked(self.analysis.end())


def joiner(combine: CombineName, weights: Sequence[float]) -> Joiner:
    """Return what combines the estimates of a song.

    Args:
        combine: how they are combined. A single estimate stays as it is.
        weights: weight of each estimate in the mean.
    """
    if combine == CombineName.mean or len(weights) == 1:
        return Mean(weights)
    if combine == CombineName.median:
        return Median(weights)
    return Magnitude(largest=combine == CombineName.max_magnitude)

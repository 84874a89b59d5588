"""Computes levels in decibels, and defines which of them count as silence or as an exact sum."""

import math
from collections.abc import Sequence

import numpy as np

from stemsplit.audio import Block

EXACT = -200.0
"""The sum error in dB that stands for no error at all, which has no logarithm."""

SILENT = 1e-3
"""Largest sample of a stem that counts as silent: 60 dB below full scale."""


class SumError:
    """Measures how far the sum of the stems, as written, is from the song."""

    def __init__(self) -> None:
        self.song = self.error = 0.0

    def add(self, mixture: Block, stems: Sequence[Block]) -> None:
        """Add a block of the song and of all its stems."""
        error = mixture.astype(np.float64)
        self.song += float(np.square(error).sum())
        for stem in stems:
            error -= stem
        self.error += float(np.square(error, out=error).sum())

    @property
    def decibels(self) -> float:
        """Energy of the error over the song's: `EXACT` if there is none, and -`EXACT` if only the song is silent."""
        if not self.error:
            return EXACT
        return round(max(10 * math.log10(self.error / self.song), EXACT), 2) if self.song else -EXACT


def decibels(ratio: float) -> float:
    """Return a ratio of energies in dB; `EXACT`, which is far below any other, for zero."""
    return max(10 * math.log10(ratio), EXACT) if ratio > 0 else EXACT

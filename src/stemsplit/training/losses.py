"""What training minimises."""

import torch
from torch import Tensor

FLOOR = 1e-3
"""Share of the mixture's energy below which an error, or a source, no longer counts: 30 dB down."""


def relative_error(estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
    """Negative SDR with a floor, so that silent sources and nearly perfect estimates do not take over.

    10 log10((|source - estimate|^2 + floor) / (|source|^2 + floor)), floor = FLOOR |mixture|^2: the thresholded SNR of
    Wisdom et al. 2020 (arXiv:2006.12701), its threshold measured against the mixture.

    Args:
        estimates: (b, n, c, t).
        sources: (b, n, c, t).
        mixture: (b, c, t).

    Returns:
        dB, the mean over stems and batch.
    """
    floor = FLOOR * mixture.square().sum((-2, -1))[:, None] + 1e-6
    error = (sources - estimates).square().sum((-2, -1)) + floor
    energy = sources.square().sum((-2, -1)) + floor
    return 10 * torch.log10(error / energy).mean()

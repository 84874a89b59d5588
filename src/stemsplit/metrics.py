"""How close an estimate is to its source: SDR and SI-SDR, in dB."""

import torch
from torch import Tensor

EPSILON = 1e-9
"""Energy that keeps the ratios finite: far below a quiet recording's, far above rounding."""


def sdr(estimate: Tensor, source: Tensor) -> Tensor:
    """Signal-to-distortion ratio: 10 log10(|source|^2 / |source - estimate|^2), all channels together.

    The plain ratio of the Music Demixing Challenge (Mitsufuji et al. 2022, arXiv:2108.13559): silence scores 0 dB.

    Args:
        estimate: (..., c, t).
        source: (..., c, t).

    Returns:
        dB, (...).
    """
    energy = source.double().square().sum((-2, -1))
    error = (source.double() - estimate.double()).square().sum((-2, -1))
    return 10 * torch.log10((energy + EPSILON) / (error + EPSILON))


def si_sdr(estimate: Tensor, source: Tensor) -> Tensor:
    """Scale-invariant SDR: SDR against the best-scaled source (Le Roux et al. 2019, arXiv:1811.02508).

    Args:
        estimate: (..., c, t).
        source: (..., c, t).

    Returns:
        dB, (...).
    """
    flat, true = estimate.double().flatten(-2), source.double().flatten(-2)
    scale = (flat * true).sum(-1, keepdim=True) / (true.square().sum(-1, keepdim=True) + EPSILON)
    return sdr(flat[..., None, :], (scale * true)[..., None, :])

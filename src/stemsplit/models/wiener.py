"""The multichannel Wiener filter, which refines estimates by how the mixture's channels relate to each other.

Nugraha, Liutkus and Vincent 2016, "Multichannel music separation with deep neural networks" (EUSIPCO), one iteration.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

DIFFUSE = 1e-3
"""Share of a source's power that is assumed to be diffuse, so that the mixture's covariance can be inverted."""

BINS = 256
"""Frequency bins processed at once."""

SILENCE = 1e-8
"""Share of the mean power below which a bin counts as silent."""


def spectrogram(x: Tensor, size: int) -> Tensor:
    """Compute the STFT, (..., t) -> complex (..., f, m)."""
    window = torch.hann_window(size, device=x.device)
    flat = torch.stft(x.flatten(0, -2), size, size // 4, window=window, return_complex=True)
    return flat.unflatten(0, x.shape[:-1])


def waveform(x: Tensor, size: int, length: int) -> Tensor:
    """Invert the STFT, complex (..., f, m) -> (..., length)."""
    window = torch.hann_window(size, device=x.device)
    flat = torch.istft(x.flatten(0, -3), size, size // 4, window=window, length=length)
    return flat.unflatten(0, x.shape[:-2])


def solved(covariance: Tensor, x: Tensor) -> Tensor:
    """Return the y with covariance y = x: covariance (b, c, c, f, m), x (b, c, f, m)."""
    if x.shape[1] == 2:
        # LAPACK would take a hundred times as long over a million such small matrices.
        (a, b), (c, d) = (row.unbind(1) for row in covariance.unbind(1))
        first, second = x.unbind(1)
        return torch.stack([d * first - b * second, a * second - c * first], 1) / (a * d - b * c)[:, None]
    matrices, vectors = covariance.permute(0, 3, 4, 1, 2), x.permute(0, 2, 3, 1)[..., None]
    return torch.linalg.solve(matrices, vectors)[..., 0].permute(0, 3, 1, 2)


def power_of(sources: Tensor) -> Tensor:
    """Return the mean power over channels, complex (b, n, c, f, m) -> (b, n, f, m)."""
    return torch.view_as_real(sources).square().sum(-1).mean(2)


def explained(mixed: Tensor, sources: Tensor, power: Tensor, level: Tensor) -> Tensor:
    """Divide a mixture's bins among its sources.

    Args:
        mixed: the mixture, complex (b, c, f, m).
        sources: the estimates, complex (b, n, c, f, m).
        power: their power, (b, n, f, m).
        level: the power that is scaled to one, (b, 1, 1, 1), so that squares get neither too small nor too large.

    Returns:
        Complex (b, n, c, f, m).
    """
    power = power / level + SILENCE
    covariance = torch.einsum("bncfm,bndfm->bncdf", sources, sources.conj() / level[:, None])
    covariance = covariance / power.sum(-1)[:, :, None, None]
    covariance = covariance + DIFFUSE * torch.eye(mixed.shape[1], device=mixed.device)[..., None]
    whole = torch.einsum("bnfm,bncdf->bcdfm", power.to(covariance.dtype), covariance)
    return power[:, :, None] * torch.einsum("bncdf,bdfm->bncfm", covariance, solved(whole, mixed))


def filtered(mixture: Tensor, estimates: Tensor, size: int) -> Tensor:
    """Estimate the sources anew from the mixture, by the power and the spatial position of the given estimates.

    A source's power, in every bin and frame, is that of its estimate; its spatial covariance, in every bin, that of its
    estimate over all frames.

    Args:
        mixture: (b, c, t).
        estimates: (b, n, c, t).
        size: STFT size, in samples.

    Returns:
        (b, n, c, t); the new estimates add up to the mixture.
    """
    length = mixture.shape[-1]
    missing = max(size // 2 + 1 - length, 0)  # the STFT pads a signal by reflection, which takes this length
    mixed = spectrogram(F.pad(mixture, (0, missing)), size)
    sources = spectrogram(F.pad(estimates, (0, missing)), size)
    # Some bins at a time: the covariances take many times the memory of the result.
    parts = list(zip(mixed.split(BINS, -2), sources.split(BINS, -2), strict=True))
    powers = [power_of(part) for _, part in parts]
    total = torch.stack([power.sum((1, 2, 3), keepdim=True) for power in powers]).sum(0)
    level = (total / (sources.numel() / len(sources) / sources.shape[2])).clamp(min=torch.finfo(mixture.dtype).tiny)
    refined = [explained(*part, power, level) for part, power in zip(parts, powers, strict=True)]
    return waveform(torch.cat(refined, -2), size, length + missing)[..., :length]

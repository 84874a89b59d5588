"""The multichannel Wiener filter: what a mixture's channels, taken together, tell of the sources that are estimated.

Nugraha, Liutkus and Vincent 2016, "Multichannel music separation with deep neural networks" (EUSIPCO), one iteration.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

DIFFUSE = 1e-3
"""Share of a source's power that is taken to come from everywhere, so that the mixture's covariance can be inverted."""

SILENCE = 1e-8
"""Share of the mean power below which a bin counts as silent."""


def spectrogram(x: Tensor, size: int) -> Tensor:
    """(..., t) -> complex (..., f, m)."""
    window = torch.hann_window(size, device=x.device)
    flat = torch.stft(x.flatten(0, -2), size, size // 4, window=window, return_complex=True)
    return flat.unflatten(0, x.shape[:-1])


def waveform(x: Tensor, size: int, length: int) -> Tensor:
    """Complex (..., f, m) -> (..., length)."""
    window = torch.hann_window(size, device=x.device)
    flat = torch.istft(x.flatten(0, -3), size, size // 4, window=window, length=length)
    return flat.unflatten(0, x.shape[:-2])


def solved(covariance: Tensor, x: Tensor) -> Tensor:
    """The y with covariance y = x: covariance (b, c, c, f, m), x (b, c, f, m)."""
    if x.shape[1] == 2:
        # LAPACK would take a hundred times as long over a million such small matrices.
        (a, b), (c, d) = (row.unbind(1) for row in covariance.unbind(1))
        first, second = x.unbind(1)
        return torch.stack([d * first - b * second, a * second - c * first], 1) / (a * d - b * c)[:, None]
    matrices, vectors = covariance.permute(0, 3, 4, 1, 2), x.permute(0, 2, 3, 1)[..., None]
    return torch.linalg.solve(matrices, vectors)[..., 0].permute(0, 3, 1, 2)


def filtered(mixture: Tensor, estimates: Tensor, size: int) -> Tensor:
    """Estimates made anew out of the mixture, each by the power and by the place that the given ones have.

    A source's power, in every bin and frame, is that of its estimate; its spatial covariance, in every bin, that of its
    estimate over all frames.

    Args:
        mixture: (b, c, t).
        estimates: (b, n, c, t).
        size: of the Fourier transform, in samples.

    Returns:
        (b, n, c, t); together, they are the mixture.
    """
    length = mixture.shape[-1]
    missing = max(size // 2 + 1 - length, 0)  # the STFT continues a signal by its reflection
    mixed = spectrogram(F.pad(mixture, (0, missing)), size)
    sources = spectrogram(F.pad(estimates, (0, missing)), size)
    power = torch.view_as_real(sources).square().sum(-1).mean(2)  # (b, n, f, m)
    # Their level plays no part; so squares of it do not become too small or too large to be reckoned with.
    level = power.mean((1, 2, 3), keepdim=True).clamp(min=torch.finfo(power.dtype).tiny)
    power = power / level + SILENCE
    covariance = torch.einsum("bncfm,bndfm->bncdf", sources, sources.conj() / level[:, None])
    covariance = covariance / power.sum(-1)[:, :, None, None]
    covariance = covariance + DIFFUSE * torch.eye(mixture.shape[1], device=mixture.device)[..., None]
    whole = torch.einsum("bnfm,bncdf->bcdfm", power.to(covariance.dtype), covariance)
    explained = solved(whole, mixed)
    again = power[:, :, None] * torch.einsum("bncdf,bdfm->bncfm", covariance, explained)
    return waveform(again, size, length + missing)[..., :length]

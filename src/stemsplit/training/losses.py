"""Defines the losses that training can minimise."""

from collections.abc import Callable

import torch
from torch import Tensor

FLOOR = 1e-3
"""Share of the mixture's energy (-30 dB) below which the energy of an error, or of a source, hardly matters."""

WINDOWS = (4096, 2048, 1024, 512, 256)
"""STFT sizes of the spectrograms that `spectral` compares, in samples."""
HOP = 147
"""Hop of these spectrograms, in samples."""


def summed(signals: Tensor, together: Tensor) -> Tensor:
    """Replace each output by the sum of all outputs that are only known together with it.

    A loss of these sums asks nothing of how an estimate divides what the recordings do not divide. It counts a sum as
    often as it has outputs.

    Args:
        signals: estimates or sources, (b, n, c, t).
        together: bool (b, n, n), see `Example`.

    Returns:
        (b, n, c, t); `signals` themselves if all outputs are known.
    """
    if torch.equal(together, torch.eye(together.shape[-1], dtype=torch.bool).expand_as(together)):
        return signals
    together = together.to(signals.device, signals.dtype, non_blocking=True)
    return torch.einsum("bij,bjct->bict", together, signals)


def spectral(estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:  # noqa: ARG001  # losses are called alike
    """Return the mean absolute error of waveforms plus that of their complex spectrograms at several resolutions.

    The loss of BS-RoFormer (Lu et al. 2023, arXiv:2309.02612).

    Args:
        estimates: (b, n, c, t).
        sources: (b, n, c, t).
        mixture: (b, c, t).

    Returns:
        A scalar.
    """
    error = (estimates - sources).flatten(0, -2)  # the spectrogram of a difference is the difference of spectrograms
    loss = error.abs().mean()
    # The STFT pads a signal with its reflection, so the signal must be longer than the padding.
    error = torch.nn.functional.pad(error, (0, max(WINDOWS[0] // 2 + 1 - error.shape[-1], 0)))
    for window in WINDOWS:
        hann = torch.hann_window(window, device=error.device)
        loss = loss + torch.stft(error, window, HOP, window=hann, return_complex=True).abs().mean()
    return loss


def relative_error(estimates: Tensor, sources: Tensor, mixture: Tensor) -> Tensor:
    """Return the negative SDR, with a floor so that silent sources and nearly perfect estimates do not dominate.

    10 log10((|source - estimate|^2 + floor) / (|source|^2 + floor)), floor = FLOOR |mixture|^2: the thresholded SNR of
    Wisdom et al. 2020 (arXiv:2006.12701), its threshold measured against the mixture.

    Args:
        estimates: (b, n, c, t).
        sources: (b, n, c, t).
        mixture: (b, c, t).

    Returns:
        A scalar in dB, the mean over stems and batch.
    """
    floor = FLOOR * mixture.square().sum((-2, -1))[:, None] + 1e-6
    error = (sources - estimates).square().sum((-2, -1)) + floor
    energy = sources.square().sum((-2, -1)) + floor
    return 10 * torch.log10(error / energy).mean()


Loss = Callable[[Tensor, Tensor, Tensor], Tensor]
LOSSES: dict[str, Loss] = {"spectral": spectral, "sdr": relative_error}
"""Name -> function of estimates, sources and mixture; the names are `plan.LOSS_NAMES`."""

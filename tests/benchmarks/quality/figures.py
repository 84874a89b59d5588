"""Measures what SDR does not tell about stems: bleed, musical noise, errors in high bands, and stems that are too loud.

All but `kurtosis` look at windows of 0.4 s, one every 0.1 s, as the gating blocks of ITU-R BS.1770 are. None depends on
the level of a song.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.audio.levels import decibels

WINDOW_SECONDS, HOP_SECONDS = 0.4, 0.1

INAUDIBLE = 1e-6
"""Energy of a stem's window, relative to the mean of the mixture's, up to which it is not heard."""

QUIET = 1e-4
"""Energy of a mixture's window, relative to the mean, up to which nothing plays."""

SILENT = 1e-5
"""Energy of a source's window, relative to the mixture's, up to which the source is silent there."""

EMPTY = 1e-7
"""Share of a mixture's energy up to which a band has none; MP3 cuts high bands off."""

N_FFT = 2_048
"""STFT size of `kurtosis`, in samples; a frame begins every quarter of it."""

HIGH = 8_000
"""Frequency in Hz above which musical noise is measured: little music is there to hide it."""


def lengths(rate: int) -> tuple[int, int]:
    """The length of a window and the samples between two of them."""
    return round(rate * WINDOW_SECONDS), round(rate * HOP_SECONDS)


def energies(x: Tensor, rate: int) -> Tensor:
    """The energy in windows, all channels together; the last window reaches over the end.

    Args:
        x: (..., c, t).
        rate: sample rate in Hz.

    Returns:
        float64 (..., m).
    """
    window, hop = lengths(rate)
    power = x.double().square().sum(-2)
    missing = max(window - power.shape[-1], 0) or (window - power.shape[-1]) % hop
    return F.pad(power, (0, missing)).unfold(-1, window, hop).sum(-1)


@dataclass(frozen=True)
class Moment:
    """A window in which a stem is loud: the stem's index, the window's start in seconds, dB over the mixture there."""

    stem: int
    at: float
    decibels: float


def loudest(stems: Tensor, mixture: Tensor, rate: int) -> Moment:
    """The window in which a stem is loudest compared with the mixture; windows in which it is not heard do not count.

    Args:
        stems: (n, c, t).
        mixture: (c, t).
        rate: sample rate in Hz.
    """
    own, whole = energies(stems, rate), energies(mixture, rate)
    ratios = (own / whole).where(own > INAUDIBLE * whole.mean(), 0.0)
    stem, place = divmod(int(ratios.argmax()), len(whole))
    return Moment(stem, place * lengths(rate)[1] / rate, decibels(float(ratios[stem, place])))


def silences(sources: Tensor, mixture: Tensor, rate: int) -> Tensor:
    """The windows in which a source is silent while others play, bool (n, m), for sources (n, c, t)."""
    whole = energies(mixture, rate)
    return (energies(sources, rate) <= SILENT * whole) & (whole > QUIET * whole.mean())


def bleed(estimates: Tensor, sources: Tensor, mixture: Tensor, rate: int) -> Tensor:
    """What is left of other sources in a stem whose own source is silent: its energy relative to the mixture's.

    Like the predicted energy at silence of Schulze-Forster, Doire, Richard and Badeau 2019, "Weakly informed audio
    source separation" (WASPAA), but relative to the mixture.

    Args:
        estimates: (n, c, t).
        sources: same shape as the estimates.
        mixture: (c, t).
        rate: sample rate in Hz.

    Returns:
        float64 (n, m), a ratio for every window; NaN where the source plays, or nothing does.
    """
    ratios = energies(estimates, rate) / energies(mixture, rate)
    return ratios.where(silences(sources, mixture, rate), torch.nan)


def energy_above(x: Tensor, rate: int, frequency: float) -> Tensor:
    """The energy of (..., c, t) from a frequency in Hz upwards, (...)."""
    spectrum = torch.fft.rfft(x.double())
    frequencies = torch.fft.rfftfreq(x.shape[-1], 1 / rate)
    return spectrum[..., frequencies >= frequency].abs().square().sum((-1, -2))


def error_above(estimates: Tensor, sources: Tensor, mixture: Tensor, rate: int, frequency: float) -> Tensor:
    """The energy of the estimates' errors above a frequency, relative to the mixture's there.

    Args:
        estimates: (n, c, t).
        sources: same shape as the estimates.
        mixture: (c, t).
        rate: sample rate in Hz.
        frequency: Hz.

    Returns:
        dB, (n,); NaN if the mixture has nothing there.
    """
    whole = energy_above(mixture, rate, frequency)
    if whole <= EMPTY * energy_above(mixture, rate, 0):
        return torch.full((len(estimates),), torch.nan, dtype=torch.float64)
    return 10 * (energy_above(estimates - sources, rate, frequency) / whole).log10()


def kurtosis(x: Tensor, rate: int, chosen: Tensor) -> float:
    """The kurtosis of the power in each bin above `HIGH`, over chosen frames: the mean over bins and channels.

    Args:
        x: (c, t).
        rate: sample rate in Hz.
        chosen: which frames to look at, bool (m,).

    Returns:
        E[p^4] / E[p^2]^2, which is 6 for Gaussian noise; NaN for silence.
    """
    spectrum = torch.stft(
        x.double(), N_FFT, N_FFT // 4, window=torch.hann_window(N_FFT).double(), center=False, return_complex=True
    )
    power = spectrum[:, math.ceil(HIGH * N_FFT / rate) :, chosen].abs().square()
    power = power / power.mean(-1, keepdim=True)  # NaN where a bin is silent throughout
    return float((power**4).mean(-1).div(power.square().mean(-1).square()).nanmean())


def musical_noise(estimates: Tensor, sources: Tensor, mixture: Tensor, rate: int) -> Tensor:
    """How much more tonal what bleeds into a stem is than the mixture that it comes from: the kurtosis ratio.

    Masks that open in single bins for single frames leave isolated peaks, which sound like chimes. They raise the
    kurtosis of the power spectrum: Uemura et al. 2008, "Automatic optimization scheme of spectral subtraction based on
    musical noise assessment via higher-order statistics" (IWAENC). It is measured where the source is silent, so that
    all that is heard is an error. It agrees with listeners only in part (Torcoli 2019, "An improved measure of musical
    noise based on spectral kurtosis", WASPAA).

    Args:
        estimates: (n, c, t).
        sources: same shape as the estimates.
        mixture: (c, t).
        rate: sample rate in Hz.

    Returns:
        float64 (n,): 1 where nothing was added; NaN where a source is silent for less than a second.
    """
    window, hop = lengths(rate)
    found = []
    for estimate, silent in zip(estimates, silences(sources, mixture, rate), strict=True):
        within = torch.zeros(mixture.shape[-1], dtype=torch.bool)
        for place in silent.nonzero().flatten().tolist():
            within[place * hop : place * hop + window] = True
        frames = within.unfold(-1, N_FFT, N_FFT // 4).all(-1) if len(within) >= N_FFT else within[:0]
        enough = int(frames.sum()) * N_FFT // 4 >= rate
        ratio = kurtosis(estimate, rate, frames) / kurtosis(mixture, rate, frames) if enough else math.nan
        found.append(ratio)
    return torch.tensor(found, dtype=torch.float64)

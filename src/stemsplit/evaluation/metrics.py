"""Measures how close an estimate is to its source, in dB: uSDR, SI-SDR, and cSDR as museval computes it.

uSDR (utterance-level) is the SDR of a whole song, cSDR (chunk-level) the median SDR of its seconds. All metrics follow
from three sums over a song's samples, with y the source, y' the estimate, and all channels together:

    |y|^2    |y' - y|^2    <y' - y, y>

The sums of a song are those of its parts added up, so a song need not be in memory as a whole.
"""

import math
from dataclasses import dataclass
from heapq import nsmallest

import torch
from torch import Tensor

HEARD = 1e-3
"""Energy of a frame's error, relative to the mean of all frames, below which it is not one of the worst."""


def sums(estimate: Tensor, source: Tensor) -> Tensor:
    """Return the three sums over part of a song.

    Args:
        estimate: (..., c, t).
        source: (..., c, t).

    Returns:
        float64 (..., 3): |y|^2, |y' - y|^2 and <y' - y, y>.
    """
    y = source.double().flatten(-2)
    error = estimate.double().flatten(-2) - y
    return torch.stack([y.square().sum(-1), error.square().sum(-1), (error * y).sum(-1)], -1)


def decibels(signal: Tensor, error: Tensor, source: Tensor) -> Tensor:
    """Return 10 log10(signal / error): minus infinity if the signal is zero, NaN if the source is."""
    ratio = (signal / error).where(signal > 0, 0.0)
    return (10 * ratio.log10()).where(source > 0, torch.nan)


def sdr_of(sums: Tensor) -> Tensor:
    """Return the SDR from sums (..., 3)."""
    source, error, _ = sums.unbind(-1)
    return decibels(source, error, source)


def si_sdr_of(sums: Tensor) -> Tensor:
    """Return the SI-SDR from sums (..., 3)."""
    source, error, common = sums.unbind(-1)
    # <y', y> = |y|^2 + <y' - y, y>. |a y - y'|^2 has its minimum, `rest`, at a = <y', y> / |y|^2. Rounding must not
    # make
    # it negative.
    rest = (error - common.square() / source).clamp(min=0)
    return decibels((source + common).square() / source, rest, source)


def sdr(estimate: Tensor, source: Tensor) -> Tensor:
    """Return the signal-to-distortion ratio 10 log10(|y|^2 / |y - y'|^2), all channels together.

    Of a whole song it is uSDR (utterance-level SDR), the SDR of the Music Demixing Challenge (Mitsufuji et al. 2022,
    arXiv:2108.13559), but without its small constants: a silent estimate scores 0, a perfect one infinity, and against
    a silent source the score is NaN.

    Args:
        estimate: (..., c, t).
        source: (..., c, t).

    Returns:
        dB, (...).
    """
    return sdr_of(sums(estimate, source))


def si_sdr(estimate: Tensor, source: Tensor) -> Tensor:
    """Return the scale-invariant SDR 10 log10(|a y|^2 / |a y - y'|^2) at the best a, which is <y', y> / |y|^2.

    It is defined by Le Roux et al. 2019, arXiv:1811.02508; here one a holds for all channels. A silent estimate scores
    minus infinity, a source scaled by any factor infinity, and against a silent source the score is NaN.

    Args:
        estimate: (..., c, t).
        source: (..., c, t).

    Returns:
        dB, (...).
    """
    return si_sdr_of(sums(estimate, source))


@dataclass(frozen=True)
class Figures:
    """How close the estimates of a song's stems are to their sources, in dB; NaN where a metric is undefined.

    Args:
        sdr: uSDR (utterance-level SDR), that of the whole song, (n,).
        si_sdr: SI-SDR of the whole song, (n,).
        frame_sdr: cSDR (chunk-level SDR), the median SDR of the song's seconds, (n,).
    """

    sdr: Tensor
    si_sdr: Tensor
    frame_sdr: Tensor


class Measurement:
    """Measures the figures of a song's stems, a frame of one second at a time.

    The SDR of a frame is that of BSSEval v4 (Stöter, Liutkus, Ito 2018, arXiv:1804.06267) as museval computes it. It
    decomposes an estimate into its source, spatial distortion, interference and artefacts, by filters of 512 taps:

        y' = y + e_spat + e_interf + e_artif,    SDR = 10 log10(|y|^2 / |e_spat + e_interf + e_artif|^2)

    Whatever the filters, the three errors add up to y' - y. So the SDR alone, unlike other metrics, does not need them.

    Silence is treated as in museval. Only whole frames count, unless the song is shorter than one. If any source or
    estimate is silent in a frame, the frame is ignored for every stem, so results depend on which stems are measured
    together. The median ignores frames without an error. Channels that cancel each other count as silence. museval
    refuses songs with a source or an estimate that is silent throughout; here that stem's median is NaN, and the others
    are measured without it.

    Args:
        frame: length of a frame in samples, one second.
    """

    def __init__(self, frame: int) -> None:
        self.frame = frame
        self.samples = 0
        # Python numbers, because tensors this small would lie between large, short-lived ones and fragment the memory.
        self.sums: list[list[list[float]]] = []
        self.audible: list[list[list[bool]]] = []

    def add(self, estimates: Tensor, sources: Tensor) -> None:
        """Measure the next frame.

        Args:
            estimates: (n, c, frame); the last frame may be shorter.
            sources: same shape as the estimates.

        Raises:
            ValueError: the frame is longer than `frame`, or the one before was shorter.
        """
        length = sources.shape[-1]
        if length > self.frame:
            raise ValueError(f"a frame must have at most {self.frame} samples, not {length}")
        if self.samples % self.frame:
            raise ValueError(f"only the last frame may have fewer than {self.frame} samples")
        self.samples += length
        self.sums.append(sums(estimates, sources).tolist())
        self.audible.append([part.double().sum(-2).any(-1).tolist() for part in (estimates, sources)])

    def frame_sdr(self) -> Tensor:
        """Return every stem's SDR in every frame, (n, m), whose median is cSDR; NaN in frames that do not count."""
        whole = max(self.samples // self.frame, 1)
        audible = torch.tensor(self.audible)  # (m, 2, n): estimates, sources
        compared = audible.any(0).all(0)
        counting = audible[:, :, compared].flatten(1).all(1)
        frames = sdr_of(torch.tensor(self.sums, dtype=torch.float64)).T
        return frames.where(compared[:, None] & counting, torch.nan)[:, :whole]

    def worst(self, most: int) -> list[list[tuple[int, float]]]:
        """Return the frames with the lowest SDR of every stem, the lowest first: index of each, and SDR in dB.

        Unlike in `frame_sdr`, a frame counts for a stem whatever the others do. It does not count where its SDR is not
        finite: the source is silent, or there is no error. Nor does it count where the error is too quiet
        to be heard, as in a pause with some noise, whose SDR may be the lowest of all: the error's energy is below
        `HEARD` of the stem's mean.

        Args:
            most: largest number of frames for each stem.
        """
        whole = max(self.samples // self.frame, 1)
        found = []
        for sums in torch.tensor(self.sums[:whole], dtype=torch.float64).unbind(1):
            heard = sums[:, 1] >= HEARD * sums[:, 1].mean()
            rows = enumerate(sdr_of(sums).where(heard, torch.nan).tolist())
            lowest = nsmallest(most, ((value, index) for index, value in rows if math.isfinite(value)))
            found.append([(index, value) for value, index in lowest])
        return found

    def figures(self) -> Figures:
        """Return the figures of the frames so far, which must have at least one sample."""
        total, frames = torch.tensor(self.sums, dtype=torch.float64).sum(0), self.frame_sdr()
        finite = frames.where(frames.isfinite(), torch.nan)
        return Figures(sdr_of(total), si_sdr_of(total), finite.nanquantile(0.5, -1))

"""How close an estimate is to its source, in dB: SDR, SI-SDR, and the SDR of a song's seconds as museval counts it.

All three follow from three sums over a song's samples, y its source and y' the estimate, all channels together:

    |y|^2    |y' - y|^2    <y' - y, y>

These add up over parts of a song, so that no song has to be in memory whole.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


def sums(estimate: Tensor, source: Tensor) -> Tensor:
    """What a part of a song adds to the sums that all figures are made of.

    Args:
        estimate: (..., c, t).
        source: (..., c, t).

    Returns:
        float64 (..., 3).
    """
    true = source.double().flatten(-2)
    error = estimate.double().flatten(-2) - true
    return torch.stack([true.square().sum(-1), error.square().sum(-1), (error * true).sum(-1)], -1)


def decibels(signal: Tensor, error: Tensor, source: Tensor) -> Tensor:
    """10 log10(signal / error), without a signal minus infinity; without a source NaN."""
    ratio = (signal / error).where(signal > 0, 0.0)
    return (10 * ratio.log10()).where(source > 0, torch.nan)


def sdr_of(sums: Tensor) -> Tensor:
    """SDR from sums (..., 3)."""
    source, error, _ = sums.unbind(-1)
    return decibels(source, error, source)


def si_sdr_of(sums: Tensor) -> Tensor:
    """SI-SDR from sums (..., 3)."""
    source, error, common = sums.unbind(-1)
    # <y', y> = |y|^2 + <y' - y, y>. |a y - y'|^2 is least at a = <y', y> / |y|^2, where it is this; rounding must not
    # make it negative.
    rest = (error - common.square() / source).clamp(min=0)
    return decibels((source + common).square() / source, rest, source)


def sdr(estimate: Tensor, source: Tensor) -> Tensor:
    """Signal-to-distortion ratio: 10 log10(|y|^2 / |y - y'|^2), all channels together.

    That of the Music Demixing Challenge (Mitsufuji et al. 2022, arXiv:2108.13559), without its small constants: a
    silent estimate scores 0, a perfect one infinity; what is measured against silence has no score, which is NaN.

    Args:
        estimate: (..., c, t).
        source: (..., c, t).

    Returns:
        dB, (...).
    """
    return sdr_of(sums(estimate, source))


def si_sdr(estimate: Tensor, source: Tensor) -> Tensor:
    """Scale-invariant SDR: 10 log10(|a y|^2 / |a y - y'|^2) at the best a, which is <y', y> / |y|^2.

    That of Le Roux et al. 2019, arXiv:1811.02508, with one a for all channels together. A silent estimate scores minus
    infinity, one that is its source at any level infinity; what is measured against silence has no score.

    Args:
        estimate: (..., c, t).
        source: (..., c, t).

    Returns:
        dB, (...).
    """
    return si_sdr_of(sums(estimate, source))


@dataclass(frozen=True)
class Figures:
    """How close the estimates of a song are to its stems; NaN where there is no figure, in dB.

    Args:
        sdr: of the whole song, (n,).
        si_sdr: of the whole song, (n,).
        frame_sdr: median of its seconds, (n,).
    """

    sdr: Tensor
    si_sdr: Tensor
    frame_sdr: Tensor


class Measurement:
    """Figures of a song's stems, gathered second by second.

    The SDR of a frame is that of BSSEval v4 (Stöter, Liutkus, Ito 2018, arXiv:1804.06267) as museval computes it. That
    takes an estimate apart into its source, spatial distortion, interference and artefacts, by filters of 512 taps:

        y' = y + e_spat + e_interf + e_artif,    SDR = 10 log10(|y|^2 / |e_spat + e_interf + e_artif|^2)

    Whatever the filters, the three errors add up to y' - y: for its SDR, and for that alone, none has to be found.

    Silence is dealt with as there. Only whole frames count, unless the song is shorter than one. A frame in which any
    source or any estimate is silent counts for no stem; so which stems are measured together matters. The median passes
    over frames without an error. A channel that is the inverse of another makes silence. museval refuses songs of which
    a source or an estimate is silent throughout; here that stem has no median, and the others are measured without it.

    Args:
        frame: samples of a second.
    """

    def __init__(self, frame: int) -> None:
        self.frame = frame
        self.samples = 0
        # As numbers of Python: tensors this small would lie between the large ones that come and go, and keep the
        # memory in between from being used again.
        self.sums: list[list[list[float]]] = []
        self.heard: list[list[list[bool]]] = []

    def add(self, estimates: Tensor, sources: Tensor) -> None:
        """Measure the next frame.

        Args:
            estimates: (n, c, frame); the last may be shorter.
            sources: as the estimates.

        Raises:
            ValueError: it is longer than a frame, or follows one that was shorter.
        """
        length = sources.shape[-1]
        if length > self.frame or self.samples % self.frame:
            raise ValueError(f"a frame of {length} samples at {self.samples} is none of {self.frame}")
        self.samples += length
        self.sums.append(sums(estimates, sources).tolist())
        self.heard.append([part.double().sum(-2).any(-1).tolist() for part in (estimates, sources)])

    def frame_sdr(self) -> Tensor:
        """SDR of every stem in every frame, (n, m); NaN in frames that do not count."""
        whole = max(self.samples // self.frame, 1)
        heard = torch.tensor(self.heard)
        compared = heard.any(0).all(0)
        counting = heard[:, :, compared].flatten(1).all(1)
        frames = sdr_of(torch.tensor(self.sums, dtype=torch.float64)).T
        return frames.where(compared[:, None] & counting, torch.nan)[:, :whole]

    def figures(self) -> Figures:
        """The figures of what was measured, which is at least one sample."""
        total, frames = torch.tensor(self.sums, dtype=torch.float64).sum(0), self.frame_sdr()
        finite = frames.where(frames.isfinite(), torch.nan)
        return Figures(sdr_of(total), si_sdr_of(total), finite.nanquantile(0.5, -1))

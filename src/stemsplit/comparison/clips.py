"""Clips to be compared by ear: how loud they are, gains that make them alike, and how far apart they are."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stemsplit.audio import Block
from stemsplit.audio.levels import SILENT, decibels
from stemsplit.libraries import load_torchaudio

FARTHEST = 20.0
"""dB by which a clip is made louder or softer at most: what is farther away is all but silent, and to be heard so."""

LOUDEST = 0.25
"""Peak up to which torchaudio measures rightly: its filters, which raise peaks up to 3.5 times, clip at full scale."""


def loudness(clip: Block, sample_rate: int) -> float | None:
    """Integrated loudness by ITU-R BS.1770-4; None for silence.

    Args:
        clip: (c, t). Of more than five channels those are left out that the recommendation leaves out in 5.1: the
            fourth, for low frequencies, and what follows the surround channels.
        sample_rate: Hz.

    Returns:
        LUFS.

    Raises:
        LibraryError: torchaudio, which measures it, does not load.
    """
    # Only now: it takes seconds, and what can be wrong before is to be known at once.
    import torch

    heard = clip if len(clip) <= 5 else clip[[0, 1, 2, 4, 5]]
    peak = float(np.abs(heard).max(initial=0))
    if peak < SILENT:
        return None
    # Nothing shorter than a block of 0.4 s has a loudness.
    missing = max(round(0.4 * sample_rate) - heard.shape[1], 0)
    scale = min(LOUDEST / peak, 1.0)
    samples = torch.from_numpy(np.pad(heard, ((0, 0), (0, missing)))).double() * scale
    integrated = load_torchaudio().functional.loudness(samples, sample_rate)
    found = float(integrated) - 20 * math.log10(scale)
    return found if math.isfinite(found) else None


@dataclass
class Clip:
    """A part of a song, or of one of its stems.

    Args:
        path: where it is written.
        samples: (c, t), as they were computed or read.
        loudness: of these, in LUFS; None if they are silent.
        peak: the largest absolute sample of these.
        gain: dB by which they are made louder when they are written.
        matched: whether that brings them to the loudness of the others.
        scores: SDR and SI-SDR of these, in dB, if there is a reference; None where it, or the clip, is silent.
    """

    path: Path
    samples: Block
    loudness: float | None
    peak: float
    gain: float = 0.0
    matched: bool = True
    scores: dict[str, float | None] = field(default_factory=dict)


def measured(path: Path, samples: Block, sample_rate: int) -> Clip:
    """The clip that these samples make, measured."""
    return Clip(path, samples, loudness(samples, sample_rate), float(np.abs(samples).max(initial=0)))


def match(clips: Sequence[Clip], target: float | None) -> None:
    """Choose gains that bring clips to the same loudness, without any beyond full scale.

    What is silent is left as it is; so is, besides what is done to all, what is too far away.

    Args:
        clips: of the same stem.
        target: LUFS; None for silence, to which nothing can be brought.
    """
    heard = [clip for clip in clips if clip.loudness is not None]
    for clip in clips:
        away = math.inf if target is None or clip.loudness is None else target - clip.loudness
        clip.matched = abs(away) <= FARTHEST
        clip.gain = away if clip.matched else 0.0
    # Lowered all alike: else the loudest peaks would decide which clip is softer than the others.
    over = max([20 * math.log10(clip.peak) + clip.gain for clip in heard], default=0.0)
    for clip in heard:
        clip.gain -= max(over, 0.0)


def difference(one: Block, other: Block) -> float | None:
    """Energy of the difference of two clips, in dB of the louder one's; None if both are silent."""
    energies = [float(np.square(part, dtype=np.float64).sum()) for part in (one, other, one - other)]
    louder = max(energies[:2])
    return decibels(energies[2] / louder) if louder else None


def scores(clip: Clip, reference: Clip) -> dict[str, float | None]:
    """SDR and SI-SDR of a clip, in dB."""
    import torch  # only now, as above

    from stemsplit.evaluation.metrics import sdr, si_sdr

    pair = torch.from_numpy(clip.samples), torch.from_numpy(reference.samples)
    found = {"sdr": float(sdr(*pair)), "si_sdr": float(si_sdr(*pair))}
    heard = reference.loudness is not None
    return {name: figure if heard and math.isfinite(figure) else None for name, figure in found.items()}

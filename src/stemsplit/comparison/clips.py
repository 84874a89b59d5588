"""Measures clips that are compared by ear: their loudness, the gains that match it, and how much they differ."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from stemsplit.audio import Block
from stemsplit.audio.levels import EXACT, SILENT, decibels
from stemsplit.libraries import load_torchaudio

LARGEST_GAIN = 20.0
"""Largest gain in dB; a clip further from the target is nearly silent, and stays so."""

HIGHEST_PEAK = 0.25
"""Highest peak that torchaudio measures correctly: its filters raise peaks up to 3.5 times and clip at full scale."""


def loudness(clip: Block, sample_rate: int) -> float | None:
    """Return the integrated loudness of a clip by ITU-R BS.1770-4.

    Args:
        clip: samples (c, t). With more than five channels, the fourth (low frequencies, as in 5.1) and those after the
            sixth are ignored, as the recommendation says.
        sample_rate: sample rate in Hz.

    Returns:
        Loudness in LUFS; None for silence.

    Raises:
        LibraryError: torchaudio does not load.
    """
    import torch  # imported here: it takes seconds, and cheaper checks have to fail first

    channels = clip if len(clip) <= 5 else clip[[0, 1, 2, 4, 5]]
    peak = float(np.abs(channels).max(initial=0))
    if peak < SILENT:
        return None
    # Loudness is defined for blocks of 0.4 s, so a shorter clip is padded with silence.
    missing = max(round(0.4 * sample_rate) - channels.shape[1], 0)
    scale = min(HIGHEST_PEAK / peak, 1.0)
    samples = torch.from_numpy(np.pad(channels, ((0, 0), (0, missing)))).double() * scale
    integrated = load_torchaudio().functional.loudness(samples, sample_rate)
    level = float(integrated) - 20 * math.log10(scale)
    return level if math.isfinite(level) else None


@dataclass
class Clip:
    """An excerpt of a song, or of one of its stems, as a file to listen to.

    Args:
        path: file that the clip is written to.
        samples: samples (c, t) before any gain.
        loudness: loudness of `samples` in LUFS; None if they are silent.
        peak: largest absolute value in `samples`.
        gain: gain in dB that is applied when the clip is written.
        matched: whether `gain` brings the clip to the loudness of the others.
        scores: SDR and SI-SDR of `samples` in dB, by name, if there is a reference; None where a score is not finite,
            as against silence.
    """

    path: Path
    samples: Block
    loudness: float | None
    peak: float
    gain: float = 0.0
    matched: bool = True
    scores: dict[str, float | None] = field(default_factory=dict)


def measured(path: Path, samples: Block, sample_rate: int) -> Clip:
    """Return a clip of these samples (c, t), with its loudness and peak."""
    return Clip(path, samples, loudness(samples, sample_rate), float(np.abs(samples).max(initial=0)))


def match(clips: Sequence[Clip], target: float | None) -> None:
    """Set gains that bring clips to the same loudness, none of them beyond full scale.

    Silent clips are left alone. Clips too far from the target get only the gain that is common to all.

    Args:
        clips: clips of the same stem.
        target: loudness in LUFS; None for silence, to which no clip can be matched.
    """
    audible = [clip for clip in clips if clip.loudness is not None]
    for clip in clips:
        needed = math.inf if target is None or clip.loudness is None else target - clip.loudness
        clip.matched = abs(needed) <= LARGEST_GAIN
        clip.gain = needed if clip.matched else 0.0
    # All are lowered alike, or a clip with high peaks would be softer than the others.
    excess = max([20 * math.log10(clip.peak) + clip.gain for clip in audible], default=0.0)
    for clip in audible:
        clip.gain -= max(excess, 0.0)


def difference(one: Block, other: Block) -> float | None:
    """Return the energy of the difference of two clips, in dB relative to the louder one; None if both are silent."""
    first, second, between = (float(np.square(each, dtype=np.float64).sum()) for each in (one, other, one - other))
    louder = max(first, second)
    return decibels(between / louder) if louder else None


def by_second(one: Block, other: Block, sample_rate: int) -> list[float]:
    """Return how much two clips differ in each second.

    Args:
        one: samples (c, t).
        other: samples (c, t).
        sample_rate: sample rate in Hz.

    Returns:
        Energy of the difference in dB relative to the louder clip's mean energy in a second, so that seconds can be
        compared; `EXACT` where there is no difference. The last second may be shorter.
    """
    louder = max(float(np.square(each, dtype=np.float64).mean()) for each in (one, other))
    starts = range(0, one.shape[-1], sample_rate)
    parts = ((one[:, start : start + sample_rate] - other[:, start : start + sample_rate]) for start in starts)
    means = (float(np.square(part, dtype=np.float64).mean()) for part in parts)
    return [decibels(mean / louder) if louder else EXACT for mean in means]


def scores(clip: Clip, reference: Clip) -> dict[str, float | None]:
    """Return SDR and SI-SDR of a clip against its reference, in dB; None where a score is not finite."""
    import torch  # imported here, as above

    from stemsplit.evaluation.metrics import sdr, si_sdr

    pair = torch.from_numpy(clip.samples), torch.from_numpy(reference.samples)
    figures = {"sdr": float(sdr(*pair)), "si_sdr": float(si_sdr(*pair))}
    audible = reference.loudness is not None
    return {name: figure if audible and math.isfinite(figure) else None for name, figure in figures.items()}

"""Changes sources at random (augmentation), so that a network hears more music than there are recordings."""

import math
import random
from collections.abc import Callable

from torch import Tensor

from stemsplit.libraries import load_torchaudio
from stemsplit.training.effects import codec, compress, lowpass, master, pauses, reverb

SPEEDS = ((1, 1), (10, 9), (9, 8), (8, 9), (9, 10), (17, 16), (16, 17))
"""Resampling ratios; speed and pitch go up or down together, by a whole tone at most."""


def faster(samples: Tensor, speed: tuple[int, int]) -> Tensor:
    """Play samples (..., t) at speed[0] / speed[1] times their own speed."""
    if speed[0] == speed[1] or not samples.numel():
        return samples
    return load_torchaudio().functional.resample(samples, speed[0], speed[1])


def needed(length: int, speed: tuple[int, int]) -> int:
    """Return how many samples of a recording give at least `length` samples at this speed."""
    return math.ceil(length * speed[0] / speed[1]) + 1


def swap(source: Tensor, rng: random.Random, sample_rate: int) -> Tensor:  # noqa: ARG001  # all are called alike
    """Swap left and right, half of the time."""
    return source.flip(0) if rng.random() < 0.5 else source


def polarity(source: Tensor, rng: random.Random, sample_rate: int) -> Tensor:  # noqa: ARG001  # all are called alike
    """Invert the signal, half of the time."""
    return -source if rng.random() < 0.5 else source


def equalise(source: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """Half of the time, boost or cut a wide band between 100 Hz and 10 kHz by up to 6 dB."""
    if rng.random() < 0.5:
        return source
    centre = min(100 * 100 ** rng.random(), 0.45 * sample_rate)
    # torchaudio's filters clip at full scale, and a source may be louder.
    scale = 0.1 / max(float(source.abs().max()), 0.1)
    filtered = load_torchaudio().functional.equalizer_biquad
    return filtered(source * scale, sample_rate, centre, rng.uniform(-6, 6), Q=0.7) / scale


Augmentation = Callable[[Tensor, random.Random, int], Tensor]
AUGMENTATIONS: dict[str, Augmentation] = {
    "swap": swap,
    "polarity": polarity,
    "equalise": equalise,
    "compress": compress,
    "reverb": reverb,
}
"""Name -> function of a source (2, t), a random generator and a sample rate in Hz that keeps the source's length."""

OF_EXAMPLES: dict[str, Augmentation] = {"master": master, "lowpass": lowpass, "pauses": pauses}
"""Name -> function of all sources of an example (n, 2, t)."""

OF_MIXTURES: dict[str, Augmentation] = {"codec": codec}
"""Name -> function of a mixture (2, t)."""

WHERE_READ = ("speed", "pitch", "levels")
"""Augmentations that are applied where recordings are read: speed needs more of a recording than it gives, sources of
one song are all shifted in pitch alike, and levels are those of whole recordings."""


def with_random_gain(source: Tensor, rng: random.Random, limit: float) -> Tensor:
    """Make a source louder or softer by `limit` dB at most."""
    return source * 10 ** (rng.uniform(-limit, limit) / 20)

"""Making more songs out of few: each way has a name, by which a run asks for it."""

import math
import random
from collections.abc import Callable, Sequence

from torch import Tensor

from stemsplit.libraries import load_torchaudio

SPEEDS = ((1, 1), (10, 9), (9, 8), (8, 9), (9, 10), (17, 16), (16, 17))
"""Resampling ratios: speed and pitch go up or down together, at most by a whole tone."""


def faster(take: Tensor, speed: tuple[int, int]) -> Tensor:
    """Play `take` (..., t) at speed[0] / speed[1] of its own."""
    if speed[0] == speed[1] or not take.numel():
        return take
    return load_torchaudio().functional.resample(take, speed[0], speed[1])


def needed(length: int, speed: tuple[int, int]) -> int:
    """Samples of the original that give at least `length` samples at this speed."""
    return math.ceil(length * speed[0] / speed[1]) + 1


def swap(take: Tensor, rng: random.Random, sample_rate: int) -> Tensor:  # noqa: ARG001  # all are called alike
    """Left and right change places, half of the time."""
    return take.flip(0) if rng.random() < 0.5 else take


def polarity(take: Tensor, rng: random.Random, sample_rate: int) -> Tensor:  # noqa: ARG001  # all are called alike
    """The signal is turned upside down, half of the time."""
    return -take if rng.random() < 0.5 else take


def equalise(take: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """Half of the time, a wide band somewhere between 100 Hz and 10 kHz gets up to 6 dB louder or softer."""
    if rng.random() < 0.5:
        return take
    centre = min(100 * 100 ** rng.random(), 0.45 * sample_rate)
    # torchaudio's filters clip at full scale, which a source may well go beyond.
    scale = 0.1 / max(float(take.abs().max()), 0.1)
    filtered = load_torchaudio().functional.equalizer_biquad
    return filtered(take * scale, sample_rate, centre, rng.uniform(-6, 6), Q=0.7) / scale


Augmentation = Callable[[Tensor, random.Random, int], Tensor]
WAYS: dict[str, Augmentation] = {"swap": swap, "polarity": polarity, "equalise": equalise}
"""Those that take a source (2, t), chance and a sample rate, and leave its length."""

NAMES = (*WAYS, "speed")
"""All; `speed` needs more of a recording than it gives, so whoever reads the recording sees to it."""


def check(names: Sequence[str]) -> None:
    """Check that these augmentations exist and can run on this machine.

    Raises:
        ValueError: there is no augmentation of that name.
        LibraryError: torchaudio, which some augmentations need, does not load.
    """
    if unknown := sorted({*names} - {*NAMES}):
        raise ValueError(f"no augmentation {unknown[0]!r}; there are {', '.join(NAMES)}")
    if {"equalise", "speed"} & {*names}:
        load_torchaudio()


def levelled(take: Tensor, rng: random.Random, most: float) -> Tensor:
    """A source made louder or softer, by `most` dB at most."""
    return take * 10 ** (rng.uniform(-most, most) / 20)

"""Making more songs out of few: level, polarity, channels, speed."""

import math
import random

import torchaudio
from torch import Tensor

SPEEDS = ((1, 1), (10, 9), (9, 8), (8, 9), (9, 10), (17, 16), (16, 17))
"""Resampling ratios: speed and pitch go up or down together, at most by a whole tone."""


def faster(take: Tensor, speed: tuple[int, int]) -> Tensor:
    """Play `take` (..., t) at speed[0] / speed[1] of its own."""
    return take if speed[0] == speed[1] else torchaudio.functional.resample(take, speed[0], speed[1])


def needed(length: int, speed: tuple[int, int]) -> int:
    """Samples of the original that give at least `length` samples at this speed."""
    return math.ceil(length * speed[0] / speed[1]) + 1


def vary(take: Tensor, rng: random.Random, level_range: tuple[float, float] = (-8.0, 4.0)) -> Tensor:
    """Random level (dB, within `level_range`), polarity and left-right order of a take (2, t)."""
    gain = 10 ** (rng.uniform(*level_range) / 20) * rng.choice((-1, 1))
    return gain * (take.flip(0) if rng.random() < 0.5 else take)

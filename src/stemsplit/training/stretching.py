"""Shifts the pitch of sources and keeps their tempo."""

import random

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stemsplit.libraries import load_torchaudio

STEPS = ((17, 16), (16, 17), (10, 9), (9, 10), (9, 8), (8, 9))
"""Ratios of the new pitch to the old: about one and two semitones, up and down."""

GRAIN_SECONDS, SEARCH_SECONDS = 0.06, 0.01
"""Length of the grains that a sound is cut into, and by how much each may be taken earlier or later."""

COARSE = 8
"""Samples between the places that are tried first."""

Floats = npt.NDArray[np.float32]


def likest(signal: Floats, template: Floats, first: int, last: int, step: int) -> int:
    """Return the place from `first` to `last` at which a signal is most like a template, tried every `step` samples."""
    stretch, pattern = signal[first : last + len(template) : step], template[::step]
    products = np.correlate(stretch, pattern, "valid")
    energies = np.cumsum(np.concatenate([[0.0], stretch.astype(np.float64) ** 2]))
    energies = energies[len(pattern) :][: len(products)] - energies[: len(products)]
    return first + step * int(np.argmax(products / np.sqrt(energies + 1e-9)))


def grains(signal: Floats, length: int, grain: int, search: int) -> npt.NDArray[np.int64]:
    """Return where to take the grains of a signal (t,) from, to make it `length` samples long: WSOLA.

    Each grain begins near its time, where the signal is most like what followed the grain before (Verhelst and Roelands
    1993, "An overlap-add technique based on waveform similarity").
    """
    hop, end = grain // 2, len(signal) - grain
    places = [0]
    for start in range(hop, length, hop):
        wanted = min(round(start * len(signal) / length), end)
        template = signal[places[-1] + hop : places[-1] + grain]
        first, last = max(wanted - search, 0), min(wanted + search, end)
        near = likest(signal, template, first, last, COARSE)
        places.append(likest(signal, template, max(near - COARSE, first), min(near + COARSE, last), 1))
    return np.array(places)


def stretched(sources: Tensor, length: int, sample_rate: int) -> Tensor:
    """Make sources longer or shorter and keep their pitch; all are cut in the same places, so that their sum is, too.

    Args:
        sources: (n, c, t).
        length: new length, about that of the old.
        sample_rate: Hz.

    Returns:
        (n, c, length).
    """
    hop = round(GRAIN_SECONDS / 2 * sample_rate)
    places = grains(sources.sum((0, 1)).numpy(), length, 2 * hop, round(SEARCH_SECONDS * sample_rate))
    window = torch.hann_window(2 * hop)
    pieces = sources[..., torch.from_numpy(places)[:, None] + torch.arange(2 * hop)] * window
    joined = torch.zeros(*sources.shape[:2], (len(places) + 1) * hop)
    for half in (0, 1):
        chosen = pieces[..., half::2, :].flatten(-2)
        joined[..., half * hop : half * hop + chosen.shape[-1]] += chosen
    joined[..., :hop] = sources[..., :hop]  # the first grain fades in, and has no other before it
    return joined[..., :length]


def pitch(sources: Tensor, rng: random.Random, sample_rate: int) -> Tensor:
    """A quarter of the time, shift the pitch of sources (n, 2, t) by one or two semitones, and keep their tempo."""
    length = sources.shape[-1]
    if rng.random() >= 1 / 4 or length < 4 * GRAIN_SECONDS * sample_rate or not sources.any():
        return sources
    above, below = rng.choice(STEPS)
    longer = stretched(sources, -(-length * above // below) + 1, sample_rate)
    return load_torchaudio().functional.resample(longer, above, below)[..., :length]

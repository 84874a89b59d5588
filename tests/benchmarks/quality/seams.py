"""Finds where the chunks of a song meet, and measures what can be heard of it: clicks, and steps in a stem's level."""

import math

import torch
from torch import Tensor

from stemsplit.choices import WindowName
from stemsplit.engine.cutting import chunks
from stemsplit.engine.overlap_add import fade_length
from stemsplit.registry.entry import ModelEntry
from tests.benchmarks.quality.figures import energies, lengths

PLAYS = 1e-3
"""Energy of a source's window, relative to the mixture's, from which its level is compared."""

Overlap = tuple[int, int]
"""The samples of a song that two chunks share: the first, and the one after the last."""


def overlaps(entry: ModelEntry, length: int) -> list[Overlap]:
    """Where chunks overlap in a song of so many samples, as a CPU cuts them."""
    found: list[Overlap] = []
    start = end = 0
    for chunk in chunks([torch.zeros(1, length)], entry.chunk, entry.hop, WindowName(entry.window), entry.ends):
        if chunk.first:
            start = -chunk.begin
        else:
            found.append((start, end))
        end = start + chunk.samples.shape[-1]
        start += chunk.hop
    return found


def fades(entry: ModelEntry, length: int) -> Tensor:
    """The samples at which fades begin and end in a song of so many samples."""
    fade = fade_length(WindowName(entry.window), entry.chunk, entry.hop)
    places = [place for begin, end in overlaps(entry, length) for place in (begin, begin + fade, end - fade, end)]
    return torch.tensor(places, dtype=torch.long).clamp(0, length - 1).unique()


def bends(stems: Tensor, places: Tensor) -> tuple[float, float]:
    """The mean square of the stems' second differences, which a click makes large: at some samples, and elsewhere.

    Args:
        stems: (n, c, t).
        places: indices of samples.
    """
    squares = stems.double().diff(n=2).square().mean((0, 1))
    near = torch.zeros_like(squares, dtype=torch.bool)
    near[(places[:, None] + torch.arange(-3, 2)).clamp(0, len(squares) - 1).flatten()] = True
    return float(squares[near].mean()), float(squares[~near].mean())


def level_steps(
    estimates: Tensor, sources: Tensor, mixture: Tensor, rate: int, shared: list[Overlap]
) -> tuple[Tensor, Tensor]:
    """By how much a stem's level, compared with its source's, changes from one chunk to the next, and within a chunk.

    A network that hears other bars may give a stem another level. The windows just before and just after the samples
    that two chunks share are compared; then all pairs of windows as far apart that only one chunk covers.

    Args:
        estimates: (n, c, t).
        sources: same shape as the estimates.
        mixture: (c, t).
        rate: sample rate in Hz.
        shared: where chunks overlap.

    Returns:
        Absolute changes in dB between two chunks, (n, seams), and within a chunk, (n, pairs); NaN where the source is
        too soft in a window.
    """
    window, hop = lengths(rate)
    whole, true, own = energies(mixture, rate), energies(sources, rate), energies(estimates, rate)
    gains = (10 * (own / true).log10()).where((true > PLAYS * whole) & (own > 0), torch.nan)
    across, within = [gains[:, :0]], [gains[:, :0]]
    before = 0
    for begin, end in shared:
        first, last = (begin - window) // hop, math.ceil(end / hop)
        # Pairs within the chunk before this seam: its windows from `before` on, the last of which ends at `begin`.
        near = gains[:, before : first + 1]
        if first >= 0 and last < gains.shape[1]:
            across.append((gains[:, last] - gains[:, first])[:, None])
            within.append(near[:, last - first :] - near[:, : first - last])
        before = last
    return torch.cat(across, 1).abs(), torch.cat(within, 1).abs()

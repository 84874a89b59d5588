"""Measures a model on songs whose stems are known, and on what is no such song."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from stemsplit import Separator
from stemsplit.audio.levels import SumError, decibels
from stemsplit.evaluation.metrics import sdr, si_sdr
from tests.benchmarks.quality.figures import Moment, bleed, error_above, loudest, musical_noise
from tests.benchmarks.quality.inputs import Input
from tests.benchmarks.quality.seams import bends, fades, level_steps, overlaps

BANDS = (8_000, 14_000)
"""Frequencies in Hz above which errors are measured."""

SHORT_SECONDS = 10
"""Longest song of which stems are also taken out: it is split again for each of them."""

Row = list[float]
"""A figure for each stem."""


@dataclass(frozen=True)
class SongFigures:
    """What was measured on one song, for each stem: NaN where a stem has no source, or a figure is not defined.

    Args:
        sdr, si_sdr: of the whole song, in dB.
        level: energy of the estimate relative to the source's, in dB.
        mono_sdr: SDR of the song in mono, given as stereo; empty for a long song.
        bleed: ratio for each window (see `figures.bleed`), (n, m).
        bleed_alone: the same for a mixture without the stem's source; empty for a long song.
        error_8k, error_14k: errors above these frequencies, relative to the mixture there, in dB.
        musical_noise: kurtosis ratio (see `figures.musical_noise`).
        musical_noise_alone: the same for a mixture without the stem's source; empty for a long song.
        steps, steps_within: changes of level between two chunks and within one, in dB, (n, any number).
        bends: second differences where fades begin and end, and elsewhere.
        loudest: the window in which a stem is loudest compared with the mixture.
        true_loudest: the same of the true stems, which may cancel each other too.
    """

    sdr: Tensor
    si_sdr: Tensor
    level: Tensor
    mono_sdr: Tensor
    bleed: Tensor
    bleed_alone: Tensor
    error_8k: Tensor
    error_14k: Tensor
    musical_noise: Tensor
    musical_noise_alone: Tensor
    steps: Tensor
    steps_within: Tensor
    bends: tuple[float, float]
    loudest: Moment
    true_loudest: Moment


def split(separator: Separator, mixture: Tensor, rate: int) -> Tensor:
    """The stems of a mixture (c, t), (n, c, t)."""
    stems = separator.separate(mixture, rate)
    return torch.stack([stems[name] for name in separator.stems])


def without_source(separator: Separator, sources: Tensor) -> tuple[Tensor, Tensor]:
    """Measure each stem of mixtures without its source: all that it holds came from others.

    Returns:
        The `bleed`, (n, m), and the `musical_noise`, (n,).
    """
    ratios, noises = [], []
    for index, source in enumerate(sources):
        rest = sources.sum(0) - source
        found = (split(separator, rest, separator.entry.sample_rate)[index, None], torch.zeros_like(source)[None], rest)
        ratios.append(bleed(*found, separator.entry.sample_rate))
        noises.append(musical_noise(*found, separator.entry.sample_rate))
    return torch.cat(ratios), torch.cat(noises)


def measure_song(separator: Separator, sources: Tensor) -> SongFigures:
    """Measure the stems that a model makes of the sum of a song's sources (n, c, t)."""
    mixture, rate, entry = sources.sum(0), separator.entry.sample_rate, separator.entry
    estimates = split(separator, mixture, rate)
    low, high = (error_above(estimates, sources, mixture, rate, frequency) for frequency in BANDS)
    shared = [] if separator.streams_songs else overlaps(entry, mixture.shape[-1])
    steps, within = level_steps(estimates, sources, mixture, rate, shared)
    in_mono, bleeding, noisy = torch.zeros(0), torch.zeros(len(sources), 0), torch.zeros(0)
    if mixture.shape[-1] <= SHORT_SECONDS * rate:
        mono = sources.mean(1, keepdim=True).expand_as(sources)
        in_mono = sdr(split(separator, mono.sum(0), rate), mono)
        bleeding, noisy = without_source(separator, sources)
    energies = [x.double().square().sum((1, 2)) for x in (estimates, sources)]
    return SongFigures(
        sdr=sdr(estimates, sources),
        si_sdr=si_sdr(estimates, sources),
        level=10 * (energies[0] / energies[1]).log10(),
        mono_sdr=in_mono,
        bleed=bleed(estimates, sources, mixture, rate),
        bleed_alone=bleeding,
        error_8k=low,
        error_14k=high,
        musical_noise=musical_noise(estimates, sources, mixture, rate),
        musical_noise_alone=noisy,
        steps=steps,
        steps_within=within,
        bends=bends(estimates, fades(entry, mixture.shape[-1])) if shared else (0.0, 0.0),
        loudest=loudest(estimates, mixture, rate),
        true_loudest=loudest(sources, mixture, rate),
    )


def mean_of(rows: Iterable[Tensor]) -> Row:
    """The mean over songs for each stem, without those that are not finite; empty if no song has the figure."""
    stacked = torch.stack([row for row in rows if len(row)] or [torch.zeros(0)]).double()
    return stacked.where(stacked.isfinite(), torch.nan).nanmean(0).tolist()


def pooled(parts: Iterable[Tensor]) -> Row:
    """The mean over all windows of all songs for each stem; empty if there are none."""
    windows = torch.cat(list(parts), -1)
    return windows.nanmean(-1).tolist() if windows.shape[-1] else []


def in_decibels(ratios: Row) -> Row:
    """Ratios in dB; NaN stays."""
    return [ratio if math.isnan(ratio) else decibels(ratio) for ratio in ratios]


def averages(songs: Sequence[SongFigures]) -> dict[str, Row]:
    """All figures over a set of songs: name -> a value for each stem, or one for all of them."""
    at, elsewhere = (sum(song.bends[index] for song in songs) for index in (0, 1))
    found = {
        "SDR, dB": mean_of(song.sdr for song in songs),
        "SDR in mono, dB": mean_of(song.mono_sdr for song in songs),
        "SI-SDR, dB": mean_of(song.si_sdr for song in songs),
        "level over the source's, dB": mean_of(song.level for song in songs),
        "bleed of a mixture without the source, dB": in_decibels(pooled(song.bleed_alone for song in songs)),
        "bleed where the source is silent, dB": in_decibels(pooled(song.bleed for song in songs)),
        "windows in which it is silent, %": pooled(song.bleed.isfinite().double() * 100 for song in songs),
        "musical noise of a mixture without the source": mean_of(song.musical_noise_alone for song in songs),
        "musical noise where the source is silent": mean_of(song.musical_noise for song in songs),
        "error above 8 kHz, dB": mean_of(song.error_8k for song in songs),
        "error above 14 kHz, dB": mean_of(song.error_14k for song in songs),
        "loudest stem, dB over the mixture": [max(song.loudest.decibels for song in songs)],
        "loudest true stem, dB over the mixture": [max(song.true_loudest.decibels for song in songs)],
        "level step from chunk to chunk, dB": pooled(song.steps for song in songs),
        "level step within a chunk, dB": pooled(song.steps_within for song in songs),
        "clicks at seams, dB over elsewhere": [decibels(at / elsewhere)] if elsewhere else [],
    }
    return {name: row for name, row in found.items() if row}


@dataclass(frozen=True)
class InputFigures:
    """What was measured on something that is taken apart.

    Args:
        shares: each stem's part of the energy of all stems, in %.
        sdr: of each stem whose source is known, in dB; empty if none is.
        sum_error: energy of what the stems' sum lacks, relative to the mixture, in dB.
        side: energy of the stems' side relative to their mid, in dB; NaN for one channel.
        loudest: the window in which a stem is loudest compared with the mixture.
        finite: whether every sample is a number.
    """

    shares: Row
    sdr: Row
    sum_error: float
    side: float
    loudest: Moment
    finite: bool


def measure_input(separator: Separator, given: Input) -> InputFigures:
    """Measure the stems that a model makes of something."""
    stems = split(separator, given.mixture, given.rate)
    energy = stems.double().square().sum((1, 2))
    error = SumError()
    error.add(given.mixture.numpy(), list(stems.numpy()))
    side = torch.nan
    if stems.shape[1] == 2:
        left, right = stems.double().unbind(1)
        side = decibels(float((left - right).square().sum() / (left + right).square().sum()))
    return InputFigures(
        shares=(100 * energy / energy.sum()).tolist(),
        sdr=[] if given.sources is None else sdr(stems, given.sources).tolist(),
        sum_error=error.decibels,
        side=side,
        loudest=loudest(stems, given.mixture, given.rate),
        finite=bool(stems.isfinite().all()),
    )


def plain(figures: SongFigures) -> dict[str, object]:
    """A song's figures for JSON: one value a stem, and the loudest windows."""
    found: dict[str, object] = {name: row for name, row in averages([figures]).items() if len(row) > 1}
    return found | {"loudest": vars(figures.loudest), "loudest true stem": vars(figures.true_loudest)}


def linear(figures: Mapping[str, InputFigures], name: str) -> float:
    """By how much the SDR of a song at other levels differs from that at its own, in dB at most; NaN if unknown."""
    others = [torch.tensor(figures[other].sdr) for other in figures if other.endswith(" dB") and other.startswith(name)]
    if not others or not figures[name].sdr:
        return torch.nan
    return max(float((other - torch.tensor(figures[name].sdr)).abs().max()) for other in others)

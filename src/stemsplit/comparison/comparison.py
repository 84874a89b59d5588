"""Splits one excerpt of a song by several models, and makes their stems into clips of equal loudness, with figures."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any

import numpy as np

from stemsplit.audio import Block, Reader
from stemsplit.comparison import clip_files
from stemsplit.comparison.clips import Clip, by_second, difference, match, measured, scores
from stemsplit.comparison.excerpt import samples
from stemsplit.comparison.plan import Plan
from stemsplit.engine.chain_entry import ChainEntry


@dataclass(frozen=True)
class Timing:
    """How long a model took for the excerpt and its context.

    Args:
        seconds: time in seconds, without loading the model.
        speed: seconds of song split per second.
    """

    seconds: float
    speed: float


def speed(ticks: Sequence[tuple[float, int]], one_by_one: bool) -> float:
    """Return the speed of a model, in samples per second.

    Args:
        ticks: times in seconds, each with the number of samples done by then; the first from before any was done.
        one_by_one: whether results came chunk by chunk, as they were computed. Then the first chunk, which takes
            longer, does not count if there are others.
    """
    first = 1 if one_by_one and len(ticks) > 2 else 0
    (started, before), (ended, after) = ticks[first], ticks[-1]
    return (after - before) / max(ended - started, 1e-9)


def separate(
    plan: Plan, index: int, settings: Mapping[str, Any], tell: Callable[[float], object]
) -> tuple[dict[str, Block], Timing]:
    """Split the excerpt by one of the models.

    Args:
        plan: plan of the comparison.
        index: index of the model in `plan.entries`.
        settings: keyword arguments for `engine.chain.load`, unless it has its own.
        tell: called with the share that is done, from 0 to 1.

    Returns:
        Estimates (c, t) of the compared stems, by name; and the time they took.
    """
    from stemsplit.comparison.leading import models_of, with_context  # imported here: they import PyTorch
    from stemsplit.engine.chain import load

    song, begin, end = plan.song, plan.begin, plan.end
    tell(0.0)
    loaded = load(ChainEntry(plan.entries[index]), **{**settings, **plan.computing(index)})
    device = models_of(loaded)[0].device
    splitter, first, last = with_context(loaded, song, begin, end)
    stem_indices = {stem.casefold(): number for number, stem in enumerate(splitter.stems)}
    wanted = {stem: stem_indices[stem.casefold()] for stem, models in plan.stems.items() if index in models}
    estimates: dict[str, list[Block]] = {stem: [] for stem in wanted}
    done, ticks = first, [(time.perf_counter(), first)]
    with (
        Reader(song.path, first / song.sample_rate, (last - first) / song.sample_rate) as reader,
        closing(splitter.stream(reader, song.sample_rate, song.channels, song.speakers)) as results,
    ):
        for _, stems in results:
            for stem, number in wanted.items():
                estimates[stem].append(stems[number, :, max(begin - done, 0) : end - done])
            done += stems.shape[-1]
            ticks.append((time.perf_counter(), done))
            tell(min((done - first) / (end - first), 1.0))
            # Only context follows.
            if done >= end:
                break
    timing = Timing(ticks[-1][0] - ticks[0][0], speed(ticks, device.type == "cpu") / song.sample_rate)
    return {stem: np.concatenate(blocks, -1) for stem, blocks in estimates.items()}, timing


@dataclass(frozen=True)
class StemClips:
    """The clips of one stem.

    Args:
        clips: clip of each model that has the stem, by the model's index.
        reference: clip of the true stem, if that is known.
        differences: difference of two models' clips before any gain, as `difference` gives it, by the models' indices.
        by_second: the same in each second, as `by_second` gives it.
    """

    clips: Mapping[int, Clip]
    reference: Clip | None
    differences: Mapping[tuple[int, int], float | None]
    by_second: Mapping[tuple[int, int], Sequence[float]]


def compare_stem(plan: Plan, stem: str, estimates: Mapping[int, Block]) -> StemClips:
    """Measure a stem's clips and choose their gains.

    Args:
        plan: plan of the comparison.
        stem: name of the stem.
        estimates: estimates (c, t) of the stem, by the model's index.
    """
    rate = plan.song.sample_rate
    clips = {
        index: measured(plan.path(stem, f" - {index + 1}", plan.labels[index]), block, rate)
        for index, block in estimates.items()
    }
    true = plan.references.get(stem)
    reference = None if true is None else measured(plan.path(stem, " - reference"), true, rate)
    if reference:
        for clip in clips.values():
            clip.scores = scores(clip, reference)
        match([reference, *clips.values()], reference.loudness)
    else:
        levels = [clip.loudness for clip in clips.values() if clip.loudness is not None]
        match(list(clips.values()), levels[0] if levels else None)
    pairs = {(one, other): (clips[one].samples, clips[other].samples) for one, other in combinations(clips, 2)}
    differences = {pair: difference(*blocks) for pair, blocks in pairs.items()}
    return StemClips(clips, reference, differences, {pair: by_second(*both, rate) for pair, both in pairs.items()})


@dataclass(frozen=True)
class Comparison:
    """The result of comparing models on an excerpt.

    Args:
        plan: plan of the comparison.
        timings: timing of each model.
        mixture: clip of the song itself, at its own loudness.
        stems: clips of each stem, by its name.
    """

    plan: Plan
    timings: Sequence[Timing]
    mixture: Clip
    stems: Mapping[str, StemClips]

    @property
    def clips(self) -> list[Clip]:
        """All clips; those of a stem in the order in which a player lists them."""
        clips = [self.mixture]
        for stem in self.stems.values():
            clips += stem.clips.values()
            if stem.reference:
                clips.append(stem.reference)
        return clips


def compare(plan: Plan, settings: Mapping[str, Any], tell: Callable[[int, float], object]) -> Comparison:
    """Split the excerpt by all models, one in memory at a time, and make clips of their stems.

    Args:
        plan: plan of the comparison.
        settings: keyword arguments for `engine.chain.load`: device, precision and so on.
        tell: called with the index of the model at work, and the share of its work that is done, from 0 to 1.

    Raises:
        StemsplitError: a model cannot be loaded, or fails.
    """
    timings, estimates = [], dict[str, dict[int, Block]]()
    for index in range(len(plan.entries)):
        if index:
            gc.collect()  # reference cycles would keep the last network in memory beside the next
        blocks, timing = separate(plan, index, settings, partial(tell, index))
        timings.append(timing)
        for stem, block in blocks.items():
            estimates.setdefault(stem, {})[index] = block
    song = plan.song
    mixture = measured(
        plan.path("mixture"), samples(song.path, song.sample_rate, plan.begin, plan.end), song.sample_rate
    )
    match([mixture], mixture.loudness)
    return Comparison(plan, timings, mixture, {stem: compare_stem(plan, stem, estimates[stem]) for stem in plan.stems})


def write(
    comparison: Comparison,
    figures: Mapping[str, Any],
    force: bool = False,
    further: Mapping[str, Callable[[Path, IO[bytes]], object]] = MappingProxyType({}),
) -> list[Path]:
    """Write all clips, and a record of their figures beside them: all files or none.

    Args:
        comparison: result of comparing models.
        figures: figures of the comparison, ready for JSON.
        force: whether to replace an earlier comparison.
        further: further files to write, see `clip_files.write`.

    Returns:
        Paths of the clips, then of the further files.

    Raises:
        AudioError: a file cannot be written.
    """
    plan = comparison.plan
    clip_files.write(plan.folder, comparison.clips, plan.song, plan.format, figures, force, further)
    return [*(clip.path for clip in comparison.clips), *(plan.folder / name for name in further)]

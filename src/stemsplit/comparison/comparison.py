"""The same part of a song by several models: their stems as clips of the same loudness, and figures."""

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from stemsplit.audio import Block, Reader
from stemsplit.comparison import clip_files
from stemsplit.comparison.clips import Clip, difference, match, measured, scores
from stemsplit.comparison.excerpt import context, samples
from stemsplit.comparison.plan import Plan


@dataclass(frozen=True)
class Run:
    """How long a model took for the part with its context.

    Args:
        seconds: without loading it.
        speed: seconds of song a second.
    """

    seconds: float
    speed: float


def speed(ticks: Sequence[tuple[float, int]], one_by_one: bool) -> float:
    """Samples a second.

    Args:
        ticks: times in seconds, and how many samples were done by then; the first before any was.
        one_by_one: whether results came chunk by chunk, as they were computed. Then the first is left aside: there is
            more to do for it.
    """
    (started, before), (ended, after) = ticks[one_by_one and len(ticks) > 2], ticks[-1]
    return (after - before) / max(ended - started, 1e-9)


def separated(
    plan: Plan, place: int, settings: Mapping[str, Any], tell: Callable[[float], object]
) -> tuple[dict[str, Block], Run]:
    """Have one of the models split the part.

    Args:
        plan: what to compare.
        place: of the model.
        settings: of its `Separator`.
        tell: is told which share is done.

    Returns:
        Stem -> (c, t), of the stems that are compared; and how long it took.
    """
    from stemsplit.engine.separator import Separator

    entry, song, begin, end = plan.entries[place], plan.song, plan.begin, plan.end
    tell(0.0)
    separator = Separator(entry, **settings)
    first, last = context(entry, song, begin, end)
    if separator.streams_songs:
        first = 0
    positions = {stem.casefold(): number for number, stem in enumerate(separator.stems)}
    wanted = {stem: positions[stem.casefold()] for stem, makers in plan.stems.items() if place in makers}
    found: dict[str, list[Block]] = {stem: [] for stem in wanted}
    done, ticks = first, [(time.perf_counter(), first)]
    with (
        Reader(song.path, first / song.sample_rate, (last - first) / song.sample_rate) as reader,
        closing(separator.stream(reader, song.sample_rate, song.channels)) as results,
    ):
        for _, stems in results:
            for stem, number in wanted.items():
                found[stem].append(stems[number, :, max(begin - done, 0) : end - done])
            done += stems.shape[-1]
            ticks.append((time.perf_counter(), done))
            tell(min((done - first) / (end - first), 1.0))
            # What follows is only context.
            if done >= end:
                break
    run = Run(ticks[-1][0] - ticks[0][0], speed(ticks, separator.device.type == "cpu") / song.sample_rate)
    return {stem: np.concatenate(blocks, -1) for stem, blocks in found.items()}, run


@dataclass(frozen=True)
class Group:
    """A stem by all that give it.

    Args:
        clips: place of the model -> its clip.
        reference: what it truly is, if that is known.
        differences: places of two models -> how far apart their clips are, before any gain, as `difference` has it.
    """

    clips: Mapping[int, Clip]
    reference: Clip | None
    differences: Mapping[tuple[int, int], float | None]


def group(plan: Plan, stem: str, estimates: Mapping[int, Block]) -> Group:
    """Measure a stem's clips and choose their gains.

    Args:
        plan: what to compare.
        stem: its name.
        estimates: place of a model -> (c, t).
    """
    rate = plan.song.sample_rate
    clips = {
        place: measured(plan.path(stem, f" - {place + 1}", plan.entries[place].name), block, rate)
        for place, block in estimates.items()
    }
    true = plan.references.get(stem)
    reference = None if true is None else measured(plan.path(stem, " - reference"), true, rate)
    if reference:
        for clip in clips.values():
            clip.scores = scores(clip, reference)
        match([reference, *clips.values()], reference.loudness)
    else:
        heard = [clip.loudness for clip in clips.values() if clip.loudness is not None]
        match(list(clips.values()), heard[0] if heard else None)
    pairs = combinations(clips, 2)
    return Group(clips, reference, {pair: difference(*(clips[place].samples for place in pair)) for pair in pairs})


@dataclass(frozen=True)
class Comparison:
    """What came of a plan.

    Args:
        plan: what was to be compared.
        runs: of each model.
        mixture: the part of the song itself, in its own loudness.
        groups: stem -> its clips.
    """

    plan: Plan
    runs: Sequence[Run]
    mixture: Clip
    groups: Mapping[str, Group]

    @property
    def clips(self) -> list[Clip]:
        """All of them, in the order in which a player shows those of a stem."""
        groups = self.groups.values()
        return [
            self.mixture,
            *(clip for group in groups for clip in (*group.clips.values(), group.reference) if clip is not None),
        ]


def compare(plan: Plan, settings: Mapping[str, Any], tell: Callable[[int, float], object]) -> Comparison:
    """Have all models split the part, one at a time in memory, and make clips of what they give.

    Args:
        plan: what to compare.
        settings: of each `Separator`: device, precision and so on.
        tell: is told the place of the model that is at work, and which share of its work is done.

    Raises:
        StemsplitError: a model cannot be loaded, or fails.
    """
    runs, estimates = [], dict[str, dict[int, Block]]()
    for place in range(len(plan.entries)):
        if place:
            gc.collect()  # what refers to itself would stay beside the next network
        found, run = separated(plan, place, settings, partial(tell, place))
        runs.append(run)
        for stem, block in found.items():
            estimates.setdefault(stem, {})[place] = block
    song = plan.song
    mixture = measured(
        plan.path("mixture"), samples(song.path, song.sample_rate, plan.begin, plan.end), song.sample_rate
    )
    match([mixture], mixture.loudness)
    return Comparison(plan, runs, mixture, {stem: group(plan, stem, estimates[stem]) for stem in plan.stems})


def write(comparison: Comparison, figures: Mapping[str, Any], force: bool = False) -> list[Path]:
    """Write all clips, and their figures beside them: all or none.

    Args:
        comparison: what came of a plan.
        figures: of it, as JSON has them.
        force: in place of a comparison that is there.

    Raises:
        AudioError: something cannot be written.
    """
    plan = comparison.plan
    clip_files.write(plan.folder, comparison.clips, plan.song.sample_rate, plan.format, figures, force)
    return [clip.path for clip in comparison.clips]

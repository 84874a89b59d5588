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

from stemsplit import clip_files
from stemsplit.audio import Block, Reader, Song, bytes_per_sample, examine, unsupported
from stemsplit.clips import Clip, difference, match, measured, scores
from stemsplit.errors import AudioError, DeviceError
from stemsplit.excerpts import context, part, references, samples, stamp
from stemsplit.job import check_space
from stemsplit.naming import Template, track_of
from stemsplit.registry import ModelEntry

USUAL_SECONDS = 20.0
LONGEST_SECONDS = 600.0
"""All clips of all models are in memory together."""


@dataclass(frozen=True)
class Plan:
    """What is to be compared.

    Args:
        song: as it was examined, whole.
        begin: sample of the song that the part begins with.
        end: the one after the part's last.
        entries: the models.
        stems: name -> places among the models of those whose clips of it are compared.
        left_out: the same of stems that are not.
        references: stem -> its true samples in the part, (c, t).
        out: folder that gets a folder of clips.
        format: of the clips, one of `stemsplit.audio.FORMATS`.
        bit_depth: of the clips, one of `stemsplit.audio.BIT_DEPTHS`; None for ogg and mp3.
    """

    song: Song
    begin: int
    end: int
    entries: tuple[ModelEntry, ...]
    stems: Mapping[str, tuple[int, ...]]
    left_out: Mapping[str, tuple[int, ...]]
    references: Mapping[str, Block]
    out: Path
    format: str
    bit_depth: str | None

    @property
    def start(self) -> float:
        """Seconds into the song at which the part begins."""
        return self.begin / self.song.sample_rate

    @property
    def duration(self) -> float:
        """Seconds of the part."""
        return (self.end - self.begin) / self.song.sample_rate

    @property
    def span(self) -> str:
        """The part for people: 1:00-1:20."""
        return f"{stamp(self.start)}-{stamp(self.start + self.duration)}"

    def path(self, stem: str, maker: str = "", model: str = "") -> Path:
        """The file of a clip: `song 1.00-1.20/vocals - 1 starter.wav`, so that a player shows a stem's together."""
        text = f"{{track}} {self.span.replace(':', '.')}/{{stem}}{maker}{' {model}' if model else ''}"
        song = self.song.path
        values = {"track": track_of(song), "stem": stem, "model": model, "parent": "", "ext": ""}
        path = self.out / Template(text).path(**values, artist=None, title=None)
        return path.with_name(f"{path.name}.{self.format}")

    @property
    def folder(self) -> Path:
        """Where the clips go."""
        return self.path("mixture").parent


def compared(
    entries: Sequence[ModelEntry], wanted: Sequence[str] | None
) -> tuple[dict[str, tuple[int, ...]], dict[str, tuple[int, ...]]]:
    """The stems to compare, and those that are left out, with the places of the models that give them.

    Args:
        entries: the models.
        wanted: names, in any letter case; None for all that at least two of the models give, or that the only one does.

    Raises:
        ValueError: there is none, or no model gives one that is wanted, or a model gives none of them.
    """
    names: dict[str, str] = {}
    places: dict[str, tuple[int, ...]] = {}
    for place, entry in enumerate(entries):
        for name in entry.outputs:
            first = names.setdefault(name.casefold(), name)
            places[first] = (*places.get(first, ()), place)
    if wanted is None:
        chosen = [name for name, makers in places.items() if len(makers) > 1 or len(entries) == 1]
    else:
        if unknown := [name for name in wanted if name.strip().casefold() not in names]:
            raise ValueError(f"there is no stem {unknown[0].strip()!r}; these models give {', '.join(places)}")
        asked = {names[name.strip().casefold()] for name in wanted}
        chosen = [name for name in places if name in asked]
    if not chosen:
        told = "; ".join(f"{entry.name} gives {', '.join(entry.outputs)}" for entry in entries)
        raise ValueError(f"these models have no stem in common: {told}; name stems with --stems")
    for place, entry in enumerate(entries):
        if not any(place in places[name] for name in chosen):
            gives = f"gives {', '.join(entry.outputs)}, none of which is compared"
            raise ValueError(f"{entry.name} {gives}; leave it out, or name stems with --stems")
    return {name: places[name] for name in chosen}, {name: places[name] for name in places if name not in chosen}


def plan(
    path: Path,
    entries: Sequence[ModelEntry],
    *,
    start: float | None = None,
    duration: float = USUAL_SECONDS,
    stems: Sequence[str] | None = None,
    reference_folder: Path | None = None,
    out: Path = Path("compare"),
    format_: str = "wav",
    bit_depth: str | None = None,
    force: bool = False,
) -> Plan:
    """See that all that can be known of a comparison before any model is loaded speaks for it.

    Args:
        path: the song.
        entries: the models.
        start: see `part`.
        duration: seconds.
        stems: see `compared`.
        reference_folder: see `references`.
        out: folder that gets the folder of clips.
        format_: one of `stemsplit.audio.FORMATS`.
        bit_depth: one of `stemsplit.audio.BIT_DEPTHS`; None for 24 where there is any.
        force: make a folder of clips anew.

    Raises:
        ValueError: what was asked for cannot be done with any song.
        AudioError: it cannot be done with this one, or here.
    """
    if bit_depth is None and format_ in ("wav", "flac"):
        bit_depth = "24"
    if reason := unsupported(format_, bit_depth, 44_100, 2):
        raise ValueError(reason)
    chosen, left_out = compared(entries, stems)
    song = examine(path)
    if reason := unsupported(format_, bit_depth, song.sample_rate, song.channels):
        raise AudioError(f"cannot write clips of {path}: {reason}")
    begin, end = part(song, start, duration)
    true = references(reference_folder, list(chosen), song, begin, end) if reference_folder else {}
    made = Plan(song, begin, end, tuple(entries), chosen, left_out, true, out, format_, bit_depth)
    clip_files.check(made.folder, force)
    files = 1 + len(true) + sum(map(len, chosen.values()))
    check_space(out, files * (end - begin) * song.channels * bytes_per_sample(format_, bit_depth))
    return made


def check_device(device: str, precision: str) -> None:
    """See whether there is a device, with a precision, as `Separator` takes them.

    Raises:
        DeviceError: there is not.
    """
    from stemsplit.fast import chosen
    from stemsplit.separator import pick_device

    try:
        chosen(precision, pick_device(device))
    except ValueError as error:
        raise DeviceError(str(error)) from error


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
    from stemsplit.separator import Separator

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
    clip_files.write(plan.folder, comparison.clips, plan.song.sample_rate, plan.format, plan.bit_depth, figures, force)
    return [clip.path for clip in comparison.clips]

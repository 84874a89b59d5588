"""Reads the songs to train on: their recordings, in stereo at the network's rate, sorted by a model's outputs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stemsplit.audio import layout, resampled
from stemsplit.errors import AudioError
from stemsplit.evaluation.multitracks import Multitrack, multitracks
from stemsplit.evaluation.stems import outputs_of, rest_of
from stemsplit.registry import ModelEntry

SILENT = 1e-6
"""Mean square up to which a recorded stem counts as silent (-60 dB)."""

MARGIN = 4_096
"""Samples before and after an excerpt that can change it when it is resampled."""


@dataclass(eq=False)
class Recording:
    """A source as it was recorded, in stereo at the network's rate.

    Args:
        song: the song that it belongs to.
        stem: its stem's name in that song.
        sample_rate: the network's sample rate in Hz.
        held: the whole recording, (2, t), if it is kept in memory.
    """

    song: Multitrack
    stem: str
    sample_rate: int
    held: Tensor | None = None

    @cached_property
    def _own(self) -> tuple[int, int]:
        """Sample rate of the file, and its length in samples at that rate."""
        with self.song.open(self.stem) as reader:
            # Some headers do not hold the length.
            frames = sum(block.shape[1] for block in reader) if reader.frames is None else reader.frames
            return reader.sample_rate, frames

    @cached_property
    def length(self) -> int:
        """Length in samples at the network's rate.

        Raises:
            AudioError: the file cannot be read.
        """
        own_rate, frames = self._own
        return frames * self.sample_rate // own_rate

    def read(self, start: int = 0, length: int | None = None) -> Tensor:
        """Return the samples from `start` on, (2, at most `length`); beyond the end there are none.

        If the file has another sample rate, samples read from it may differ in their last bit from those in memory.

        Raises:
            AudioError: the file cannot be read.
        """
        length = max(min(self.length - start, self.length if length is None else length), 0)
        if self.held is not None or not length:
            held = torch.zeros(2, 0) if self.held is None else self.held
            return held[:, start : start + length]
        own_rate, margin = self._own[0], 0 if self._own[0] == self.sample_rate else MARGIN
        # Begin where samples of both rates coincide: from there, resampling gives what it gives of the whole file.
        common = math.gcd(own_rate, self.sample_rate)
        turns = max(start - margin, 0) * common // self.sample_rate
        before = start - turns * self.sample_rate // common
        # The last excerpt is read to the file's end, so that a file that was cut off is noticed.
        duration = None if start + length >= self.length else (before + length + margin) / self.sample_rate
        with self.song.open(self.stem, turns / common, duration) as reader:
            stereo = (block[layout(reader.channels, 2, reader.speakers)][:2] for block in reader)
            blocks = list(resampled(stereo, own_rate, self.sample_rate))
        excerpt = np.concatenate(blocks, 1)[:, before : before + length] if blocks else np.zeros((2, 0), np.float32)
        # A header may promise a few samples more than the file has.
        return torch.from_numpy(np.pad(excerpt, ((0, 0), (0, length - excerpt.shape[1]))))

    def hold(self) -> None:
        """Keep the whole recording in memory."""
        self.held = self.read()

    def check(self) -> None:
        """Check that the file is as long as it says.

        Raises:
            AudioError: the file is shorter, or cannot be read.
        """
        own_rate, frames = self._own
        with self.song.open(self.stem, max(frames - 1, 0) / own_rate) as reader:
            for _ in reader:
                pass

    @cached_property
    def silent(self) -> bool:
        """Whether the whole recording is silent, measured in stretches of 10 s."""
        step = 10 * self.sample_rate
        return not any(float(self.read(start, step).square().mean()) > SILENT for start in range(0, self.length, step))

    @cached_property
    def power(self) -> float:
        """Mean square of the half seconds in which it is heard: those up to 20 dB below the loudest."""
        step = self.sample_rate // 2
        stretches = range(0, self.length, step)
        powers = torch.tensor([float(self.read(start, step).square().mean()) for start in stretches])
        heard = powers[powers >= powers.amax() / 100] if len(powers) else powers
        return float(heard.double().mean()) if len(heard) else 0.0


@dataclass(frozen=True)
class Song:
    """The recordings of one song, sorted by a model's outputs.

    Args:
        parts: for each output, the recordings that add up to it; none if the song lacks it. A recording that holds
            several outputs' stems is with the first of these.
        together: groups of outputs of which only the sum is known. No output is in two of them.
    """

    parts: list[list[Recording]]
    together: list[set[int]] = field(default_factory=list)

    def knows(self, output: int) -> bool:
        """Return whether an output is recorded by itself, or not in the song."""
        return not any(output in group for group in self.together)


@dataclass
class Collection:
    """The multitracks of one folder or list.

    Args:
        outputs: names of the network's outputs, in their order.
        songs: songs that can be used as a whole.
        sources: for each output, the sources that can be drawn on their own, each as recordings that add up to it.
    """

    outputs: Sequence[str]
    songs: list[Song] = field(default_factory=list)
    sources: list[list[list[Recording]]] = field(default_factory=list)

    @property
    def recordings(self) -> set[Recording]:
        """All recordings that are used."""
        of_songs = {recording for song in self.songs for part in song.parts for recording in part}
        return of_songs | {recording for sources in self.sources for source in sources for recording in source}


def sorted_by_output(song: Multitrack, entry: ModelEntry) -> Song:
    """Sort the recordings of a song by a model's outputs.

    Raises:
        AudioError: the model has no output for one of the song's stems.
    """
    parts: list[list[Recording]] = [[] for _ in entry.outputs]
    groups: list[set[int]] = []
    for stem, path in song.stems.items():
        indices = outputs_of(stem, entry)
        if not indices:
            raise AudioError(f"{path} is of a stem that {entry.name} has no place for")
        parts[indices[0]].append(Recording(song, stem, entry.sample_rate))
        if len(indices) > 1:
            # Of bass+other and drums+bass, only the sum of all three is known.
            touched = [group for group in groups if group & {*indices}]
            groups = [group for group in groups if group not in touched] + [{*indices}.union(*touched)]
    return Song(parts, groups)


def collect(songs: Sequence[Multitrack], entry: ModelEntry) -> Collection:
    """Sort the stems of songs by a model's outputs.

    A stem without a file is not in the song. A stem with a silent file may be inside another stem, because some bands
    mix two into one. Such a song is not used as a whole, nor is its rest; its other stems are used on their own.

    A stem that is named after several, such as `bass+other`, is their sum. Such a song is used as a whole, and what
    the sum does not hold on its own as well.

    Raises:
        AudioError: a file cannot be read, or a stem has no place in the model.
    """
    collection = Collection(entry.outputs, sources=[[] for _ in entry.outputs])
    for song in songs:
        whole = sorted_by_output(song, entry)
        heard = [[recording for recording in part if not recording.silent] for part in whole.parts]
        pure = heard == whole.parts
        if pure and any(heard):
            collection.songs.append(whole)
        for index, (name, sources, part) in enumerate(zip(entry.outputs, collection.sources, heard, strict=True)):
            if part and whole.knows(index) and (pure or name != rest_of(entry)):
                sources.append(part)
    return collection


def collections_of(paths: Sequence[Path], entry: ModelEntry) -> list[Collection]:
    """Return the recordings to train on, a collection for each folder or list of songs.

    Raises:
        AudioError: a path holds no songs, a file cannot be read, or no song has one of the model's stems by itself.
    """
    by_path = {path: collect(multitracks(path), entry) for path in dict.fromkeys(paths)}
    collections = [by_path[path] for path in paths]
    for index, name in enumerate(entry.outputs):
        if not any(collection.sources[index] for collection in collections):
            songs = [song for collection in collections for song in collection.songs]
            alone = "" if all(song.knows(index) for song in songs) else " by itself"
            raise AudioError(f"no recording of {name}{alone} in {', '.join(map(str, paths))}")
    return collections


def read_song(song: Multitrack, entry: ModelEntry) -> Tensor:
    """Return the sources of a song, (n, 2, t), in the order of the model's outputs; those that it lacks are silent.

    A song in which some outputs are only known together has one more source, (n + 1, 2, t): the sum of all these. The
    outputs themselves are silent then, so that they get no score. All sources add up to the mixture.

    Raises:
        AudioError: a file cannot be read, or a stem has no place in the model.
    """
    whole = sorted_by_output(song, entry)
    parts = [[recording.read() for recording in part] for part in whole.parts]
    count = len(parts) + bool(whole.together)
    sources = torch.zeros(count, 2, max(samples.shape[1] for part in parts for samples in part))
    for index, part in enumerate(parts):
        for samples in part:
            sources[index if whole.knows(index) else -1, :, : samples.shape[1]] += samples
    return sources


def hold(collections: Sequence[Collection], limit: int) -> bool:
    """Keep all recordings in memory if they take at most `limit` bytes; otherwise, only check them.

    Returns:
        Whether they are kept in memory.

    Raises:
        AudioError: a recording cannot be read to its end.
    """
    recordings = set[Recording]().union(*(collection.recordings for collection in collections))
    if sum(8 * recording.length for recording in recordings) > limit:
        # A damaged file must be known now, not after days of training.
        for recording in recordings:
            recording.check()
        return False
    for recording in recordings:
        recording.hold()
    return True

"""Multitracks as a training run sees them, and the examples that are mixed from them.

What an example is follows from the run's seed and the example's number alone, so that a run that was cut off goes on
with the very examples that it would have had.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from stemsplit.audio import layout, resampled
from stemsplit.errors import AudioError
from stemsplit.evaluation.multitracks import Multitrack
from stemsplit.registry import ModelEntry
from stemsplit.training import augmentation
from stemsplit.training.augmentation import SPEEDS, WAYS, faster, levelled, needed

SILENT = 1e-6
"""Mean square under which a recorded stem counts as absent (-60 dB)."""

REST = ("other", "instrumental", "noise")
"""What the output is usually called that stems go to which no output is named after."""

TRIES = 10
"""How often a source is drawn anew that turns out too quiet."""

MARGIN = 4_096
"""Samples beyond a part that have a say in it when it is resampled."""


@dataclass(eq=False)
class Recording:
    """A source as it was recorded, in stereo at the network's rate.

    Args:
        song: that it is of.
        stem: what it is called there.
        sample_rate: Hz, of the network.
        held: all of it, (2, t), if it is kept in memory.
    """

    song: Multitrack
    stem: str
    sample_rate: int
    held: Tensor | None = None

    @cached_property
    def _own(self) -> tuple[int, int]:
        """The file's own sample rate, and how many samples it has at that rate."""
        with self.song.open(self.stem) as reader:
            # Not every file says how long it is.
            frames = sum(block.shape[1] for block in reader) if reader.frames is None else reader.frames
            return reader.sample_rate, frames

    @cached_property
    def length(self) -> int:
        """Samples at the network's rate.

        Raises:
            AudioError: it cannot be read.
        """
        rate, frames = self._own
        return frames * self.sample_rate // rate

    def read(self, start: int = 0, length: int | None = None) -> Tensor:
        """Samples (2, at most `length`) from `start` on; those beyond the end are missing.

        Those of a file of another rate may differ in their last bit from what is held in memory.

        Raises:
            AudioError: it cannot be read.
        """
        length = max(min(self.length - start, self.length if length is None else length), 0)
        if self.held is not None or not length:
            held = torch.zeros(2, 0) if self.held is None else self.held
            return held[:, start : start + length]
        rate, margin = self._own[0], 0 if self._own[0] == self.sample_rate else MARGIN
        # Where samples of both rates fall on the same time: from there on, resampling gives what it gives of the whole.
        common = math.gcd(rate, self.sample_rate)
        turns = max(start - margin, 0) * common // self.sample_rate
        before = start - turns * self.sample_rate // common
        # To its end wherever that is, so that a file that was cut off is known for one.
        duration = None if start + length >= self.length else (before + length + margin) / self.sample_rate
        with self.song.open(self.stem, turns / common, duration) as reader:
            stereo = (block[layout(reader.channels, 2)][:2] for block in reader)
            blocks = list(resampled(stereo, rate, self.sample_rate))
        part = np.concatenate(blocks, 1)[:, before : before + length] if blocks else np.zeros((2, 0), np.float32)
        # A header may promise a few samples more than there are.
        return torch.from_numpy(np.pad(part, ((0, 0), (0, length - part.shape[1]))))

    def hold(self) -> None:
        """Keep all of it in memory."""
        self.held = self.read()

    def check(self) -> None:
        """See whether there is all that the file promises.

        Raises:
            AudioError: there is not, or it cannot be read.
        """
        rate, frames = self._own
        with self.song.open(self.stem, max(frames - 1, 0) / rate) as reader:
            for _ in reader:
                pass

    @cached_property
    def silent(self) -> bool:
        """Whether there is nothing to hear in it."""
        step = 10 * self.sample_rate
        return not any(float(self.read(start, step).square().mean()) > SILENT for start in range(0, self.length, step))


@dataclass
class Collection:
    """Multitracks of one folder.

    Args:
        outputs: names of what the network is to give, in its order.
        songs: of each, the recordings that make up each output; none where the song has no such stem.
        takes: for every output, recordings of it alone.
    """

    outputs: Sequence[str]
    songs: list[list[list[Recording]]] = field(default_factory=list)
    takes: list[list[list[Recording]]] = field(default_factory=list)

    @property
    def recordings(self) -> set[Recording]:
        """All that are used."""
        of_songs = {recording for song in self.songs for part in song for recording in part}
        return of_songs | {recording for takes in self.takes for take in takes for recording in take}


def place(stem: str, outputs: Sequence[str], rest: str) -> int | None:
    """Which output a recorded stem belongs to, if any."""
    wanted = stem if stem in outputs else rest
    return outputs.index(wanted) if wanted in outputs else None


def rest_of(entry: ModelEntry) -> str:
    """The output that takes in whatever no output is named after; empty if there is none."""
    return next((name for name in REST if name in entry.outputs), entry.residual)


def parts_of(song: Multitrack, entry: ModelEntry) -> list[list[Recording]]:
    """For each of a model's outputs, the recordings that make it up in a song.

    Raises:
        AudioError: one of the song's stems is none of the model's, and the model has no rest to put it into.
    """
    parts: list[list[Recording]] = [[] for _ in entry.outputs]
    for stem, path in song.stems.items():
        index = place(stem, entry.outputs, rest_of(entry))
        if index is None:
            raise AudioError(f"{path} is of a stem that {entry.name} has no place for")
        parts[index].append(Recording(song, stem, entry.sample_rate))
    return parts


def collect(songs: Sequence[Multitrack], entry: ModelEntry) -> Collection:
    """Sort the stems of songs under a model's outputs.

    A stem without a file is not in the song. A stem whose file is silent may be inside another one, as happens when a
    band mixes it with something else: such a song gives single takes, but none of what takes in the rest.

    Raises:
        AudioError: a file cannot be read, or a stem has no place in the model.
    """
    collection = Collection(entry.outputs, takes=[[] for _ in entry.outputs])
    for song in songs:
        parts = parts_of(song, entry)
        heard = [[recording for recording in part if not recording.silent] for part in parts]
        pure = heard == parts
        if pure and any(parts):
            collection.songs.append(parts)
        for name, takes, part in zip(entry.outputs, collection.takes, heard, strict=True):
            if part and (pure or name != rest_of(entry)):
                takes.append(part)
    return collection


def read_song(song: Multitrack, entry: ModelEntry) -> Tensor:
    """The sources of a song, (n, 2, t), in the order of the model's outputs; what it does not have is silent.

    Raises:
        AudioError: a file cannot be read, or a stem has no place in the model.
    """
    parts = [[recording.read() for recording in part] for part in parts_of(song, entry)]
    sources = torch.zeros(len(parts), 2, max(take.shape[1] for part in parts for take in part))
    for source, part in zip(sources, parts, strict=True):
        for take in part:
            source[:, : take.shape[1]] += take
    return sources


@dataclass(frozen=True)
class Mixing:
    """How examples are made of recordings.

    The defaults are those of BS-RoFormer (Lu et al. 2023, arXiv:2309.02612).

    Args:
        length: samples of an example.
        levels: dB by which each source is made louder or softer at most.
        silence: share of sources that are left out.
        remix: share of examples whose sources come from different songs, or different places.
        doubled: share of the sources of such examples that are two recordings at once: two singers, two bands.
        loudness: dB of full scale that a source is louder than, where its recording is anywhere.
        augmentations: names of further ways to vary a source.

    Raises:
        ValueError: there is no such augmentation, or a share is none.
        LibraryError: a library that an augmentation needs does not load.
    """

    length: int
    levels: float = 3.0
    silence: float = 0.1
    remix: float = 0.5
    doubled: float = 0.0
    loudness: float = -50.0
    augmentations: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        augmentation.check(self.augmentations)
        if not all(0 <= share <= 1 for share in (self.silence, self.remix, self.doubled)):
            raise ValueError("silence, remix and doubled are shares, from 0 to 1")


class Examples(Dataset[Tensor]):
    """Endless examples, each (n, 2, length): the sources of a mixture, in the order of the model's outputs.

    Args:
        collections: what to draw from; each is as likely as any other, wherever it has what is needed.
        mixing: how.
        sample_rate: Hz.
        seed: of everything random.
    """

    def __init__(self, collections: Sequence[Collection], mixing: Mixing, sample_rate: int, seed: int) -> None:
        self.collections, self.mixing, self.sample_rate, self.seed = collections, mixing, sample_rate, seed
        self.outputs = collections[0].outputs
        self.with_songs = [collection for collection in collections if collection.songs]

    def __getitem__(self, index: int) -> Tensor:
        """The example of that number."""
        rng = random.Random(f"{self.seed} {index}")
        if self.with_songs and rng.random() >= self.mixing.remix:
            sources = self._of_a_song(rng)
        else:
            sources = torch.stack([self._remixed(output, rng) for output in range(len(self.outputs))])
        kept = [0.0 if rng.random() < self.mixing.silence else 1.0 for _ in self.outputs]
        return sources * torch.tensor(kept)[:, None, None]

    def _speed(self, rng: random.Random) -> tuple[int, int]:
        return rng.choice(SPEEDS) if "speed" in self.mixing.augmentations else (1, 1)

    def _cut(self, parts: Sequence[Recording], start: int, speed: tuple[int, int]) -> Tensor:
        """The sum of recordings from a place on, (2, length)."""
        source = torch.zeros(2, self.mixing.length)
        for recording in parts:
            original = recording.read(start, needed(self.mixing.length, speed))
            take = faster(original, speed)[:, : self.mixing.length]
            source[:, : take.shape[1]] += take
        return source

    def _start(self, parts: Sequence[Recording], speed: tuple[int, int], rng: random.Random) -> int:
        longest = max(recording.length for recording in parts)
        return rng.randrange(max(longest - needed(self.mixing.length, speed), 1))

    def _varied(self, source: Tensor, rng: random.Random) -> Tensor:
        for name in self.mixing.augmentations:
            if name in WAYS:
                source = WAYS[name](source, rng, self.sample_rate)
        return levelled(source, rng, self.mixing.levels)

    def _loud(self, source: Tensor) -> bool:
        return float(source.square().mean()) > 10 ** (self.mixing.loudness / 10)

    def _of_a_song(self, rng: random.Random) -> Tensor:
        for _ in range(TRIES):
            song, speed = rng.choice(rng.choice(self.with_songs).songs), self._speed(rng)
            start = self._start([recording for parts in song for recording in parts], speed, rng)
            sources = torch.stack([self._cut(parts, start, speed) for parts in song])
            if self._loud(sources.sum(0)):
                break
        return torch.stack([self._varied(source, rng) for source in sources])

    def _remixed(self, output: int, rng: random.Random) -> Tensor:
        source = self._alone(output, rng)
        return source + self._alone(output, rng) if rng.random() < self.mixing.doubled else source

    def _alone(self, output: int, rng: random.Random) -> Tensor:
        able = [collection for collection in self.collections if collection.takes[output]]
        if not able:
            return torch.zeros(2, self.mixing.length)
        for _ in range(TRIES):
            parts, speed = rng.choice(rng.choice(able).takes[output]), self._speed(rng)
            source = self._cut(parts, self._start(parts, speed, rng), speed)
            if self._loud(source):
                break
        return self._varied(source, rng)


def hold(collections: Sequence[Collection], most: int) -> bool:
    """Keep all recordings in memory, if that takes no more than `most` bytes; whether it was done.

    Raises:
        AudioError: one of them cannot be read to its end.
    """
    recordings = set[Recording]().union(*(collection.recordings for collection in collections))
    if sum(8 * recording.length for recording in recordings) > most:
        # What is wrong with a file is to be known now, not after days of training.
        for recording in recordings:
            recording.check()
        return False
    for recording in recordings:
        recording.hold()
    return True

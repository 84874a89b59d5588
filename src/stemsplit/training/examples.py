"""Mixes the examples to train on from recordings.

An example is determined by the run's seed and its own index alone, so a run that is resumed gets the very examples that
it would have got without the interruption.
"""

import math
import random
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import Dataset

from stemsplit.training.augmentation import (
    AUGMENTATIONS,
    OF_EXAMPLES,
    OF_MIXTURES,
    SPEEDS,
    faster,
    needed,
    with_random_gain,
)
from stemsplit.training.data import Collection, Recording, Song
from stemsplit.training.plan import Mixing
from stemsplit.training.stretching import pitch

TRIES = 10
"""How many times a source is drawn at most, until one is loud enough."""


def has_mixtures(collection: Collection) -> bool:
    """Return whether a collection has a song of several outputs, rather than single sources to make mixtures of."""
    several = min(len(collection.outputs), 2)
    return any(sum(map(bool, song.parts)) >= several or song.together for song in collection.songs)


def power_of(recordings: Sequence[Recording]) -> float:
    """Return the power of the sum of recordings, as if they had nothing in common."""
    return sum(recording.power for recording in recordings)


class Example(NamedTuple):
    """What a network learns from in one go, or a batch of that.

    Args:
        sources: (..., n, 2, length), in the order of the model's outputs.
        together: bool (..., n, n): True where two outputs are the same, or only known as a part of the same sum. The
            sum is in the place of any of them.
        mixture: (..., 2, length): the sum of the sources, unless it is coded with losses.
    """

    sources: Tensor
    together: Tensor
    mixture: Tensor


class Examples(Dataset[Example]):
    """Endless examples, determined by the seed and their index.

    Args:
        collections: collections to draw from; each is as likely as any other that has what is needed.
        mixing: how examples are mixed.
        sample_rate: sample rate of the recordings in Hz.
        seed: random seed.
    """

    def __init__(self, collections: Sequence[Collection], mixing: Mixing, sample_rate: int, seed: int) -> None:
        self.collections, self.mixing, self.sample_rate, self.seed = collections, mixing, sample_rate, seed
        self.outputs = collections[0].outputs
        self.with_songs = [collection for collection in collections if has_mixtures(collection)]

    def __getitem__(self, index: int) -> Example:
        """Return the example with that index."""
        rng = random.Random(f"{self.seed} {index}")
        together = torch.eye(len(self.outputs), dtype=torch.bool)
        if self.with_songs and rng.random() >= self.mixing.remix:
            song, sources = self._from_one_song(rng)
            for group in song.together:
                together[torch.tensor([[output] for output in group]), torch.tensor([*group])] = True
        else:
            powers = self._draw_powers(rng)
            sources = torch.stack([self._remixed(output, power, rng) for output, power in enumerate(powers)])
        kept = [0.0 if rng.random() < self.mixing.source_dropout else 1.0 for _ in self.outputs]
        sources = sources * torch.tensor(kept)[:, None, None]
        for name in self.mixing.augmentations:
            if name in OF_EXAMPLES:
                sources = OF_EXAMPLES[name](sources, rng, self.sample_rate)
        mixture = sources.sum(0)
        for name in self.mixing.augmentations:
            if name in OF_MIXTURES:
                mixture = OF_MIXTURES[name](mixture, rng, self.sample_rate)
        return Example(sources, together, mixture)

    def _draw_speed(self, rng: random.Random) -> tuple[int, int]:
        return rng.choice(SPEEDS) if "speed" in self.mixing.augmentations else (1, 1)

    def _draw_start(self, recordings: Sequence[Recording], speed: tuple[int, int], rng: random.Random) -> int:
        longest = max(recording.length for recording in recordings)
        return rng.randrange(max(longest - needed(self.mixing.length, speed), 1))

    def _excerpt(self, recordings: Sequence[Recording], start: int, speed: tuple[int, int]) -> Tensor:
        """Return the sum of the recordings' excerpts from `start` on, (2, length); beyond their ends it is silent."""
        source = torch.zeros(2, self.mixing.length)
        for recording in recordings:
            original = recording.read(start, needed(self.mixing.length, speed))
            samples = faster(original, speed)[:, : self.mixing.length]
            source[:, : samples.shape[1]] += samples
        return source

    def _shifted(self, sources: Tensor, rng: random.Random) -> Tensor:
        return pitch(sources, rng, self.sample_rate) if "pitch" in self.mixing.augmentations else sources

    def _augmented(self, source: Tensor, rng: random.Random) -> Tensor:
        for name in self.mixing.augmentations:
            if name in AUGMENTATIONS:
                source = AUGMENTATIONS[name](source, rng, self.sample_rate)
        return with_random_gain(source, rng, self.mixing.gain)

    def _is_loud(self, source: Tensor) -> bool:
        return float(source.square().mean()) > 10 ** (self.mixing.loudness / 10)

    def _from_one_song(self, rng: random.Random) -> tuple[Song, Tensor]:
        """Return a song and its sources, all from the same position."""
        for _ in range(TRIES):
            song, speed = rng.choice(rng.choice(self.with_songs).songs), self._draw_speed(rng)
            start = self._draw_start([recording for part in song.parts for recording in part], speed, rng)
            sources = torch.stack([self._excerpt(part, start, speed) for part in song.parts])
            if self._is_loud(sources.sum(0)):
                break
        sources = self._shifted(sources, rng)
        return song, torch.stack([self._augmented(source, rng) for source in sources])

    def _draw_powers(self, rng: random.Random) -> list[float]:
        """Return the power that each output should have: as in any song that has it, and in the same song if possible.

        It is 0 where recordings keep their own level.
        """
        powers = [0.0] * len(self.outputs)
        if not self.with_songs or "levels" not in self.mixing.augmentations:
            return powers
        for _ in range(TRIES):
            song = rng.choice(rng.choice(self.with_songs).songs)
            known = [power_of(part) if song.knows(output) else 0.0 for output, part in enumerate(song.parts)]
            powers = [before or now for before, now in zip(powers, known, strict=True)]
            if all(powers):
                break
        return powers

    def _remixed(self, output: int, power: float, rng: random.Random) -> Tensor:
        """Return a source of any song, or the sum of two; with a power, each of them has that."""
        source = self._from_any_song(output, power, rng)
        return source + self._from_any_song(output, power, rng) if rng.random() < self.mixing.mixup else source

    def _from_any_song(self, output: int, power: float, rng: random.Random) -> Tensor:
        able = [collection for collection in self.collections if collection.sources[output]]
        if not able:
            return torch.zeros(2, self.mixing.length)
        for _ in range(TRIES):
            recordings, speed = rng.choice(rng.choice(able).sources[output]), self._draw_speed(rng)
            source = self._excerpt(recordings, self._draw_start(recordings, speed, rng), speed)
            if self._is_loud(source):
                break
        if power and (own := power_of(recordings)):
            source = source * math.sqrt(power / own)
        return self._augmented(self._shifted(source[None], rng)[0], rng)

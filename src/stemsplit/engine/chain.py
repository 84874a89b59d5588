"""Chains of models: a stem that one gives is split on by another, and all stems together stay what they were."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from stemsplit.fetch import digests

if TYPE_CHECKING:
    # Not to be imported: which stems there will be is asked before PyTorch is there, which takes seconds.
    from torch import Tensor

    from stemsplit.audio import Block
    from stemsplit.engine.base import Mixture, Pair
    from stemsplit.engine.separator import Separator
    from stemsplit.registry import ModelEntry

REST = "rest"
"""What a model leaves of a stem that it was given, where that has no name of its own."""


def parts_of(stem: str, outputs: Sequence[str], adds_up: bool) -> tuple[str, ...]:
    """What a stem becomes.

    Args:
        stem: its name.
        outputs: names of what the model gives that splits it on.
        adds_up: whether these make up all that the model was given.

    >>> parts_of("vocals", ["speech"], adds_up=False)
    ('vocals-speech', 'vocals-rest')
    """
    return tuple(f"{stem}-{output}" for output in (outputs if adds_up else (*outputs, REST)))


def replaced(stems: Sequence[str], stem: str, parts: Sequence[str]) -> tuple[str, ...]:
    """The stems with the parts of one in its place, if it is one of them.

    Raises:
        ValueError: two would have the same name.
    """
    names = [name for known in stems for name in (parts if known == stem else (known,))]
    called = [name.casefold() for name in names]
    if twice := [name for name in called if called.count(name) > 1]:
        raise ValueError(f"two stems would be called {twice[0]!r}")
    return tuple(names)


@dataclass(frozen=True)
class Plan:
    """Which models make a song's stems, one after another; none of them is loaded yet.

    Args:
        first: splits the song.
        then: stems, and what splits each of them on, in this order; see `Chain`.

    Raises:
        ValueError: two stems would have the same name.
    """

    first: "ModelEntry"
    then: "tuple[tuple[str, ModelEntry], ...]" = ()

    def __post_init__(self) -> None:
        _ = self.stems

    @property
    def entries(self) -> "tuple[ModelEntry, ...]":
        """All the models."""
        return (self.first, *(entry for _, entry in self.then))

    @property
    def name(self) -> str:
        """Of a single model its own, and of no chain that of a model."""
        return " --then ".join([self.first.name, *(f"{stem}:{entry.name}" for stem, entry in self.then)])

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are the song."""
        return self.first.adds_up

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of all stems that can be written."""
        stems = self.first.outputs
        for stem, entry in self.then:
            stems = replaced(stems, stem, parts_of(stem, entry.outputs, entry.adds_up))
        return stems

    @property
    def sums(self) -> dict[str, tuple[str, ...]]:
        """Each stem that was split on, and those of `stems` that add up to it."""
        sums: dict[str, tuple[str, ...]] = {}
        for stem, entry in self.then:
            parts = parts_of(stem, entry.outputs, entry.adds_up)
            sums = {name: replaced(known, stem, parts) for name, known in sums.items()} | {stem: parts}
        return sums

    def identity(self, precision: str = "auto") -> dict[str, Any]:
        """What decides what is made of a song, as records have it; see `ModelEntry.identity`.

        Raises:
            WeightsError: a file with weights cannot be read.
        """
        own = [entry.identity(digests.identity(entry), precision) for entry in self.entries]
        onward = [{"stem": stem, **each} for (stem, _), each in zip(self.then, own[1:], strict=True)]
        return {**own[0], "then": onward} if onward else own[0]


class Fork:
    """A song one of whose stems goes on to another model; all the rest of it waits for what becomes of that.

    Args:
        pairs: of the song and its stems.
        place: of that stem among them.
    """

    def __init__(self, pairs: "Iterable[Pair]", place: int) -> None:
        self.pairs, self.place = pairs, place
        self.waiting: deque[Block] = deque()
        """The song, and then its other stems: (n, c, some samples) each."""

    def onward(self) -> "Iterator[Block]":
        """The stem, (c, some samples) each."""
        for mixture, stems in self.pairs:
            if mixture.shape[-1]:
                self.waiting.append(np.concatenate([mixture[None], stems[: self.place], stems[self.place + 1 :]]))
                # A copy, which does not hold on to the others.
                yield stems[self.place].copy()

    def _take(self, length: int) -> "Block":
        """The oldest samples of what waits, (n, c, length)."""
        taken: list[Block] = []
        while length:
            block = self.waiting.popleft()
            if block.shape[-1] > length:
                self.waiting.appendleft(block[..., length:])
                block = block[..., :length]
            taken.append(block)
            length -= block.shape[-1]
        return np.concatenate(taken, -1)

    def joined(self, split: "Generator[Pair, None, None]", rest: bool) -> "Generator[Pair, None, None]":
        """Pairs of the song and all its stems, with its parts in the place of the one.

        Args:
            split: pairs of the stem and its parts.
            rest: whether what these leave of the stem is to come after them.
        """
        with closing(split):
            for stem, parts in split:
                if stem.shape[-1]:
                    song = self._take(stem.shape[-1])
                    left = [(stem - parts.sum(0))[None]] if rest else []
                    yield song[0], np.concatenate([song[1 : self.place + 1], parts, *left, song[self.place + 1 :]])


class Chain:
    """Two models, the second of which splits on a stem that the first gives; used as a `Separator` is.

    In the stem's place come the second's own stems, called STEM-NAME, and if these do not add up to it, what they leave
    of it as STEM-rest. So all stems add up to the mixture if those of the first do.

    Args:
        before: the first, or a chain again.
        stem: one of its stems.
        then: the second, or a chain again; of no separator that is part of `before`.

    Raises:
        ValueError: there is no such stem, or two would have the same name.
    """

    def __init__(self, before: "Separator | Chain", stem: str, then: "Separator | Chain") -> None:
        if stem not in before.stems:
            raise ValueError(f"there is no stem {stem!r} to split on, only {', '.join(before.stems)}")
        self.before, self.stem, self.then = before, stem, then
        self.parts = parts_of(stem, then.stems, then.adds_up)
        self.stems: tuple[str, ...] = replaced(before.stems, stem, self.parts)
        """Names of the stems, in the order in which they come."""
        self.adds_up: bool = before.adds_up
        """Whether all stems together are the mixture."""

    def streams(self, mixtures: "Iterable[Mixture]") -> "Generator[Generator[Pair, None, None], None, None]":
        """Take songs apart one after the other, as `Separator.streams` does."""
        layouts, forks = deque[tuple[int, int]](), deque[Fork]()

        def songs() -> "Iterator[Mixture]":
            for blocks, sample_rate, channels in mixtures:
                layouts.append((sample_rate, channels))
                yield blocks, sample_rate, channels

        def onward() -> "Generator[Mixture, None, None]":
            with closing(self.before.streams(songs())) as found:
                for pairs in found:
                    fork = Fork(pairs, self.before.stems.index(self.stem))
                    forks.append(fork)
                    yield fork.onward(), *layouts.popleft()

        with closing(onward()) as stems, closing(self.then.streams(stems)) as found:
            for split in found:
                with closing(forks.popleft().joined(split, rest=not self.then.adds_up)) as pairs:
                    yield pairs

    def stream(self, blocks: "Iterable[Block]", sample_rate: int, channels: int) -> "Generator[Pair, None, None]":
        """Take a song apart block by block, as `Separator.stream` does, in memory that does not grow with it."""
        with closing(self.streams([(blocks, sample_rate, channels)])) as songs:
            for results in songs:
                yield from results

    def separate(self, mixture: "Tensor", sample_rate: int) -> "dict[str, Tensor]":
        """Take a mixture in memory apart, as `Separator.separate` does."""
        stems = self.before.separate(mixture, sample_rate)
        split = self.then.separate(stems[self.stem], sample_rate)
        left = [] if self.then.adds_up else [stems[self.stem] - sum(split.values())]
        found = {**stems, **dict(zip(self.parts, [*split.values(), *left], strict=True))}
        return {name: found[name] for name in self.stems}

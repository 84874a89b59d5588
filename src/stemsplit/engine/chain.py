"""Chains models: one splits a song, and another splits a stem of it further."""

from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from typing import Any

import numpy as np
import torch

from stemsplit.audio import Block
from stemsplit.audio.samples import Samples
from stemsplit.engine.base import Pair, Splitter
from stemsplit.engine.chain_entry import ChainEntry, parts_of, replaced
from stemsplit.engine.combination.combined import Combined
from stemsplit.engine.combination.entry import Combination, Source
from stemsplit.engine.completion import remainder
from stemsplit.engine.memory import TURN_SECONDS, Memory
from stemsplit.engine.mixture import Mixture
from stemsplit.engine.separator import Separator
from stemsplit.registry import ModelEntry


class Fork:
    """Holds a song and its stems while one of these is split further.

    Args:
        pairs: blocks of the song and its stems, see `Pair`.
        index: index of the stem that is split further.
    """

    def __init__(self, pairs: Iterable[Pair], index: int) -> None:
        self.pairs, self.index = pairs, index
        self.waiting = Samples()
        """Samples of the song, then of its other stems: (n, c, some samples) each."""

    def onward(self, at_least: int = 1) -> Iterator[Block]:
        """Yield blocks of the stem to be split further, (c, some samples) each.

        Args:
            at_least: samples to wait for before they are yielded; fewer only at the end.
        """
        held: list[Block] = []
        for mixture, stems in self.pairs:
            if mixture.shape[-1]:
                self.waiting.put(np.concatenate([mixture[None], stems[: self.index], stems[self.index + 1 :]]))
                # A copy, so that the other stems can be freed.
                held.append(stems[self.index].copy())
            if sum(block.shape[-1] for block in held) >= at_least:
                yield from held
                held.clear()
        yield from held

    def joined(self, split: Generator[Pair, None, None], rest: bool) -> Generator[Pair, None, None]:
        """Yield pairs of the song and all its stems, with the parts in place of the stem that was split further.

        Args:
            split: blocks of the stem and its parts, see `Pair`.
            rest: whether the remainder of the stem comes after its parts.
        """
        with closing(split):
            for stem, parts in split:
                if stem.shape[-1]:
                    song = self.waiting.take(stem.shape[-1])
                    left = [remainder(torch.from_numpy(stem), torch.from_numpy(parts)).numpy()[None]] if rest else []
                    yield song[0], np.concatenate([song[1 : self.index + 1], parts, *left, song[self.index + 1 :]])


class Chain(Splitter):
    """Two models, the second of which splits a stem of the first further.

    The second model's stems, called STEM-NAME, take the stem's place. If they do not add up to the stem, the remainder
    comes after them as STEM-rest. So all stems add up to the mixture if those of the first model do.

    Args:
        before: the first model, or another chain.
        stem: the stem of `before` to be split further.
        then: the second model, or another chain; it must not share a separator with `before`.
        turn_seconds: length of the part of a song that one model splits before the other has its turn, in seconds; see
            `Combined`.

    Raises:
        ValueError: `before` has no such stem, or two stems would have the same name.
    """

    def __init__(self, before: Splitter, stem: str, then: Splitter, turn_seconds: float = 0.0) -> None:
        if stem not in before.stems:
            raise ValueError(f"there is no stem {stem!r} to split on, only {', '.join(before.stems)}")
        self.before, self.stem, self.then, self.turn_seconds = before, stem, then, turn_seconds
        self.parts = parts_of(stem, then.stems, then.adds_up)
        self._stems = replaced(before.stems, stem, self.parts)

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in the order in which they come."""
        return self._stems

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are the mixture."""
        return self.before.adds_up

    def streams(self, mixtures: Iterable[Mixture]) -> Generator[Generator[Pair, None, None], None, None]:
        """Take songs apart one after the other; see `Splitter.streams`."""
        kinds, forks = deque[tuple[int, int, Sequence[str]]](), deque[Fork]()

        def songs() -> Iterator[Mixture]:
            for mixture in (Mixture(*mixture) for mixture in mixtures):
                kinds.append(mixture[1:])
                yield mixture

        def onward() -> Generator[Mixture, None, None]:
            with closing(self.before.streams(songs())) as found:
                for pairs in found:
                    fork = Fork(pairs, self.before.stems.index(self.stem))
                    forks.append(fork)
                    kind = kinds.popleft()
                    turn = max(round(self.turn_seconds * kind[0]), 1)
                    yield Mixture(fork.onward(turn), *kind)

        with closing(onward()) as stems, closing(self.then.streams(stems)) as found:
            for split in found:
                with closing(forks.popleft().joined(split, rest=not self.then.adds_up)) as pairs:
                    yield pairs


def load(models: ChainEntry, batch_size: int | None = None, fit_memory: int | None = None, **settings: Any) -> Splitter:
    """Load the models that split songs.

    Args:
        models: the models to load.
        batch_size: chunks that the models of the song itself compute together; None for what suits the device.
        fit_memory: largest number of bytes that the weights of all networks in memory may take; networks that do not
            fit take turns. None for no limit.
        settings: other settings of each `Separator`.

    Raises:
        RegistryError, WeightsError, DeviceError: a model cannot be loaded, or is too large by itself.
    """
    memory = None if fit_memory is None else Memory(fit_memory)
    sizes = [(models.first, batch_size), *((source, None) for _, source in models.then)]
    leaves = [(entry, size) for source, size in sizes for entry in _leaves(source)]
    separators = iter([Separator(entry, batch_size=size, memory=memory, **settings) for entry, size in leaves])
    turn = TURN_SECONDS if memory and memory.is_crowded else 0.0

    def joined(source: Source) -> Splitter:
        if isinstance(source, Combination):
            return Combined(source, [joined(member) for member in source.members], turn)
        return next(separators)

    splitter = joined(models.first)
    for stem, source in models.then:
        splitter = Chain(splitter, stem, joined(source), turn)
    return splitter


def _leaves(source: Source) -> Iterator[ModelEntry]:
    """Yield the models of a source in their order, each as often as it is there."""
    for member in source.members if isinstance(source, Combination) else ():
        yield from _leaves(member)
    if isinstance(source, ModelEntry):
        yield source

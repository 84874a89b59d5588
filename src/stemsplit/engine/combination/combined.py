"""Splits a song by several models at once, and makes one set of stems of theirs."""

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import ExitStack, closing

import numpy as np
import torch

from stemsplit.audio import Block
from stemsplit.audio.samples import Samples
from stemsplit.choices import CombineName
from stemsplit.engine.base import Pair, Splitter
from stemsplit.engine.combination.division import divided
from stemsplit.engine.combination.entry import Combination
from stemsplit.engine.combination.joining import Joiner, Mean, joiner
from stemsplit.engine.combination.shared import Shared
from stemsplit.engine.completion import remainder
from stemsplit.engine.mixture import Mixture

MOST_SAMPLES = 1 << 18
"""Most samples of a song that are combined at once, some seconds; a member may have computed many more in its turn."""

Stream = Callable[[Iterable[Mixture]], Generator[Generator[Pair, None, None], None, None]]
"""The method `streams` of a splitter."""


class _Song:
    """A song that several readers read: its blocks, and what else a splitter needs to know."""

    def __init__(self, mixture: Mixture, readers: int) -> None:
        self.mixture, self.blocks = mixture, Shared(mixture.blocks, readers)

    def reader(self, index: int) -> Mixture:
        """Return the song for one of the readers."""
        return self.mixture._replace(blocks=self.blocks.reader(index))


def in_step(
    streams: Sequence[Stream], mixtures: Iterable[Mixture]
) -> Generator[tuple[Mixture, list[Generator[Pair, None, None]]], None, None]:
    """Split each song by several splitters.

    Args:
        streams: methods of the splitters.
        mixtures: the songs, as `Splitter.streams` takes them.

    Yields:
        Each song, and its results from each splitter. Use them up before you ask for the next song.
    """
    count = len(streams)
    shared = Shared((_Song(Mixture(*mixture), count) for mixture in mixtures), count)
    begun: list[_Song] = []

    def songs(index: int) -> Iterator[Mixture]:
        for song in shared.reader(index):
            if index == 0:
                begun.append(song)
            yield song.reader(index)

    with ExitStack() as open_:
        open_.callback(shared.close)
        results = [open_.enter_context(closing(each(songs(index)))) for index, each in enumerate(streams)]
        for first in results[0]:
            yield begun.pop(0).mixture, [first, *(next(others) for others in results[1:])]


def levelled(pairs: Sequence[Iterator[Pair]], at_least: int = 1) -> Generator[tuple[Block, list[Block]], None, None]:
    """Yield a song and the stems that each splitter found in it, in blocks that are equally long.

    Args:
        pairs: results of each splitter.
        at_least: samples to get from a splitter before the next one has its turn; fewer only at the end.

    Yields:
        The song (c, t), and of each splitter its stems (n, c, t).
    """
    song, stems = Samples(), [Samples() for _ in pairs]
    while True:
        for index, (own, waiting) in enumerate(zip(pairs, stems, strict=True)):
            while waiting.length < at_least and (pair := next(own, None)) is not None:
                if pair[0].shape[-1]:
                    waiting.put(pair[1])
                    if index == 0:
                        song.put(pair[0])
        if not (length := min(waiting.length for waiting in stems)):
            return
        while length:
            part = min(length, MOST_SAMPLES)
            length -= part
            yield song.take(part), [waiting.take(part) for waiting in stems]


def mean_of(
    streams: Sequence[Stream], mixtures: Iterable[Mixture]
) -> Generator[Generator[Pair, None, None], None, None]:
    """Yield the mean of the stems that several splitters find, all of them with the same stems; see `Splitter.streams`.

    Args:
        streams: methods of the splitters.
        mixtures: the songs.
    """
    mean = Mean([1.0] * len(streams))
    with closing(in_step(streams, mixtures)) as songs:
        for _, results in songs:
            with closing(levelled(results)) as blocks:
                yield ((song, mean.put(stems)) for song, stems in blocks)


class Group:
    """Stems that the same members give, which are combined together.

    Args:
        entry: what is combined.
        places: indices of the stems among those that the members give.
        members: indices of the members that give them.
        indices: for each of these members, the indices of the stems among its own.
    """

    def __init__(
        self, entry: Combination, places: Sequence[int], members: Sequence[int], indices: Sequence[Sequence[int]]
    ) -> None:
        self.entry, self.places, self.members, self.indices = entry, list(places), members, indices

    def joiner(self) -> Joiner:
        """Return what combines these stems of one song."""
        return joiner(
            self.entry.combine, [self.entry.weights[m] for m in self.members] if self.entry.weights else [1.0]
        )

    def of(self, stems: Sequence[Block]) -> list[Block]:
        """Return what each of the members gives for these stems, (n, c, t)."""
        return [stems[member][list(own)] for member, own in zip(self.members, self.indices, strict=True)]


class Combined(Splitter):
    """Several models, whose stems are combined.

    Args:
        entry: which models give which stems, and how they are combined.
        members: the loaded models.
        turn_seconds: length of the part of a song that one member splits before the next has its turn, in seconds; 0
            for as little as possible. A member whose network has to be loaded again for each turn needs long ones.
    """

    def __init__(self, entry: Combination, members: Sequence[Splitter], turn_seconds: float = 0.0) -> None:
        self.entry, self.members, self.turn_seconds = entry, tuple(members), turn_seconds
        self.groups = self._groups()

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in the order in which they come."""
        return self.entry.outputs

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are the mixture."""
        return self.entry.adds_up

    @property
    def divides_bins(self) -> bool:
        """Whether the remainder is divided bin by bin. The mean of the same models leaves what each of them does."""
        together = len(self.groups) == 1 and self.entry.combine == CombineName.mean
        return self.entry.spread and not together

    def _groups(self) -> list[Group]:
        names = [[stem.casefold() for stem in member.stems] for member in self.members]
        places: dict[tuple[int, ...], list[int]] = {}
        for place, (_, members) in enumerate(self.entry.takes):
            places.setdefault(members, []).append(place)
        stems = [stem.casefold() for stem, _ in self.entry.takes]
        return [
            Group(self.entry, own, members, [[names[m].index(stems[place]) for place in own] for m in members])
            for members, own in places.items()
        ]

    def streams(self, mixtures: Iterable[Mixture]) -> Generator[Generator[Pair, None, None], None, None]:
        """Take songs apart one after the other; see `Splitter.streams`."""
        with closing(in_step([member.streams for member in self.members], mixtures)) as songs:
            for mixture, results in songs:
                turn = max(round(self.turn_seconds * mixture.sample_rate), 1)
                pairs = self._joined(levelled(results, turn))
                with closing(divided(pairs, self.entry.among) if self.divides_bins else pairs) as completed:
                    yield completed

    def _joined(self, blocks: Generator[tuple[Block, list[Block]], None, None]) -> Generator[Pair, None, None]:
        joiners = [group.joiner() for group in self.groups]
        song, finished = Samples(), [Samples() for _ in self.groups]

        def ready() -> Iterator[Pair]:
            if length := min(each.length for each in finished):
                mixture = song.take(length)
                yield mixture, self._completed(mixture, [each.take(length) for each in finished])

        with closing(blocks):
            for block, stems in blocks:
                song.put(block)
                for group, each, queue in zip(self.groups, joiners, finished, strict=True):
                    queue.put(each.put(group.of(stems)))
                yield from ready()
        if song.length:
            for each, queue in zip(joiners, finished, strict=True):
                queue.put(each.end())
            yield from ready()

    def _completed(self, mixture: Block, groups: Sequence[Block]) -> Block:
        """Put the groups' stems into their order, and make them add up to the mixture if they should."""
        stems = np.empty((len(self.entry.takes), *mixture.shape), np.float32)
        for group, found in zip(self.groups, groups, strict=True):
            stems[group.places] = found
        if not self.adds_up or self.divides_bins:
            return stems
        left: Block = remainder(torch.from_numpy(mixture), torch.from_numpy(stems)).numpy()
        return np.concatenate([stems, left[None]]) if self.entry.remainder else stems + left / np.float32(len(stems))

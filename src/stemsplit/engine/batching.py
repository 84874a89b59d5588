"""Runs a model over songs in overlapping chunks; what one song leaves of a batch, those that follow it fill up."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from enum import Enum
from itertools import groupby
from operator import itemgetter
from traceback import clear_frames
from typing import TypeVar

import torch
from torch import Tensor

from stemsplit.choices import WindowName
from stemsplit.engine.ahead import ahead
from stemsplit.engine.overlap_add import Chunk, Model, Sum, check, chunks, estimated
from stemsplit.fast.cuda.transfer import Copied, Transfer

T = TypeVar("T")

ENDINGS = 4
"""Songs that may end within a batch: all that belongs to them stays open until it is computed."""

BATCHES_AHEAD, HOPS_AHEAD = 1, 4
"""How much is read before it can be computed, and computed before it is wanted, where all goes on at once."""


class Mark(Enum):
    """Where a song begins and ends."""

    BEGUN, ENDED = range(2)


@dataclass(eq=False)
class Song:
    """A song on its way.

    Args:
        blocks: (c, any number of samples), one after the other, which nobody changes afterwards.
        over: whether nobody wants more of it: it failed, or was given up.
    """

    blocks: Iterable[Tensor]
    over: bool = False


Step = tuple[Song, Chunk | Exception | Mark]
"""What comes next of a song."""

Batch = tuple[list[Step], list[tuple[Song, Chunk]], Copied]
"""Steps; the chunks among them; these, (b, c, chunk), on the device."""

Result = tuple[Song, Copied | Exception | Mark]
"""What comes next of a song's estimates: samples to which nothing is added any more, or why there are none."""


def batches(steps: Iterable[Step], size: int) -> Iterator[list[Step]]:
    """Steps with up to `size` chunks among them, all of one shape. What is no chunk waits only for chunks before it."""
    batch: list[Step] = []
    shapes: list[torch.Size] = []
    for song, step in steps:
        if isinstance(step, Chunk):
            if shapes and shapes[0] != step.samples.shape:  # songs of another number of channels
                yield batch
                batch, shapes = [], []
            shapes.append(step.samples.shape)
        batch.append((song, step))
        endings = sum(step is Mark.ENDED for _, step in batch)
        if not shapes or len(shapes) == size or endings == ENDINGS:
            yield batch
            batch, shapes = [], []
    if batch:
        yield batch


def finished(results: Iterable[Result]) -> Generator[Tensor, None, None]:
    """What there is of one song, on the host.

    Raises:
        Exception: whatever ended the song.
    """
    for _, result in results:
        if isinstance(result, Exception):
            raise result
        if result is Mark.ENDED:
            return
        if not isinstance(result, Mark):
            yield result()


class Gathering:
    """Computes songs.

    Args:
        model: what it gives for a chunk depends on nothing else in the batch. Its estimates are added up on the device
            that they are on.
        chunk: samples given to the model at once.
        hop: samples between two chunks' starts, at most `chunk`.
        window: how overlapping estimates are joined.
        batch_size: chunks given to the model together; no effect on the result.
        transfer: to the model's device and back.
        at_once: read, compute and give results in a thread each, for a device that computes by itself.

    Raises:
        ValueError: an impossible chunk, hop, window or batch size.
    """

    def __init__(
        self,
        model: Model,
        *,
        chunk: int,
        hop: int,
        window: str = "hann",
        batch_size: int = 1,
        transfer: Transfer | None = None,
        at_once: bool = False,
    ) -> None:
        check(chunk, hop)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.model, self.chunk, self.hop, self.window = model, chunk, hop, WindowName(window)
        self.batch_size, self.at_once = batch_size, at_once
        self.transfer = transfer or Transfer(torch.device("cpu"))

    def streams(self, songs: Iterable[Song]) -> Generator[Generator[Tensor, None, None], None, None]:
        """Estimate the stems of songs, in memory that grows neither with their length nor with their number.

        The next song is asked for when all that is wanted of the one before was read. What goes wrong while a song is
        read or computed is raised where its results are asked for, and leaves the other songs as they are.

        Args:
            songs: one after the other.

        Yields:
            Each song's results: (n, c, some samples), float32 on the CPU, together as long as the song. They are to be
            used up, or are given up, before the next song's are asked for.
        """
        with ExitStack() as open_:

            def beside(items: Iterator[T], most: int) -> Iterator[T]:
                return open_.enter_context(closing(ahead(items, most))) if self.at_once else items

            read = beside(self._read(songs), BATCHES_AHEAD)
            results = beside(self._computed(read), HOPS_AHEAD)
            for song, own in groupby(results, itemgetter(0)):
                yield finished(own)
                song.over = True

    def _steps(self, songs: Iterable[Song]) -> Iterator[Step]:
        for song in songs:
            yield song, Mark.BEGUN
            try:
                for chunk in chunks(song.blocks, self.chunk, self.hop, self.window):
                    yield song, chunk
                    if song.over:
                        break
            except Exception as error:  # of any kind, as the blocks come from anywhere
                yield song, error
            yield song, Mark.ENDED

    def _read(self, songs: Iterable[Song]) -> Iterator[Batch]:
        for batch in batches(self._steps(songs), self.batch_size):
            members = [(song, step) for song, step in batch if isinstance(step, Chunk)]
            yield batch, members, self._sent(members)

    def _sent(self, members: list[tuple[Song, Chunk]]) -> Copied:
        def send() -> Copied:
            return self.transfer.to_device(torch.stack([chunk.samples for _, chunk in members]))

        try:
            return send() if members else lambda: torch.empty(0)
        except (RuntimeError, MemoryError):
            return lambda: send()()  # when its turn comes, there may be memory for it

    def _computed(self, read: Iterable[Batch]) -> Iterator[Result]:
        for batch, members, mixtures in read:
            estimates = iter(self._estimates(members, mixtures) if members else ())
            for song, step in batch:
                if step is Mark.BEGUN:
                    total = Sum(self.chunk, self.hop, self.window)
                if not isinstance(step, Chunk):
                    yield song, step
                    continue
                estimate = next(estimates)
                if not song.over and (result := self._added(total, step, estimate)) is not None:
                    if isinstance(result, Exception):
                        song.over = True  # never False: another thread may have given the song up just now
                    yield song, result

    def _added(self, total: Sum, chunk: Chunk, estimate: Tensor | Exception) -> Copied | Exception | None:
        if isinstance(estimate, Exception):
            return estimate
        try:
            found = total.add(chunk, estimate)
            return None if found is None else self.transfer.to_host(found)
        except (RuntimeError, MemoryError) as error:  # its memory may be full
            return error

    def _estimates(self, members: list[tuple[Song, Chunk]], mixtures: Copied) -> Iterable[Tensor | Exception]:
        """Of each chunk the estimate, (n, c, chunk), or why there is none."""
        own = [list(group) for _, group in groupby(members, itemgetter(0))]
        try:
            return estimated(self.model, mixtures()).unbind()
        except Exception as error:
            if len(own) == 1:
                # What the failed call still holds on its device may be what the next song needs.
                clear_frames(error.__traceback__)
                return [error] * len(members)
        # One song's fault is not to be the others': each by itself.
        return [found for group in own for found in self._estimates(group, self._sent(group))]

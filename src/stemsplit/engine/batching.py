"""Runs a model over songs in overlapping chunks; a batch that one song does not fill is filled from the next."""

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
from stemsplit.engine.cutting import Chunk, Ends, chunks
from stemsplit.engine.overlap_add import Accumulator, Model, check, estimated
from stemsplit.fast.cuda.transfer import Copied, Transfer

T = TypeVar("T")

ENDINGS = 4
"""Largest number of songs that end within one batch: their files stay open until the batch is computed."""

BATCHES_AHEAD, HOPS_AHEAD = 1, 4
"""Batches read ahead, and results computed ahead, where reading, computing and writing overlap."""


class Mark(Enum):
    """Marks where a song begins and ends among its chunks."""

    BEGUN, ENDED = range(2)


@dataclass(eq=False)
class Signal:
    """A song as the network takes it.

    Args:
        blocks: blocks of the song, (c, any number of samples) each, which nobody changes afterwards.
        over: whether the rest of the song is not needed, because it failed or was given up.
    """

    blocks: Iterable[Tensor]
    over: bool = False


Step = tuple[Signal, Chunk | Exception | Mark]
"""A song, and its next chunk, the error that ended it, or a mark."""

Batch = tuple[list[Step], list[tuple[Signal, Chunk]], Copied]
"""Steps; the chunks among these steps; the same chunks as a batch (b, c, t) on the device."""

Result = tuple[Signal, Copied | Exception | Mark]
"""A song, and its next finished samples, the error that ended it, or a mark."""


def batches(steps: Iterable[Step], size: int) -> Iterator[list[Step]]:
    """Group steps, up to `size` chunks of one shape in each; other steps wait only for the chunks before them."""
    batch: list[Step] = []
    shapes: list[torch.Size] = []
    for song, step in steps:
        if isinstance(step, Chunk):
            if shapes and shapes[0] != step.samples.shape:  # a song's last chunks, or other channels
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
    """Yield the finished samples of one song, on the host.

    Raises:
        Exception: the error that ended the song.
    """
    for _, result in results:
        if isinstance(result, Exception):
            raise result
        if result is Mark.ENDED:
            return
        if not isinstance(result, Mark):
            yield result()


class Batcher:
    """Computes songs in batches of chunks.

    Args:
        model: (b, c, t) -> (b, n, c, t). An estimate may depend on nothing but its own chunk. Estimates are added up on
            the device that they are on.
        chunk: number of samples given to the model at once.
        hop: samples between two chunks' starts, at most `chunk`.
        window: how overlapping estimates are joined, one of `WindowName`.
        ends: lengths of chunks at a song's ends; None for whole chunks. See `cutting.chunks`.
        batch_size: largest number of chunks given to the model together; it has no effect on the result.
        transfer: copier to the model's device and back; None for the CPU.
        at_once: whether reading, computing and returning results get a thread each, for a device that computes by
            itself.

    Raises:
        ValueError: the chunk, hop, window, ends or batch size is impossible.
    """

    def __init__(
        self,
        model: Model,
        *,
        chunk: int,
        hop: int,
        window: str = "hann",
        ends: Ends | None = None,
        batch_size: int = 1,
        transfer: Transfer | None = None,
        at_once: bool = False,
    ) -> None:
        check(chunk, hop, ends)
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, not {batch_size}")
        self.model, self.chunk, self.hop, self.window = model, chunk, hop, WindowName(window)
        self.ends, self.batch_size, self.at_once = ends, batch_size, at_once
        self.transfer = transfer or Transfer(torch.device("cpu"))

    def streams(self, songs: Iterable[Signal]) -> Generator[Generator[Tensor, None, None], None, None]:
        """Estimate the stems of songs, in memory that grows neither with their length nor with their number.

        A song is asked for once the previous one has been read, as far as it is needed. An error in reading or
        computing a song is raised among the results of that song, and does not affect the others.

        Args:
            songs: songs to compute, in order.

        Yields:
            Each song's results: (n, c, some samples), float32 on the CPU, together as long as the song. Use them up
            before you ask for the next song, at which the rest is lost.
        """
        with ExitStack() as open_:

            def beside(items: Iterator[T], most: int) -> Iterator[T]:
                return open_.enter_context(closing(ahead(items, most))) if self.at_once else items

            read = beside(self._read(songs), BATCHES_AHEAD)
            results = beside(self._computed(read), HOPS_AHEAD)
            for song, own in groupby(results, itemgetter(0)):
                yield finished(own)
                song.over = True

    def _steps(self, songs: Iterable[Signal]) -> Iterator[Step]:
        for song in songs:
            yield song, Mark.BEGUN
            try:
                for chunk in chunks(song.blocks, self.chunk, self.hop, self.window, self.ends):
                    yield song, chunk
                    if song.over:
                        break
            except Exception as error:  # of any kind, as the blocks come from anywhere
                yield song, error
            yield song, Mark.ENDED

    def _read(self, songs: Iterable[Signal]) -> Iterator[Batch]:
        for batch in batches(self._steps(songs), self.batch_size):
            members = [(song, step) for song, step in batch if isinstance(step, Chunk)]
            yield batch, members, self._sent(members)

    def _sent(self, members: list[tuple[Signal, Chunk]]) -> Copied:
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
                    total = Accumulator(self.chunk, self.hop, self.window)
                if not isinstance(step, Chunk):
                    yield song, step
                    continue
                estimate = next(estimates)
                if not song.over and (result := self._added(total, step, estimate)) is not None:
                    if isinstance(result, Exception):
                        song.over = True  # never False: another thread may have given the song up just now
                    yield song, result

    def _added(self, total: Accumulator, chunk: Chunk, estimate: Tensor | Exception) -> Copied | Exception | None:
        if isinstance(estimate, Exception):
            return estimate
        try:
            found = total.add(chunk, estimate)
            return None if found is None else self.transfer.to_host(found)
        except (RuntimeError, MemoryError) as error:  # its memory may be full
            return error

    def _estimates(self, members: list[tuple[Signal, Chunk]], mixtures: Copied) -> Iterable[Tensor | Exception]:
        """Return the estimate of each chunk, (n, c, t), or an error in its place."""
        own = [list(group) for _, group in groupby(members, itemgetter(0))]
        try:
            return estimated(self.model, mixtures()).unbind()
        except Exception as error:
            if len(own) == 1:
                # The next song may need the memory that the failed call still holds.
                clear_frames(error.__traceback__)
                return [error] * len(members)
        # Each song by itself, so that one song's error does not affect the others.
        return [found for group in own for found in self._estimates(group, self._sent(group))]

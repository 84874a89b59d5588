"""Cuts a stream of any length into overlapping chunks, which are shorter or padded by reflection at a song's ends."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stemsplit.choices import WindowName
from stemsplit.registry.entry import margin


def reflect(signal: Tensor, before: int, after: int) -> Tensor:
    """Continue a signal (c, t) by reflection at both ends, repeatedly where it is shorter than the continuation."""
    length = signal.shape[-1]
    period = max(2 * length - 2, 1)
    index = torch.arange(-before, length + after) % period
    return signal[:, torch.where(index < length, index, period - index)]


class Buffer:
    """A buffer of blocks (c, any number of samples), which are copied only when samples are asked for."""

    def __init__(self) -> None:
        self.blocks = deque[Tensor]()
        self.length = 0

    def put(self, block: Tensor) -> None:
        """Append a block."""
        self.blocks.append(block)
        self.length += block.shape[-1]

    def put_first(self, block: Tensor) -> None:
        """Put a block before the others."""
        self.blocks.appendleft(block)
        self.length += block.shape[-1]

    def fill(self, source: Iterator[Tensor], length: int) -> bool:
        """Append blocks until the buffer has that many samples; return False if the source has no more."""
        while self.length < length and (block := next(source, None)) is not None:
            self.put(block)
        return self.length >= length

    def drop(self, count: int) -> None:
        """Forget the oldest samples."""
        self.length -= count
        while self.blocks and count >= self.blocks[0].shape[-1]:
            count -= self.blocks.popleft().shape[-1]
        if count:
            self.blocks[0] = self.blocks[0][:, count:]

    def samples(self, start: int, stop: int) -> Tensor:
        """Return a copy of some samples, (c, at most stop - start)."""
        parts = []
        for block in self.blocks:
            parts.append(block[:, max(start, 0) : max(stop, 0)])
            start, stop = start - block.shape[-1], stop - block.shape[-1]
        return torch.cat(parts, -1)


Ends = tuple[int, int]
"""Samples that a chunk at a song's ends has at least, and those of the longest song that is one chunk."""


@dataclass
class Chunk:
    """Samples (c, t) given to the model, t at most the length of a chunk.

    Once the estimate of a chunk is added, its first `hop` samples are final, which is all of them in the last chunk.
    Those from `begin` to `end` belong to the song; the others are padding.
    """

    samples: Tensor
    first: bool
    last: bool
    begin: int
    end: int
    hop: int


def chunks(
    blocks: Iterable[Tensor], chunk: int, hop: int, window: WindowName, ends: Ends | None = None
) -> Iterator[Chunk]:
    """Cut a stream into chunks, and cut or pad it at its ends as the window asks for.

    Args:
        blocks: blocks of the stream, (c, any number of samples) each.
        chunk: length of a chunk, in samples.
        hop: samples between two chunks' starts.
        window: how overlapping estimates are joined.
        ends: lengths of chunks at the ends, one at most `chunk`, the other at least; None for whole chunks, which the
            windows of others always have.
    """
    if window == WindowName.hann:
        return _closely(iter(blocks), chunk, hop, *(ends or (chunk, chunk)))
    return _as_others(iter(blocks), chunk, hop, window)


def _closely(source: Iterator[Tensor], chunk: int, hop: int, shortest: int, longest: int) -> Iterator[Chunk]:
    """Cut a stream into as few chunks as cover it.

    A network knows music, and takes its reflection for music that it is not: the less of it, the better its estimate,
    but at the very edge of a chunk it is worse. So a song that fits into a chunk is one chunk, and others begin and end
    with a short reflection, the `margin`. The last two chunks share what is left evenly, so that neither is so short
    that the network hears too little around a sample.
    """
    held, edge, overlap = Buffer(), margin(chunk), chunk - hop
    if not held.fill(source, longest + 1):
        if held.length:
            # Where chunks are whole, there are only two lengths of them.
            least = longest if shortest == chunk < held.length else shortest
            yield _only(held.samples(0, held.length), edge, least, longest)
        return
    held.put_first(reflect(held.samples(0, edge + 1), edge, 0)[:, :edge])
    place, ended = 0, False
    while True:
        if not ended and not held.fill(source, chunk + hop + 1):
            ended = True
            held.put(held.samples(held.length - edge - 1, held.length - 1).flip(-1))
        if held.length <= chunk + hop:
            break
        yield Chunk(held.samples(0, chunk), place == 0, False, max(edge - place, 0), hop, hop)
        held.drop(hop)
        place += hop
    size = min(max((held.length + overlap + 1) // 2, shortest), chunk)
    step = held.length - size
    yield Chunk(held.samples(0, size), place == 0, False, max(edge - place, 0), step, step)
    yield Chunk(held.samples(step, held.length), False, True, 0, size - edge, size)


def _only(song: Tensor, edge: int, shortest: int, longest: int) -> Chunk:
    """Return a song (c, t) that fits into one chunk as this chunk, with as much of the margins as fits in, too."""
    length = song.shape[-1]
    missing = min(max(length + 2 * edge, shortest), longest) - length
    before = missing // 2
    samples = reflect(song, before, missing - before)
    return Chunk(samples, True, True, before, before + length, length + missing)


def _as_others(source: Iterator[Tensor], chunk: int, hop: int, window: WindowName) -> Iterator[Chunk]:
    """Cut a stream as the field's loops do, which pad a song by a whole overlap at both ends."""
    held, overlap = Buffer(), chunk - hop
    long = held.fill(source, 2 * overlap + 1)
    if not held.length:
        return
    border = overlap if window == WindowName.linear and long else 0
    held.put_first(reflect(held.samples(0, border + 1), border, 0)[:, :border])
    # Chunks that would only cover samples of earlier chunks, or padding, are left out.
    unneeded = overlap if border or window != WindowName.linear else 0
    place, ended = 0, False
    while True:
        # Read on far enough to know whether this chunk is the last one that is needed.
        if not ended and not held.fill(source, chunk + hop):
            ended = True
            held.put(held.samples(held.length - border - 1, held.length - 1).flip(-1))
        last = held.length - hop <= unneeded
        samples = held.samples(0, chunk)
        length = samples.shape[-1]
        if missing := chunk - length:
            by_reflection = window != WindowName.mean and length > chunk // 2
            samples = reflect(samples, 0, missing) if by_reflection else torch.nn.functional.pad(samples, (0, missing))
        yield Chunk(samples, place == 0, last, max(border - place, 0), length - border if last else hop, hop)
        if last:
            return
        held.drop(hop)
        place += hop

"""Runs a model over a stream of any length in overlapping chunks, and adds up its estimates, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from stemsplit.choices import WindowName

Model = Callable[[Tensor], Tensor]
"""A function from mixtures (b, c, chunk) to estimates (b, n, c, chunk)."""


def check(chunk: int, hop: int) -> None:
    """Raise ValueError for an impossible chunk or hop."""
    if not 1 <= hop <= chunk:
        raise ValueError(f"hop must be between 1 and the chunk's {chunk} samples, not {hop}")


def estimated(model: Model, mixtures: Tensor) -> Tensor:
    """Return a model's estimates of chunks: (b, c, chunk) -> (b, n, c, chunk).

    Raises:
        ValueError: the model gives another shape.
    """
    estimates = model(mixtures)
    if estimates.ndim != 4 or (estimates.shape[0], *estimates.shape[2:]) != mixtures.shape:
        raise ValueError(f"the model gave {tuple(estimates.shape)} for a mixture of {tuple(mixtures.shape)}")
    return estimates


def fade_length(window: WindowName, chunk: int, hop: int) -> int:
    """Return the samples over which an estimate fades at each end of a chunk: never more than the overlap."""
    limit = {WindowName.hann: chunk // 2, WindowName.linear: chunk // 10, WindowName.mean: 0}[window]
    return min(limit, chunk - hop)


def chunk_weights(window: WindowName, chunk: int, hop: int) -> Tensor:
    """Return the weight of each sample of a chunk's estimate, (chunk,); overlapping weights are normalised later."""
    fade = fade_length(window, chunk, hop)
    if window == WindowName.hann:
        ramp = torch.sin(torch.pi / 2 * (torch.arange(fade) + 0.5) / max(fade, 1)) ** 2
    else:
        # In a fade of one sample, each chunk has half; the formula would give both of them zero.
        ramp = torch.linspace(0, 1, fade) if fade > 1 else torch.full((fade,), 0.5)
    return torch.cat([ramp, torch.ones(chunk - 2 * fade), ramp.flip(0)])


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


@dataclass
class Chunk:
    """Samples (c, chunk) given to the model.

    Once the estimate of a chunk is added, its first `hop` samples are final, or all of them in the last chunk. Those
    from `begin` to `end` belong to the song; the others are padding.
    """

    samples: Tensor
    first: bool
    last: bool
    begin: int
    end: int


def chunks(blocks: Iterable[Tensor], chunk: int, hop: int, window: WindowName) -> Iterator[Chunk]:
    """Cut a stream into chunks, padded at the song's ends as the window asks for.

    Args:
        blocks: blocks of the stream, (c, any number of samples) each.
        chunk: length of a chunk, in samples.
        hop: samples between two chunks' starts.
        window: how overlapping estimates are joined, which decides the padding.
    """
    source, held, overlap = iter(blocks), Buffer(), chunk - hop
    long = held.fill(source, 2 * overlap + 1)
    if not held.length:
        return
    border = 0 if window == WindowName.mean or (window == WindowName.linear and not long) else overlap
    held.blocks.appendleft(reflect(held.samples(0, border + 1), border, 0)[:, :border])
    held.length += border
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
        yield Chunk(samples, place == 0, last, max(border - place, 0), length - border if last else hop)
        if last:
            return
        held.drop(hop)
        place += hop


class Accumulator:
    """Adds up the weighted estimates of a song's chunks, on the device that they are on.

    Args:
        chunk: samples given to the model at once.
        hop: samples between two chunks' starts, at most `chunk`.
        window: how overlapping estimates are joined.
    """

    def __init__(self, chunk: int, hop: int, window: WindowName) -> None:
        self.chunk, self.hop, self.window = chunk, hop, window
        self.total = self.weight = self.inner = torch.empty(0)

    def add(self, chunk: Chunk, estimate: Tensor) -> Tensor | None:
        """Add the estimate (n, c, chunk) of the next chunk.

        Returns:
            The samples that are final now, float32 (n, c, some) on the device; None if there are none.
        """
        if chunk.first:
            # Where many estimates of one sample add up, single precision is too coarse; Apple's devices have no other.
            fine = self.chunk > 8 * self.hop and estimate.device.type != "mps"
            self.total = estimate.new_zeros(estimate.shape, dtype=torch.float64 if fine else torch.float32)
            self.weight = self.total.new_zeros(self.chunk)
            self.inner = chunk_weights(self.window, self.chunk, self.hop).to(estimate.device)
        weights, fade = self.inner.clone(), fade_length(self.window, self.chunk, self.hop)
        # No other chunk overlaps the start of the first or the end of the last.
        if chunk.first:
            weights[:fade] = 1
        if chunk.last:
            weights[self.chunk - fade :] = 1
        self.total.addcmul_(estimate, weights)
        self.weight += weights
        begin, end = chunk.begin, chunk.end
        finished = (self.total[..., begin:end] / self.weight[begin:end]).float() if begin < end else None
        for added in (self.total, self.weight):
            added[..., : -self.hop] = added[..., self.hop :].clone()
            added[..., -self.hop :] = 0
        return finished


def stream(blocks: Iterable[Tensor], model: Model, *, chunk: int, hop: int, window: str = "hann") -> Iterator[Tensor]:
    """Estimate stems block by block; memory depends on the chunk, never on the song.

    A model that returns its input gives back the song, for every length, chunk, hop and window.

    Args:
        blocks: blocks of the mixture, (c, any number of samples) each, which nobody changes afterwards.
        model: function (b, c, chunk) -> (b, n, c, chunk). Estimates are added up on the model's device.
        chunk: samples given to the model at once.
        hop: samples between two chunks' starts, at most `chunk`.
        window: how overlapping estimates are joined.

    Yields:
        (n, c, some samples), float32 on the CPU; together as long as the mixture.

    Raises:
        ValueError: the chunk, hop or window is impossible, or the model returns another shape.
    """
    check(chunk, hop)
    joined = WindowName(window)
    total = Accumulator(chunk, hop, joined)
    for c in chunks(blocks, chunk, hop, joined):
        finished = total.add(c, estimated(model, c.samples[None])[0])
        if finished is not None:
            yield finished.cpu()


def overlap_add(mixture: Tensor, model: Model, *, chunk: int, hop: int, window: str = "hann") -> Tensor:
    """Estimate the stems of a mixture in memory as `stream` does: (c, t) -> (n, c, t)."""
    return torch.cat(list(stream([mixture], model, chunk=chunk, hop=hop, window=window)), -1)

"""Runs a model over a stream of any length in overlapping chunks and adds its estimates up, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, get_args

import torch
from torch import Tensor

Model = Callable[[Tensor], Tensor]
"""(b, c, chunk) -> (b, n, c, chunk)."""

Window = Literal["hann", "linear", "mean"]
"""How overlapping estimates are joined.

hann: a raised cosine over the whole overlap, the song continued by reflection at both ends.
linear: ramps of a tenth of a chunk, reflection at the ends of songs longer than twice the overlap (the RoFormers' way).
mean: the plain mean, nothing beyond the ends (as the papers say).
"""

WINDOWS: tuple[Window, ...] = get_args(Window)


def fade_length(window: Window, chunk: int, hop: int) -> int:
    """Samples at each end of a chunk over which its estimate fades; never more than the overlap."""
    limit = {"hann": chunk // 2, "linear": chunk // 10, "mean": 0}[window]
    return min(limit, chunk - hop)


def chunk_weights(window: Window, chunk: int, hop: int) -> Tensor:
    """The weight of each sample of a chunk's estimate, (chunk,); overlapping weights are normalised to one later."""
    fade = fade_length(window, chunk, hop)
    if window == "hann":
        ramp = torch.sin(torch.pi / 2 * (torch.arange(fade) + 0.5) / max(fade, 1)) ** 2
    else:
        # A fade of one sample: both chunks have half of it, where the formula would give neither any.
        ramp = torch.linspace(0, 1, fade) if fade > 1 else torch.full((fade,), 0.5)
    return torch.cat([ramp, torch.ones(chunk - 2 * fade), ramp.flip(0)])


def reflect(signal: Tensor, before: int, after: int) -> Tensor:
    """Continue a signal (c, t) by reflection at both ends, again and again where it is shorter than what is asked."""
    length = signal.shape[-1]
    period = max(2 * length - 2, 1)
    index = torch.arange(-before, length + after) % period
    return signal[:, torch.where(index < length, index, period - index)]


class Held:
    """Blocks (c, any number of samples) of a signal, copied only when samples are asked for; the oldest are dropped."""

    def __init__(self) -> None:
        self.blocks = deque[Tensor]()
        self.length = 0

    def put(self, block: Tensor) -> None:
        """Append a block."""
        self.blocks.append(block)
        self.length += block.shape[-1]

    def fill(self, source: Iterator[Tensor], length: int) -> bool:
        """Append blocks until there are that many samples; False if the source has no more."""
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
        """A copy of some of the samples, (c, at most stop - start)."""
        parts = []
        for block in self.blocks:
            parts.append(block[:, max(start, 0) : max(stop, 0)])
            start, stop = start - block.shape[-1], stop - block.shape[-1]
        return torch.cat(parts, -1)


@dataclass
class Chunk:
    """Samples (c, chunk) given to the model.

    After it, nothing is added to its first `hop` samples any more, or to any if it is the `last`; those from `begin` to
    `end` are the song's.
    """

    samples: Tensor
    first: bool
    last: bool
    begin: int
    end: int


def chunks(blocks: Iterable[Tensor], chunk: int, hop: int, window: Window) -> Iterator[Chunk]:
    """Cut a stream into chunks, with what the window wants beyond the song's ends.

    Args:
        blocks: (c, any number of samples), one after the other.
        chunk: samples.
        hop: samples.
        window: decides what lies beyond the ends.
    """
    source, held, overlap = iter(blocks), Held(), chunk - hop
    long = held.fill(source, 2 * overlap + 1)
    if not held.length:
        return
    border = 0 if window == "mean" or (window == "linear" and not long) else overlap
    held.blocks.appendleft(reflect(held.samples(0, border + 1), border, 0)[:, :border])
    held.length += border
    # A chunk that would only cover what earlier ones have covered, or what lies beyond the song, is not run.
    unneeded = overlap if border or window != "linear" else 0
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
            by_reflection = window != "mean" and length > chunk // 2
            samples = reflect(samples, 0, missing) if by_reflection else torch.nn.functional.pad(samples, (0, missing))
        yield Chunk(samples, place == 0, last, max(border - place, 0), length - border if last else hop)
        if last:
            return
        held.drop(hop)
        place += hop


def groups(chunks: Iterable[Chunk], size: int) -> Iterator[list[Chunk]]:
    """Lists of `size` chunks; the last may be shorter."""
    group: list[Chunk] = []
    for chunk in chunks:
        group.append(chunk)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group


def stream(
    blocks: Iterable[Tensor],
    model: Model,
    *,
    chunk: int,
    hop: int,
    window: Window = "hann",
    batch_size: int = 1,
) -> Iterator[Tensor]:
    """Estimate stems block by block; memory depends on the chunk, never on the song.

    A model that returns its input gives back the song, for every length, chunk, hop, window and batch size.

    Args:
        blocks: the mixture, (c, any number of samples) each, which nobody changes afterwards.
        model: (b, c, chunk) -> (b, n, c, chunk); its estimates are added up on the device that they are on.
        chunk: samples given to the model at once.
        hop: samples between two chunks' starts, at most `chunk`.
        window: how overlapping estimates are joined.
        batch_size: chunks given to the model together; no effect on the result.

    Yields:
        (n, c, some samples), float32 on the CPU; together as long as the mixture.

    Raises:
        ValueError: an impossible chunk, hop, window or batch size, or a model that returns another shape.
    """
    if not 1 <= hop <= chunk:
        raise ValueError(f"hop must be between 1 and the chunk's {chunk} samples, not {hop}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if window not in WINDOWS:
        raise ValueError(f"window must be one of {', '.join(WINDOWS)}, not {window!r}")
    fade, inner = fade_length(window, chunk, hop), chunk_weights(window, chunk, hop)
    total = weight = torch.empty(0)
    for group in groups(chunks(blocks, chunk, hop, window), batch_size):
        mixtures = torch.stack([c.samples for c in group])
        estimates = model(mixtures)
        if estimates.ndim != 4 or (estimates.shape[0], *estimates.shape[2:]) != mixtures.shape:
            raise ValueError(f"the model gave {tuple(estimates.shape)} for a mixture of {tuple(mixtures.shape)}")
        if group[0].first:
            # Where many estimates of one sample add up, single precision is too coarse; Apple's devices have no other.
            fine = chunk > 8 * hop and estimates.device.type != "mps"
            total = estimates.new_zeros(estimates.shape[1:], dtype=torch.float64 if fine else torch.float32)
            weight, inner = total.new_zeros(chunk), inner.to(estimates.device)
        for c, estimate in zip(group, estimates, strict=True):
            weights = inner.clone()
            # Nothing overlaps the first chunk's start and the last one's end.
            if c.first:
                weights[:fade] = 1
            if c.last:
                weights[chunk - fade :] = 1
            total.addcmul_(estimate, weights)
            weight += weights
            if c.begin < c.end:
                yield (total[..., c.begin : c.end] / weight[c.begin : c.end]).float().cpu()
            for added in (total, weight):
                added[..., :-hop] = added[..., hop:].clone()
                added[..., -hop:] = 0


def overlap_add(
    mixture: Tensor, model: Model, *, chunk: int, hop: int, window: Window = "hann", batch_size: int = 1
) -> Tensor:
    """`stream` over a mixture in memory: (c, t) -> (n, c, t)."""
    return torch.cat(list(stream([mixture], model, chunk=chunk, hop=hop, window=window, batch_size=batch_size)), -1)

"""Runs a model over a stream of any length in overlapping chunks and adds its estimates up, in bounded memory."""

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


@dataclass
class Chunk:
    """Samples (c, chunk) given to the model, of which the first `length` belong to the signal."""

    samples: Tensor
    length: int
    first: bool
    last: bool


class Chunker:
    """Cuts a stream into chunks, with what the window wants beyond the song's ends.

    Args:
        blocks: (c, any number of samples), one after the other.
        chunk: samples.
        hop: samples.
        window: decides what lies beyond the ends.

    Attributes:
        border: samples put before the song, and after it; known once the first chunk was asked for.
    """

    def __init__(self, blocks: Iterable[Tensor], chunk: int, hop: int, window: Window) -> None:
        # Small pieces, so that a whole song given as one block is not copied again for every chunk.
        self.blocks = (part for block in blocks for part in block.split(chunk, -1) if part.shape[-1])
        self.chunk, self.hop, self.window = chunk, hop, window
        self.overlap = chunk - hop
        self.border = 0

    def extended(self) -> Iterator[Tensor]:
        """The blocks with `border` samples of reflection at both ends."""
        head: list[Tensor] = []
        while sum(block.shape[-1] for block in head) <= 2 * self.overlap:
            block = next(self.blocks, None)
            if block is None:
                break
            head.append(block)
        if not head:
            return
        start = torch.cat(head, -1)
        short = start.shape[-1] <= 2 * self.overlap
        if self.window == "mean" or self.overlap == 0 or (short and self.window == "linear"):
            yield start
            yield from self.blocks
            return
        self.border = self.overlap
        if short:
            yield reflect(start, self.border, self.border)
            return
        yield reflect(start[:, : self.border + 1], self.border, 0)[:, :-1]
        # From here on at least border + 1 samples are kept back, for the reflection at the end.
        tail = start[:, self.border :]
        for block in self.blocks:
            tail = torch.cat([tail, block], -1)
            yield tail[:, : -self.border - 1]
            tail = tail[:, -self.border - 1 :]
        yield reflect(tail, 0, self.border)

    def filled(self, part: Tensor) -> Tensor:
        """The song's last samples (c, l), brought to a whole chunk."""
        missing = self.chunk - part.shape[-1]
        if self.window != "mean" and part.shape[-1] > self.chunk // 2:
            return reflect(part, 0, missing)
        return torch.nn.functional.pad(part, (0, missing))

    def __iter__(self) -> Iterator[Chunk]:
        signal = self.extended()
        pending = next(signal, None)
        first = True
        while pending is not None:
            # Read on far enough to know whether this chunk is the last one that is needed.
            parts, held = [pending], pending.shape[-1]
            while held < self.chunk + self.hop and (block := next(signal, None)) is not None:
                parts.append(block)
                held += block.shape[-1]
            pending = torch.cat(parts, -1)
            # A chunk that would only cover what earlier ones have covered, or what lies beyond the song, is not run.
            unneeded = 0 if self.window == "linear" and not self.border else self.overlap
            last = held - self.hop <= unneeded
            length = min(held, self.chunk)
            yield Chunk(self.filled(pending[:, :length]), length, first, last)
            if last:
                return
            pending, first = pending[:, self.hop :], False


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
        blocks: the mixture, (c, any number of samples) each.
        model: (b, c, chunk) -> (b, n, c, chunk).
        chunk: samples given to the model at once.
        hop: samples between two chunks' starts, at most `chunk`.
        window: how overlapping estimates are joined.
        batch_size: chunks given to the model together; no effect on the result.

    Yields:
        (n, c, some samples); together as long as the mixture.

    Raises:
        ValueError: an impossible chunk, hop, window or batch size, or a model that returns another shape.
    """
    if not 1 <= hop <= chunk:
        raise ValueError(f"hop must be between 1 and the chunk's {chunk} samples, not {hop}")
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}")
    if window not in WINDOWS:
        raise ValueError(f"window must be one of {', '.join(WINDOWS)}, not {window!r}")
    fade = fade_length(window, chunk, hop)
    chunker = Chunker(blocks, chunk, hop, window)
    total: Tensor | None = None
    inner = chunk_weights(window, chunk, hop)
    weight = torch.zeros(chunk, dtype=torch.float64)
    skip = None
    for group in groups(chunker, batch_size):
        mixtures = torch.stack([c.samples for c in group])
        estimates = model(mixtures)
        if estimates.ndim != 4 or (estimates.shape[0], *estimates.shape[2:]) != mixtures.shape:
            raise ValueError(f"the model gave {tuple(estimates.shape)} for a mixture of {tuple(mixtures.shape)}")
        if total is None:
            # Double precision: with a small hop, many estimates of one sample add up.
            total, skip = torch.zeros(estimates.shape[1:], dtype=torch.float64), chunker.border
        for c, estimate in zip(group, estimates, strict=True):
            weights = inner.clone()
            # Nothing overlaps the first chunk's start and the last one's end.
            if c.first:
                weights[:fade] = 1
            if c.last:
                weights[chunk - fade :] = 1
            total[..., : c.length] += estimate[..., : c.length] * weights[: c.length]
            weight[: c.length] += weights[: c.length]
            done = c.length - chunker.border if c.last else hop
            finished = total[..., :done] / weight[:done]
            assert skip is not None
            if done > skip:
                yield finished[..., skip:].float()
            skip = max(skip - done, 0)
            total = torch.cat([total[..., hop:], torch.zeros_like(total[..., :hop])], -1)
            weight = torch.cat([weight[hop:], torch.zeros_like(weight[:hop])])


def overlap_add(
    mixture: Tensor, model: Model, *, chunk: int, hop: int, window: Window = "hann", batch_size: int = 1
) -> Tensor:
    """`stream` over a mixture in memory: (c, t) -> (n, c, t)."""
    return torch.cat(list(stream([mixture], model, chunk=chunk, hop=hop, window=window, batch_size=batch_size)), -1)

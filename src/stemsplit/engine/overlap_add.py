"""Runs a model over a stream of any length in overlapping chunks, and adds up its estimates, in bounded memory."""

from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from stemsplit.choices import WindowName
from stemsplit.engine.cutting import Chunk, Ends, chunks

Model = Callable[[Tensor], Tensor]
"""A function from mixtures (b, c, t) to estimates (b, n, c, t)."""


def check(chunk: int, hop: int, ends: Ends | None = None) -> None:
    """Raise ValueError for an impossible chunk, hop or chunks at the ends."""
    if not 1 <= hop <= chunk:
        raise ValueError(f"hop must be between 1 and the chunk's {chunk} samples, not {hop}")
    if ends and not 1 <= ends[0] <= chunk <= ends[1]:
        raise ValueError(f"ends must be at most, and at least, the chunk's {chunk} samples, not {ends}")


def estimated(model: Model, mixtures: Tensor) -> Tensor:
    """Return a model's estimates of chunks: (b, c, t) -> (b, n, c, t).

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


def chunk_weights(window: WindowName, length: int, fade: int) -> Tensor:
    """Return the weight of each sample of a chunk's estimate, (length,); overlapping weights are normalised later."""
    if window == WindowName.hann:
        ramp = torch.sin(torch.pi / 2 * (torch.arange(fade) + 0.5) / max(fade, 1)) ** 2
    else:
        # In a fade of one sample, each chunk has half; the formula would give both of them zero.
        ramp = torch.linspace(0, 1, fade) if fade > 1 else torch.full((fade,), 0.5)
    return torch.cat([ramp, torch.ones(length - 2 * fade), ramp.flip(0)])


class Accumulator:
    """Adds up the weighted estimates of a song's chunks, on the device that they are on.

    Args:
        chunk: samples given to the model at once.
        hop: samples between two chunks' starts, at most `chunk`.
        window: how overlapping estimates are joined.
    """

    def __init__(self, chunk: int, hop: int, window: WindowName) -> None:
        self.chunk, self.hop, self.window = chunk, hop, window
        self.fade = fade_length(window, chunk, hop)
        self.total = self.weight = self.inner = torch.empty(0)

    def add(self, chunk: Chunk, estimate: Tensor) -> Tensor | None:
        """Add the estimate (n, c, t) of the next chunk.

        Returns:
            The samples that are final now, float32 (n, c, some) on the device; None if there are none.
        """
        if chunk.first:
            # Where many estimates of one sample add up, single precision is too coarse; Apple's devices have no other.
            fine = self.chunk > 8 * self.hop and estimate.device.type != "mps"
            whole = (*estimate.shape[:-1], max(self.chunk, estimate.shape[-1]))
            self.total = estimate.new_zeros(whole, dtype=torch.float64 if fine else torch.float32)
            self.weight = self.total.new_zeros(whole[-1])
        weights = self._weights(chunk, estimate.device)
        length = weights.shape[0]
        self.total[..., :length].addcmul_(estimate, weights)
        self.weight[:length] += weights
        begin, end, hop = chunk.begin, chunk.end, chunk.hop
        finished = (self.total[..., begin:end] / self.weight[begin:end]).float() if begin < end else None
        for added in (self.total, self.weight):
            added[..., :-hop] = added[..., hop:].clone()
            added[..., -hop:] = 0
        return finished

    def _weights(self, chunk: Chunk, device: torch.device) -> Tensor:
        """Return the weight of each sample of a chunk's estimate, (t,)."""
        length = chunk.samples.shape[-1]
        fade = min(self.fade, length // 2)
        if self.inner.shape[0] != length:
            self.inner = chunk_weights(self.window, length, fade).to(device)
        weights = self.inner.clone()
        # No other chunk overlaps the start of the first or the end of the last.
        if chunk.first:
            weights[:fade] = 1
        if chunk.last:
            weights[length - fade :] = 1
        return weights


def stream(
    blocks: Iterable[Tensor],
    model: Model,
    *,
    chunk: int,
    hop: int,
    window: str = "hann",
    ends: Ends | None = None,
) -> Iterator[Tensor]:
    """Estimate stems block by block; memory depends on the chunk, never on the song.

    A model that returns its input gives back the song, for every length, chunk, hop and window.

    Args:
        blocks: blocks of the mixture, (c, any number of samples) each, which nobody changes afterwards.
        model: function (b, c, t) -> (b, n, c, t). Estimates are added up on the model's device.
        chunk: samples given to the model at once.
        hop: samples between two chunks' starts, at most `chunk`.
        window: how overlapping estimates are joined.
        ends: lengths of chunks at a song's ends; None for whole chunks. See `cutting.chunks`.

    Yields:
        (n, c, some samples), float32 on the CPU; together as long as the mixture.

    Raises:
        ValueError: the chunk, hop or window is impossible, or the model returns another shape.
    """
    check(chunk, hop, ends)
    joined = WindowName(window)
    total = Accumulator(chunk, hop, joined)
    for c in chunks(blocks, chunk, hop, joined, ends):
        finished = total.add(c, estimated(model, c.samples[None])[0])
        if finished is not None:
            yield finished.cpu()


def overlap_add(
    mixture: Tensor, model: Model, *, chunk: int, hop: int, window: str = "hann", ends: Ends | None = None
) -> Tensor:
    """Estimate the stems of a mixture in memory as `stream` does: (c, t) -> (n, c, t)."""
    return torch.cat(list(stream([mixture], model, chunk=chunk, hop=hop, window=window, ends=ends)), -1)

"""Computes short-time Fourier transforms and their inverse on a CPU, a tile of frames at a time.

Frames are rows, as the transforms of single frames give them: a tile's transforms, and what is done with them, stay in
the cache. PyTorch's own inverse adds overlapping frames sample by sample, which takes longer than the transforms.
"""

from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_WEIGHT = 1e-11
"""Sum of squared windows up to which PyTorch counts a sample as not covered."""


class Fourier:
    """A short-time Fourier transform with frames centred on multiples of the hop, as `torch.stft` computes it.

    Args:
        size: number of samples of a frame, even.
        hop: number of samples between two frames.
        window: weights of a frame's samples, at most `size`, in the middle of the frame.
        normalized: whether transforms are divided by the root of their size.
    """

    def __init__(self, size: int, hop: int, window: Tensor, normalized: bool = False) -> None:
        self.size, self.hop = size, hop
        missing = size - len(window)
        scale = size**-0.5 if normalized else 1.0
        window = F.pad(window.detach().float(), (missing // 2, missing - missing // 2))
        self.reach = -(-size // hop)
        """Number of hops that a frame covers, the last one perhaps in part."""
        self.before = window * scale
        self.after = window / scale
        self._squares = F.pad(window.square(), (0, self.reach * hop - size)).view(self.reach, hop)
        self.unweighted = lru_cache(8)(self._unweighted)

    def frames(self, length: int) -> int:
        """Return the number of frames of a signal."""
        return length // self.hop + 1

    def room(self, *signals: int, length: int) -> Tensor:
        """Make uninitialised room for signals (..., length) and what lies beyond their ends, (..., length + size)."""
        return torch.empty(*signals, length + self.size)

    def inside(self, padded: Tensor) -> Tensor:
        """Return the signals without what lies beyond their ends, as a view, (..., t + size) -> (..., t)."""
        return padded[..., self.size // 2 : -(self.size // 2)]

    def reflect(self, padded: Tensor) -> None:
        """Reflect signals beyond their ends, (..., t + size) in place, t more than half of `size`."""
        beyond, x = self.size // 2, self.inside(padded)
        padded[..., :beyond] = x[..., 1 : beyond + 1].flip(-1)
        padded[..., -beyond:] = x[..., -beyond - 1 : -1].flip(-1)

    def padded(self, x: Tensor) -> Tensor:
        """Return signals (..., t) reflected beyond their ends, (..., t + size)."""
        padded = self.room(*x.shape[:-1], length=x.shape[-1])
        self.inside(padded).copy_(x)
        self.reflect(padded)
        return padded

    def spectra(self, padded: Tensor, frames: slice) -> Tensor:
        """Transform some frames of signals, (..., t + size) -> complex (..., frames, f)."""
        some = padded[..., frames.start * self.hop : (frames.stop - 1) * self.hop + self.size]
        return torch.fft.rfft(some.unfold(-1, self.size, self.hop) * self.before)

    def invertible(self, length: int) -> bool:
        """Return whether the frames of a signal of this length cover all of it, so that it can be had from them."""
        covered = self.unweighted(self.frames(length))[self.size // 2 :][:length]
        return self.hop <= self.size // 2 and float(covered.max()) < 1 / LEAST_WEIGHT

    def _unweighted(self, frames: int) -> Tensor:
        """Return what undoes the windows in the sum of frames, ((frames + reach - 1) * hop,)."""
        weights = torch.zeros(frames + self.reach - 1, self.hop)
        for place, squares in enumerate(self._squares):
            weights[place : place + frames] += squares
        # Where frames do not reach, nothing is used: beyond the ends, or anywhere if the signal is not `invertible`.
        return weights.flatten().clamp_min_(LEAST_WEIGHT / 2).reciprocal_()


class OverlapAdd:
    """Inverts the transforms of signals, a tile of frames at a time, in any order and several at once.

    Args:
        fourier: the transform.
        signals: number of signals.
        length: length of the signals, `fourier.invertible`.
        tile: number of frames of a tile; those that a frame reaches are at most as many.
    """

    def __init__(self, fourier: Fourier, signals: int, length: int, tile: int) -> None:
        self.fourier, self.length = fourier, length
        self.tile = max(tile, fourier.reach)
        self.frames = fourier.frames(length)
        count = -(-self.frames // self.tile)
        # Each tile has its own room for the hops that its last frames reach in the next one: tiles do not wait.
        self._hops = torch.empty(count, signals, self.tile + fourier.reach - 1, fourier.hop)

    def tiles(self) -> list[slice]:
        """Return the frames of all tiles."""
        return [slice(i, min(i + self.tile, self.frames)) for i in range(0, self.frames, self.tile)]

    def put(self, spectra: Tensor, frames: slice, first: int = 0) -> None:
        """Invert a tile of consecutive signals.

        Args:
            spectra: complex (s, frames, f).
            frames: the tile, one of `tiles`.
            first: index of the first of these signals.
        """
        f = self.fourier
        waves = torch.fft.irfft(spectra, f.size).mul_(f.after)
        hops = self._hops[frames.start // self.tile, first : first + len(spectra)]
        count = frames.stop - frames.start
        hops[:, count:] = 0
        hops[:, :count] = waves[..., : f.hop]
        for place in range(1, f.reach):
            part = waves[..., place * f.hop : (place + 1) * f.hop]
            hops[:, place : place + count, : part.shape[-1]] += part

    def take(self, frames: slice) -> tuple[slice, Tensor]:
        """Return a tile's samples, once, after all tiles have been put.

        Returns:
            Where they are in the signals, and the samples of all signals (signals, n); n may be 0.
        """
        f = self.fourier
        place = frames.start // self.tile
        last = frames.stop == self.frames
        count = frames.stop - frames.start + (f.reach - 1 if last else 0)
        hops = self._hops[place, :, :count]
        if place:
            before = self._hops[place - 1, :, self.tile :]
            hops[:, : before.shape[1]] += before[:, :count]
        start = frames.start * f.hop
        samples = hops.flatten(1)
        samples *= f.unweighted(self.frames)[start : start + samples.shape[-1]]
        offset = start - f.size // 2
        here = slice(max(offset, 0), max(min(offset + samples.shape[-1], self.length), 0))
        return here, samples[:, here.start - offset : here.stop - offset]

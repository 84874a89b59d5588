"""Computes the Wiener filter of `models.wiener` for two channels on a CPU, in tiles that fit into the cache.

A first pass over the frames measures the power of each source in every bin and frame, and how its channels relate in
every bin. A second one divides the mixture among the sources. Transforms of the sources are not kept, and the last
source is what the others leave of the mixture.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from stemsplit.fast.cpu.fourier import Fourier, OverlapAdd
from stemsplit.fast.cpu.pool import Pool
from stemsplit.models.wiener import DIFFUSE, SILENCE

FRAMES = 15
"""Frames of a tile: at the usual size, a stereo signal's transforms of a tile have a megabyte."""

FAINTEST = 1e-25
"""Least power that is scaled to one. Below it, squares lose digits, and sources get even shares of the mixture."""


@lru_cache(maxsize=4)
def fourier_of(size: int) -> Fourier:
    """Return the filter's transform."""
    return Fourier(size, size // 4, torch.hann_window(size))


class Covariances(NamedTuple):
    """Spatial covariances of all sources in each bin: Hermitian, two by two.

    Attributes:
        left: that of the first channel with itself, (n, f).
        right: that of the second one, (n, f).
        real: real part of that of the first channel with the second one, (n, f).
        imaginary: its imaginary part, (n, f).
    """

    left: Tensor
    right: Tensor
    real: Tensor
    imaginary: Tensor


def in_pairs(x: Tensor) -> Tensor:
    """Return complex numbers as pairs of real ones, (..., f) -> (..., 2 f)."""
    return torch.view_as_real(x).flatten(-2)


def sums_of_pairs(x: Tensor, out: Tensor | None = None) -> Tensor:
    """Add the two numbers of each pair, (..., 2 f) -> (..., f)."""
    return torch.add(x[..., ::2], x[..., 1::2], out=out)


class WienerFilter:
    """Filters the estimates of one mixture; `models.wiener.filtered` says how.

    Args:
        mixture: (2, t), t more than half of `size`, and what lies beyond its ends: see `Fourier.padded`.
        sources: (n, 2, t) estimates, likewise.
        size: STFT size, in samples.
        pool: the threads that compute.
    """

    def __init__(self, mixture: Tensor, sources: Tensor, size: int, pool: Pool) -> None:
        self.fourier = fourier_of(size)
        self.mixture, self.sources, self.pool = mixture, sources, pool
        length = mixture.shape[-1] - size
        self.refined = OverlapAdd(self.fourier, 2 * (len(sources) - 1), length, FRAMES)
        tiles, bins = self.refined.tiles(), size // 2 + 1
        self.power = torch.empty(len(sources), self.refined.frames, bins)
        sums = torch.empty(len(tiles), 4, len(sources), bins)
        pool.run(lambda i: self._measure(tiles[i], sums[i]), range(len(tiles)))
        # In the order of the tiles, whichever was first, so that the sums are always the same.
        self.level, self.covariances = self._covariances(sums.sum(0))
        pool.run(self._divide, tiles)

    def tiles(self) -> list[slice]:
        """Return what `take` is to be called with, each once, in any order and several at once."""
        return self.refined.tiles()

    def take(self, frames: slice) -> tuple[slice, Tensor]:
        """Return where a tile's samples are, and the refined sources without the last one, (n - 1, 2, samples)."""
        here, samples = self.refined.take(frames)
        return here, samples.unflatten(0, (-1, 2))

    def _measure(self, frames: slice, sums: Tensor) -> None:
        """Measure the sources' power in a tile, and sum what covariances are made of over it, (4, n, f)."""
        for n, source in enumerate(self.sources):
            spectra = self.fourier.spectra(source, frames)
            squares = in_pairs(spectra).square()
            for channel in range(2):
                sums_of_pairs(squares[channel].sum(0), out=sums[channel, n])
            sums_of_pairs(squares[0].add_(squares[1]), out=self.power[n, frames])
            product = in_pairs(spectra[0] * spectra[1].conj()).sum(0)
            sums[2, n], sums[3, n] = product[::2], product[1::2]

    def _covariances(self, sums: Tensor) -> tuple[float, Covariances]:
        """Return the power that is scaled to one, and the covariances."""
        frames, count = self.refined.frames, sums[0].numel()
        # The power in `self.power` is that of both channels together.
        both = (sums[0] + sums[1]).double()
        level = max(float(both.sum()) / (2 * count * frames), FAINTEST)
        scaled = sums.double() / level
        covariances = (scaled / ((scaled[0] + scaled[1]) / 2 + SILENCE * frames)).float()
        covariances[:2] += DIFFUSE
        return level, Covariances(*covariances.unbind())

    def _divide(self, frames: slice) -> None:
        """Divide a tile of the mixture among the sources."""
        own = torch.stack(self.covariances)
        mixed = self.fourier.spectra(self.mixture, frames)
        x = torch.stack([mixed[0].real, mixed[0].imag, mixed[1].real, mixed[1].imag])
        power = torch.add(torch.tensor(SILENCE), self.power[:, frames], alpha=0.5 / self.level)
        whole = power[0] * own[:, 0, None]
        for n in range(1, len(power)):
            whole.addcmul_(power[n], own[:, n, None])
        y = solved(Covariances(*whole.unbind()), x)
        for n in range(len(power) - 1):
            covariance = Covariances(*own[:, n, None].unbind())
            self.refined.put(applied(covariance, y * power[n]), frames, 2 * n)


def solved(whole: Covariances, x: Tensor) -> Tensor:
    """Return the y with whole y = x; both are (4, frames, f): real and imaginary parts of the two channels."""
    left, right, real, imaginary = whole
    determinant = (left * right).addcmul_(real, real, value=-1).addcmul_(imaginary, imaginary, value=-1)
    x = x / determinant
    y = torch.empty_like(x)
    torch.mul(x[:2], right, out=y[:2]).addcmul_(x[2:], real, value=-1)
    torch.mul(x[2:], left, out=y[2:]).addcmul_(x[:2], real, value=-1)
    y[0].addcmul_(x[3], imaginary)
    y[1].addcmul_(x[2], imaginary, value=-1)
    y[2].addcmul_(x[1], imaginary, value=-1)
    y[3].addcmul_(x[0], imaginary)
    return y


def applied(covariance: Covariances, y: Tensor) -> Tensor:
    """Multiply (4, frames, f) by a covariance: complex (2, frames, f)."""
    left, right, real, imaginary = covariance
    first, second = y[:2] * left, y[2:] * right
    first.addcmul_(y[2:], real)
    second.addcmul_(y[:2], real)
    result = torch.empty(2, *y.shape[1:], dtype=torch.complex64)
    parts = torch.view_as_real(result)
    torch.addcmul(first[0], y[3], imaginary, value=-1, out=parts[0, ..., 0])
    torch.addcmul(first[1], y[2], imaginary, out=parts[0, ..., 1])
    torch.addcmul(second[0], y[1], imaginary, out=parts[1, ..., 0])
    torch.addcmul(second[1], y[0], imaginary, value=-1, out=parts[1, ..., 1])
    return result

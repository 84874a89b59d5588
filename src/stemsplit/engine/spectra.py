"""Changes a song in its STFT, block by block: the song is transformed, changed, and transformed back.

Frames are weighted by a Hann window before the transform and again after its inverse, as in Griffin and Lim 1984,
"Signal estimation from modified short-time Fourier transform".
"""

from collections.abc import Callable, Iterable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.fast.cpu.pool import torch_threads

N_FFT, HOP = 2_048, 512
"""STFT size and hop, in samples at the song's own rate."""

FRAMES = 64
"""Number of frames transformed together, counted from the song's start, so that it does not depend on the blocks."""


def check(n_fft: int, hop: int) -> None:
    """Check that frames of a Hann window, weighted twice, cover every sample.

    Raises:
        ValueError: they do not.
    """
    if hop < 1 or n_fft % hop or n_fft < 2 * hop:
        raise ValueError(f"n_fft must be a multiple of hop, and at least twice as long, not {n_fft} for a hop of {hop}")


class Analysis:
    """The STFT of one song, block by block. The song counts as silent beyond its ends.

    Every sample is in n_fft / hop frames: the first frame ends after `hop` samples, the last begins at most `hop`
    samples before the song's end.

    Args:
        n_fft: STFT size, in samples.
        hop: samples between two frames' starts.

    Raises:
        ValueError: the frames do not cover every sample.
    """

    def __init__(self, n_fft: int = N_FFT, hop: int = HOP) -> None:
        check(n_fft, hop)
        self.n_fft, self.hop, self.overlap = n_fft, hop, n_fft - hop
        self._window = torch.hann_window(n_fft, dtype=torch.float64)
        self._waiting: list[Tensor] = []
        self._count = 0  # samples that wait, the last `overlap` of the frames before among them

    def put(self, block: Tensor) -> Iterator[Tensor]:
        """Yield the spectra that the next samples complete.

        Args:
            block: real (..., t), any number of samples, which nobody changes afterwards.

        Yields:
            Complex (..., f, m), f = n_fft // 2 + 1.
        """
        step = FRAMES * self.hop
        for part in block.split(step, -1) if block.shape[-1] else ():
            if not self._waiting:
                self._waiting, self._count = [part.new_zeros(*part.shape[:-1], self.overlap)], self.overlap
            self._waiting.append(part)
            self._count += part.shape[-1]
            if self._count >= self.overlap + step:
                samples = torch.cat(self._waiting, -1)
                # A copy, so that what was transformed can be freed.
                self._waiting, self._count = [samples[..., step:].clone()], self._count - step
                yield self._spectra(samples[..., : self.overlap + step])

    def end(self) -> Iterator[Tensor]:
        """Yield the rest of the spectra, as `put` does; nothing if there were no samples."""
        if self._waiting:
            samples = torch.cat(self._waiting, -1)
            frames = -(-(self._count - self.overlap) // self.hop) + self.overlap // self.hop
            self._waiting, self._count = [], 0
            yield self._spectra(F.pad(samples, (0, self.overlap + frames * self.hop - samples.shape[-1])))

    def _spectra(self, samples: Tensor) -> Tensor:
        with torch_threads(1):
            frames = samples.unfold(-1, self.n_fft, self.hop) * self._window.to(samples.dtype)
            return torch.fft.rfft(frames).transpose(-1, -2)


class Synthesis:
    """The inverse of an `Analysis` of the same size and hop. Spectra that nobody changed give the song back.

    The samples of the result come one after the other from the song's start on. After the song's end, there may be up
    to `hop` more.

    Args:
        n_fft: STFT size, in samples.
        hop: samples between two frames' starts.

    Raises:
        ValueError: the frames do not cover every sample.
    """

    def __init__(self, n_fft: int = N_FFT, hop: int = HOP) -> None:
        check(n_fft, hop)
        self.n_fft, self.hop, self.overlap = n_fft, hop, n_fft - hop
        window = torch.hann_window(n_fft, dtype=torch.float64)
        # In every hop, the squares of the windows add up to the same.
        self._window = window / window.square().unflatten(0, (-1, hop)).sum(0).repeat(n_fft // hop)
        self._tail: Tensor | None = None
        self._before = self.overlap  # samples that are still to come from before the song's start

    def put(self, spectra: Tensor) -> Tensor:
        """Return the samples that the next spectra finish.

        Args:
            spectra: complex (..., f, m).

        Returns:
            Real (..., some samples), perhaps none.
        """
        with torch_threads(1):
            frames = torch.fft.irfft(spectra.transpose(-1, -2), self.n_fft)
            frames = frames * self._window.to(frames.dtype)
            count = frames.shape[-2]
            total = frames.new_zeros(*frames.shape[:-2], count * self.hop + self.overlap)
            if self._tail is not None:
                total[..., : self.overlap] = self._tail
            hops = total.unflatten(-1, (-1, self.hop))
            for place, part in enumerate(frames.split(self.hop, -1)):
                hops[..., place : place + count, :] += part
            self._tail = total[..., count * self.hop :].clone()
            skipped = min(self._before, count * self.hop)
            self._before -= skipped
            return total[..., skipped : count * self.hop]


def changed(
    blocks: Iterable[Tensor], change: Callable[[Tensor], Tensor], n_fft: int = N_FFT, hop: int = HOP
) -> Iterator[Tensor]:
    """Change a song in its STFT, in memory that does not grow with it.

    Args:
        blocks: blocks of the song, or of several signals side by side: real (..., any number of samples) each,
            which nobody changes afterwards.
        change: called with the spectra of the signals, complex (..., f, m), some frames at a time and all in order;
            returns as many frames of as many bins, perhaps of other signals: complex (*, f, m).
        n_fft: STFT size, in samples.
        hop: samples between two frames' starts; n_fft is a multiple of it, and at least twice as long.

    Yields:
        Real (*, some samples), together as many as the blocks have. However the song is cut into blocks, the result is
        the same; only up to `FRAMES` * hop + n_fft samples are held back.

    Raises:
        ValueError: n_fft and hop do not fit together.
    """
    analysis, synthesis = Analysis(n_fft, hop), Synthesis(n_fft, hop)
    owed = 0

    def results(spectra: Iterable[Tensor]) -> Iterator[Tensor]:
        nonlocal owed
        for each in spectra:
            samples = synthesis.put(change(each))[..., :owed]
            owed -= samples.shape[-1]
            if samples.shape[-1]:
                yield samples

    for block in blocks:
        owed += block.shape[-1]
        yield from results(analysis.put(block))
    yield from results(analysis.end())

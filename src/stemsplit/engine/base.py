"""Defines the interface that a model and a chain of models share: songs in, their stems out."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stemsplit.audio import Block
from stemsplit.engine.arrays import as_mixtures, as_rate, checked_blocks
from stemsplit.engine.mixture import Mixture
from stemsplit.fast.cpu.pool import torch_threads

Pair = tuple[Block, Block]
"""Some samples of a song, (c, t), and its stems, (n, c, t)."""


class Splitter(ABC):
    """Takes songs apart: a `Separator` with one model, a `Chain` with several."""

    @property
    @abstractmethod
    def stems(self) -> tuple[str, ...]:
        """Names of the stems, in the order in which they come."""

    @property
    @abstractmethod
    def adds_up(self) -> bool:
        """Whether all stems together are the mixture."""

    @abstractmethod
    def streams(self, mixtures: Iterable[Mixture]) -> Generator[Generator[Pair, None, None], None, None]:
        """Take songs apart one after the other; a batch that one song does not fill is filled from the next.

        Args:
            mixtures: the songs; each is asked for once the previous one has been read, as far as it is needed.

        Yields:
            For each song, what `stream` yields, with the same errors. Use it up before you ask for the next song, at
            which the rest is lost.
        """

    def stream(
        self, blocks: Iterable[Block], sample_rate: int, channels: int, speakers: Sequence[str] = ()
    ) -> Generator[Pair, None, None]:
        """Take a song apart block by block, in memory that does not grow with it.

        Args:
            blocks: blocks of the song, float32 (c, any number of samples) each.
            sample_rate: sample rate of the song, and of its stems, in Hz.
            channels: number of channels of the song, and of each stem.
            speakers: their speakers, as `stemsplit.audio.Reader` has them; empty if unknown. A stereo network gets left
                and right speakers in pairs; see `Adapter`.

        Yields:
            Pairs of mixture (c, t) and stems (n, c, t), in the order of `stems`; all t together are the song's length.
            If `adds_up`, the stems add up to the mixture.

        Raises:
            ValueError: a block has another shape or type, or the sample rate is not a positive whole number.
            DeviceError: the device ran out of memory.
            StemsplitError: a network gave NaN or infinity.
        """
        song = Mixture(checked_blocks(blocks, channels), as_rate(sample_rate), channels, speakers)
        with closing(self.streams([song])) as songs:
            for results in songs:
                yield from results

    def separate(self, mixture: Tensor | npt.ArrayLike, sample_rate: int) -> dict[str, Tensor]:
        """Take a mixture in memory apart.

        Args:
            mixture: floating-point samples, 1.0 at full scale: (c, t), (t,) in mono, or a batch (b, c, t); a tensor on
                any device, or an array of NumPy or another library. An axis of more than 64 can only be samples, so
                (t, c), as soundfile reads it, is taken too. 3 to 8 channels are
                taken to be in WAV order: FL FR FC LFE BL BR for 5.1.
            sample_rate: sample rate of the mixture in Hz.

        Returns:
            Stem name -> float32 tensor on the CPU, for an array too, of the mixture's shape: (c, t) for (c, t), (t, c)
            for (t, c), and so on. `.numpy()` makes an array of each without a copy.

        Raises:
            ValueError: the mixture has no samples or another shape, holds NaN or infinity, or is of whole numbers; or
                the sample rate is not a positive whole number.
            DeviceError: the device ran out of memory.
            StemsplitError: a network gave NaN or infinity.
        """
        rate = as_rate(sample_rate)
        # The network's threads are its own, and PyTorch's may not work in a forked process.
        with torch_threads(1):
            mixtures, layout = as_mixtures(mixture)
            songs = [Mixture(iter([samples]), rate, len(samples)) for samples in mixtures.numpy()]
            with closing(self.streams(songs)) as found:
                wholes = [np.concatenate([stems for _, stems in pairs], -1) for pairs in found]
            stems = torch.from_numpy(wholes[0][:, None] if len(wholes) == 1 else np.stack(wholes, 1))
            return {name: layout.restored(stem) for name, stem in zip(self.stems, stems, strict=True)}

"""Defines the interface that a model and a chain of models share: songs in, their stems out."""

from abc import ABC, abstractmethod
from collections.abc import Generator, Iterable, Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from stemsplit.audio import Block
from stemsplit.engine.arrays import AnyArray, as_tensor
from stemsplit.engine.mixture import Mixture

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
            DeviceError: the device ran out of memory.
            StemsplitError: a network gave NaN or infinity.
        """
        with closing(self.streams([Mixture(blocks, sample_rate, channels, speakers)])) as songs:
            for results in songs:
                yield from results

    def separate(self, mixture: Tensor | AnyArray, sample_rate: int) -> dict[str, Tensor]:
        """Take a mixture in memory apart.

        Args:
            mixture: (c, t), any number of channels, of which 3 to 8 are taken to be in WAV order (FL FR FC LFE BL BR
                for 5.1); a tensor, or a NumPy array of floating-point samples.
            sample_rate: sample rate of the mixture in Hz.

        Returns:
            Stem name -> (c, t), at the mixture's rate and as long: float32 tensors on the CPU, for an array too.
            `.numpy()` makes an array of each without a copy.

        Raises:
            ValueError: the mixture has no samples or another shape, holds NaN or infinity, or is an array of integers.
            DeviceError: the device ran out of memory.
            StemsplitError: a network gave NaN or infinity.
        """
        mixture = as_tensor(mixture)
        if mixture.ndim != 2 or not mixture.numel():
            raise ValueError(f"a mixture is (channels, samples) with at least one of each, not {tuple(mixture.shape)}")
        if not mixture.isfinite().all():
            raise ValueError("the mixture holds NaN or infinity")
        samples = mixture.detach().to("cpu", torch.float32).numpy()
        parts = [stems for _, stems in self.stream([samples], sample_rate, mixture.shape[0])]
        whole = torch.from_numpy(np.concatenate(parts, -1))
        return dict(zip(self.stems, whole, strict=True))

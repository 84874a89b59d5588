"""Divides what stems leave of a song among them, in each bin of a spectrogram by itself."""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing

import numpy as np
import torch
from torch import Tensor

from stemsplit.audio import Block
from stemsplit.audio.samples import Samples
from stemsplit.engine.base import Pair
from stemsplit.engine.completion import remainder
from stemsplit.engine.spectra import changed
from stemsplit.fast.cpu.pool import torch_threads


def shares(spectra: Tensor) -> Tensor:
    """Return the share of a remainder that each stem gets, in proportion to its magnitude in each bin.

    It is the weighted mixture consistency of Wisdom et al. 2019 (arXiv:1811.08521), whose weights are here magnitudes,
    which score better than energies.

    Args:
        spectra: of the stems and then of the remainder, complex (n + 1, c, f, m).

    Returns:
        Complex (n, c, f, m), which add up to the remainder. Where no stem has anything, all shares are equal.
    """
    with torch_threads(1):
        stems, left = spectra[:-1], spectra[-1]
        sizes = stems.abs()
        total = sizes.sum(0)
        return torch.where(total > 0, sizes / total, 1 / len(stems)) * left


def _left(mixture: Block, stems: Block) -> Block:
    left: Block = remainder(torch.from_numpy(mixture), torch.from_numpy(stems)).numpy()
    return left


def divided(pairs: Generator[Pair, None, None], among: Sequence[int]) -> Generator[Pair, None, None]:
    """Divide what the stems of a song leave of it among some of them, in memory that does not grow with the song.

    Where the song and all its stems are silent, they stay so.

    Args:
        pairs: the song and its stems, see `Pair`. However they are cut, the result is the same.
        among: indices of the stems that are changed, at least one.

    Yields:
        Pairs whose stems add up to the song, except for rounding.
    """
    waiting, places = Samples(), list(among)

    def signals() -> Iterator[Tensor]:
        for mixture, stems in pairs:
            if mixture.shape[-1]:
                waiting.put(np.concatenate([mixture[None], stems]))
                yield torch.from_numpy(np.concatenate([stems[places], _left(mixture, stems)[None]]))

    with closing(pairs):
        for part in changed(signals(), shares):
            whole = waiting.take(part.shape[-1])
            mixture, stems = whole[0], whole[1:]
            stems[places] += np.where(whole.any((0, 1)), part.numpy(), np.float32(0))
            stems[places] += _left(mixture, stems) / np.float32(len(places))
            yield mixture, stems

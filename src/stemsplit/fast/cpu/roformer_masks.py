"""Computes the masks of RoFormers on a CPU, band by band."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cpu.linear import Linear
from stemsplit.fast.cpu.pool import Pool
from stemsplit.fast.cpu.roformer_attention import gain, unit
from stemsplit.models.roformer import MaskEstimator

Masks = Callable[[Tensor], Sequence[Tensor]]
"""Computes a stem's mask of each band: tokens (k, m, d) -> (m, numbers of the band) each."""


class FastMlp:
    """Computes the mask of one band from its tokens: a `MaskEstimator`'s linear layers, then a GLU."""

    def __init__(self, plain: nn.Module, dtype: torch.dtype) -> None:
        *hidden, last = (layer for layer in plain.modules() if isinstance(layer, nn.Linear))
        # Each layer is used once per chunk, which does not justify a second copy of weights that may still be in their
        # file.
        self.layers = [Linear.from_layer(layer, dtype, "tanh", packed=False) for layer in hidden]
        self.layers.append(Linear.from_layer(last, dtype, packed=False))

    def __call__(self, x: Tensor) -> Tensor:
        """(m, d) -> (m, numbers of the band)."""
        for layer in self.layers:
            x = layer(x)
        return F.glu(x.float(), -1)


class BandMasks:
    """Computes a stem's masks, each band by itself.

    Args:
        bands: the function of each band, (m, d) -> (m, numbers of the band).
        norm: the norm of the tokens before them, or an identity.
        pool: the threads that compute.
    """

    def __init__(self, bands: Sequence[Callable[[Tensor], Tensor]], norm: nn.Module, pool: Pool) -> None:
        self.bands, self.pool = bands, pool
        self.gain = None if isinstance(norm, nn.Identity) else gain(norm)

    def __call__(self, tokens: Tensor) -> list[Tensor]:
        """Compute the masks: tokens (k, m, d) -> (m, numbers of the band) each."""

        def band(index: int) -> Tensor:
            x = tokens[index] if self.gain is None else unit(tokens[index]).mul_(self.gain)
            return self.bands[index](x)

        return self.pool.map(band, range(len(self.bands)))


def masks(stem: nn.Module, norm: nn.Module, dtype: torch.dtype, pool: Pool) -> Masks:
    """Return what computes a stem's masks from tokens that still lack the network's last norm."""
    assert isinstance(stem, MaskEstimator)
    return BandMasks([FastMlp(band, dtype) for band in stem.to_freqs], norm, pool)

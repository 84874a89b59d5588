"""Computes the masks of RoFormers on a CPU, band by band."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cpu import int8
from stemsplit.fast.cpu.linear import Linear
from stemsplit.fast.cpu.pool import Pool, torch_threads
from stemsplit.fast.cpu.roformer_attention import gain, unit
from stemsplit.fast.cpu.roformer_fno import FastFourierOperator
from stemsplit.fast.cpu.roformer_layers import FastBlock
from stemsplit.models.roformer import MaskEstimator
from stemsplit.models.roformer_fno import FourierMaskEstimator
from stemsplit.models.roformer_hyperace import HyperAceMaskEstimator
from stemsplit.models.roformer_large_inst import RefiningMaskEstimator

LARGE = 1 << 16
"""Numbers of an image from which on several threads share an operation."""

Masks = Callable[[Tensor], Sequence[Tensor]]
"""Computes a stem's mask of each band: tokens (k, m, d) -> (m, numbers of the band) each."""


class FastMlp:
    """Computes the mask of one band from its tokens: a `MaskEstimator`'s linear layers, then a GLU."""

    def __init__(self, plain: nn.Module, dtype: torch.dtype) -> None:
        *hidden, last = (layer for layer in plain.modules() if isinstance(layer, nn.Linear))
        # Each layer is used once per chunk, which does not justify a second copy of weights that may still be in their
        # file. Integers are a quarter of it. Only results of tanh are rounded to them: tokens have outliers, and the
        # last layer's result is what is heard.
        exact = int8.others(dtype)
        self.layers = [Linear.from_layer(layer, exact, "tanh", packed=False) for layer in hidden[:1]]
        self.layers += [int8.kind(dtype).from_layer(layer, dtype, "tanh", packed=False) for layer in hidden[1:]]
        self.layers.append(Linear.from_layer(last, exact, packed=False))

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


def normed(tokens: Tensor, norm: nn.Module, pool: Pool) -> Tensor:
    """Return a copy of tokens (k, m, d) after a norm, or after an identity."""
    result = torch.empty_like(tokens, memory_format=torch.contiguous_format)

    def band(index: int) -> None:
        if isinstance(norm, nn.Identity):
            result[index] = tokens[index]
        else:
            torch.mul(unit(tokens[index]), gain(norm), out=result[index])

    pool.run(band, range(len(tokens)))
    return result


class RefinedMasks:
    """Computes a stem's masks from tokens that transformers refine before.

    Args:
        stem: the network that computes the masks.
        norm: the norm of the tokens before it, or an identity.
        dtype: type of the products.
        pool: the threads that compute.
    """

    def __init__(self, stem: RefiningMaskEstimator, norm: nn.Module, dtype: torch.dtype, pool: Pool) -> None:
        self.norm, self.pool = norm, pool
        pairs = [tuple(pair.children()) for pair in stem.layers]
        self.blocks = [FastBlock(time, freq, dtype, pool) for time, freq in pairs]
        self.masks = BandMasks([FastMlp(band, dtype) for band in stem.to_freqs], stem.norm, pool)

    def __call__(self, tokens: Tensor) -> list[Tensor]:
        """Compute the masks: tokens (k, m, d) -> (m, numbers of the band) each."""
        refined = normed(tokens, self.norm, self.pool)
        for block in self.blocks:
            block(refined)
        return self.masks(refined)


class ImageMasks:
    """Computes a stem's masks, each band's by itself, and adds one that PyTorch draws over all bands, in float32.

    Args:
        stem: the network that computes the masks.
        norm: the norm of the tokens before it, or an identity.
        dtype: type of the products for each band by itself.
        pool: the threads that compute.
    """

    def __init__(self, stem: HyperAceMaskEstimator, norm: nn.Module, dtype: torch.dtype, pool: Pool) -> None:
        self.stem, self.norm, self.pool = stem, norm, pool
        self.masks = BandMasks([FastMlp(band, dtype) for band in stem.to_freqs], norm, pool)

    def __call__(self, tokens: Tensor) -> list[Tensor]:
        """Compute the masks: tokens (k, m, d) -> (m, numbers of the band) each."""
        # In this order of numbers, no operation of the image's network has to copy them into another.
        image = normed(tokens, self.norm, self.pool).permute(2, 1, 0).contiguous().permute(1, 2, 0)
        # PyTorch shares each operation among its own threads, while those of the pool wait. For a small image, they
        # would take longer to wait for each other.
        threads = self.pool.threads if image.numel() >= LARGE else 1
        with torch_threads(threads), torch.inference_mode():
            added = self.stem.segm(image[None])[0]
        parts = zip(self.stem.bands, self.masks(tokens), strict=True)
        return [part + added[:, band.start : band.stop].flatten(1) for band, part in parts]


def masks(stem: nn.Module, norm: nn.Module, dtype: torch.dtype, pool: Pool) -> Masks:
    """Return what computes a stem's masks from tokens that still lack the network's last norm.

    Raises:
        TypeError: it is another kind of network.
    """
    # Exact types, because a subclass may compute something else.
    if type(stem) is RefiningMaskEstimator:
        return RefinedMasks(stem, norm, dtype, pool)
    if type(stem) is HyperAceMaskEstimator:
        return ImageMasks(stem, norm, dtype, pool)
    if type(stem) is FourierMaskEstimator:
        operators = [band.get_submodule("0") for band in stem.to_freqs]
        return BandMasks([FastFourierOperator(each, int8.others(dtype)) for each in operators], norm, pool)
    if type(stem) is MaskEstimator:
        return BandMasks([FastMlp(band, dtype) for band in stem.to_freqs], norm, pool)
    raise TypeError(f"no fast implementation of {type(stem).__name__}")

"""Converts what Python callers have, tensors and arrays of any library, to mixtures, and stems back to their layout."""

import math
from collections.abc import Iterable, Iterator
from numbers import Real
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from stemsplit.audio import Block

AnyArray = npt.NDArray[Any]

MOST_CHANNELS = 64
"""Largest number of channels of a mixture, as many as a model's entry may have. A longer axis is one of samples."""

UNCLEAR = 8
"""Samples, at least, of a mixture of more channels than that: (12, 8) may be either layout."""

MOST_RATE = 10_000_000
"""Largest sample rate in Hz; a larger one is a mistake."""

WANTED = "a mixture is (channels, samples) with at least one of each"


class Layout(NamedTuple):
    """How a caller's samples lie.

    Args:
        axes: number of axes: 1 for (t,), 2 for (c, t), 3 for (b, c, t).
        turned: whether samples come before channels: (t, c) or (b, t, c).
    """

    axes: int
    turned: bool

    def restored(self, stems: Tensor) -> Tensor:
        """Return stems (b, c, t) as the mixtures lay."""
        turned = stems.transpose(-1, -2) if self.turned else stems
        return turned.reshape(turned.shape[-1]) if self.axes == 1 else turned if self.axes == 3 else turned[0]


def _as_array(samples: object) -> AnyArray:
    """Return an object of any library as an array on the host.

    Raises:
        ValueError: it is not an array, or some of its values are masked.
    """
    if hasattr(samples, "__dlpack__") and not hasattr(samples, "__array__"):
        return torch.utils.dlpack.from_dlpack(samples).cpu().numpy()
    try:
        array = np.asarray(samples)
    except (TypeError, ValueError) as error:  # such as lists of different lengths
        raise ValueError(f"{WANTED}, not a {type(samples).__name__} that makes no array ({error})") from error
    if np.ma.is_masked(samples):
        raise ValueError(f"the mixture, {array.shape}, has masked samples; fill them first")
    return array


def as_tensor(samples: object) -> Tensor:
    """Return samples as a tensor of the same shape.

    Args:
        samples: a tensor, an array of NumPy or another library, or nested lists, of floating-point samples.

    Returns:
        float32 on the CPU, which nothing else can change if it was an array, and without a gradient.

    Raises:
        ValueError: it is anything else; integers have another full scale.
    """
    if isinstance(samples, Tensor):
        plain = samples.detach()
        if not plain.is_floating_point() or plain.layout is not torch.strided or plain.is_nested:
            raise ValueError(_refusal(str(plain.dtype).removeprefix("torch."), tuple(plain.shape)))
        return plain.to("cpu", torch.float32).resolve_neg()
    array = _as_array(samples)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(_refusal(str(array.dtype), array.shape))
    with np.errstate(over="ignore"):  # infinity is refused where samples are used
        return torch.from_numpy(np.array(array, np.float32))


def _refusal(dtype: str, shape: tuple[int, ...]) -> str:
    scale = {"int16": 2**15, "int32": 2**31}.get(dtype)
    remedy = f"; divide by {scale} first" if scale else ""
    return f"samples are floating-point numbers, 1.0 at full scale, not {dtype} of shape {shape}{remedy}"


def as_mixtures(samples: object) -> tuple[Tensor, Layout]:
    """Return a caller's samples as mixtures (b, c, t), and how they lay.

    An axis of more than `MOST_CHANNELS` is one of samples: so (t, c) is recognised, as soundfile reads it.

    Raises:
        ValueError: they have another shape, or no samples, or hold NaN or infinity, or are not floating-point numbers.
    """
    given = as_tensor(samples)
    shape = tuple(given.shape)
    if not 1 <= len(shape) <= 3 or not given.numel():
        raise ValueError(f"{WANTED}, or a batch of these, or (samples,) in mono; not {shape}")
    mixtures = given[(None,) * (3 - len(shape))]
    channels, length = mixtures.shape[-2:]
    turned = channels > MOST_CHANNELS >= length
    if channels > MOST_CHANNELS and not turned:
        raise ValueError(
            f"{WANTED}, and at most {MOST_CHANNELS} channels; a batch is (batch, channels, samples); not {shape}"
        )
    if UNCLEAR < channels <= MOST_CHANNELS and length <= UNCLEAR:
        raise ValueError(f"{WANTED}; which axis is which is unclear in {shape}")
    if not mixtures.isfinite().all():
        raise ValueError(f"the mixture, {shape}, holds NaN or infinity")
    return mixtures.transpose(-1, -2) if turned else mixtures, Layout(len(shape), turned)


def check_mixtures(_: nn.Module, given: tuple[Any, ...]) -> None:
    """Check what a network is called with, as a hook of it.

    Raises:
        ValueError: it is not a tensor (b, c, t) of floating-point numbers.
    """
    for mixtures in given:
        known = isinstance(mixtures, Tensor)
        if not known or mixtures.ndim != 3 or not mixtures.is_floating_point():
            found = f"{mixtures.dtype} of shape {tuple(mixtures.shape)}" if known else type(mixtures).__name__
            raise ValueError(f"a network takes a float32 tensor (batch, channels, samples), not {found}")


def checked_blocks(blocks: Iterable[Block], channels: int) -> Iterator[Block]:
    """Yield blocks of a song.

    Raises:
        ValueError: one is not float32 (channels, any number of samples), or holds NaN or infinity.
    """
    for block in blocks:
        known = isinstance(block, np.ndarray)
        if not known or block.ndim != 2 or len(block) != channels or block.dtype != np.float32:
            found = f"{block.dtype} of shape {block.shape}" if known else type(block).__name__
            raise ValueError(f"a block is a float32 array ({channels} channels, samples), not {found}")
        if not np.isfinite(block).all():
            raise ValueError(f"a block, {block.shape}, holds NaN or infinity")
        yield block


def as_rate(sample_rate: object) -> int:
    """Return a sample rate in Hz.

    Raises:
        ValueError: it is not a positive whole number.
    """
    # bool is a kind of int, and a tensor of one number is not a Real.
    if isinstance(sample_rate, Real) and not isinstance(sample_rate, bool):
        number = float(sample_rate)
        if math.isfinite(number) and number == int(number) and 1 <= number <= MOST_RATE:
            return int(number)
    raise ValueError(f"sample_rate must be a whole number of Hz from 1 to {MOST_RATE}, not {sample_rate!r}")

"""Weights in few bits each: whole numbers, a scale for each row of a matrix or each filter, and Huffman codes."""

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from stemsplit.errors import WeightsError

SCALE = ".scale"
"""What follows a tensor's key in that of its scales."""

SHAPE = ".shape"
"""What follows the key of a tensor whose whole numbers are Huffman-coded in that of its shape."""

LEAST = 32
"""Numbers of a row from which on a scale of its own is worth its room."""

STEPS = 127
"""Whole numbers on either side of zero."""

PLAIN = 8
"""Bits of a whole number as it is; fewer are had by coarser steps and Huffman codes."""


def step_for(bits: int) -> float:
    """The step, against a normal distribution's deviation, at which whole numbers of it hold so much information.

    Cover and Thomas 2006, "Elements of Information Theory", theorem 8.3.1.
    """
    return math.sqrt(2 * math.pi * math.e) / 2**bits


def scaled(weights: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """int8 numbers (rows, ...) and a bfloat16 scale for each row, whose products are near to `weights`."""
    rows = weights.flatten(1)
    # Rounded up, so that no weight is beyond the largest step.
    scale = rows.abs().amax(1) / STEPS * (1 + 2**-8)
    if bits < PLAIN:
        scale = scale.maximum(rows.square().mean(1).sqrt() * step_for(bits))
    scale = scale.bfloat16()
    steps = rows / scale.float().clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    return steps.round().clamp(-STEPS, STEPS).to(torch.int8).view_as(weights), scale


def coded(numbers: Tensor) -> Tensor:
    """int8 numbers as a deflate stream (RFC 1951) of Huffman codes alone: uint8 (bytes,)."""
    stream = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    data = stream.compress(numbers.numpy().tobytes()) + stream.flush()
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())


def decoded(stream: Tensor, shape: tuple[int, ...]) -> Tensor:
    """What `coded` was given, int8 of that shape.

    Raises:
        WeightsError: the stream is damaged, or holds another number of numbers.
    """
    reader = zlib.decompressobj()
    try:
        # No more than is wanted, whatever the stream may swell to.
        data = reader.decompress(stream.numpy().tobytes(), math.prod(shape) + 1)
    except zlib.error as error:
        raise WeightsError(f"a tensor's Huffman codes are damaged ({error})") from error
    if len(data) != math.prod(shape) or not reader.eof:
        raise WeightsError("a tensor's Huffman codes do not have its shape")
    return torch.from_numpy(np.frombuffer(data, np.int8).copy()).view(shape)


def halved(key: str, weights: Tensor) -> Tensor:
    """Weights in half precision.

    Raises:
        WeightsError: some are beyond what that holds.
    """
    half = weights.half()
    if half.isinf().any() and not weights.isinf().any():
        raise WeightsError(f"weights of {key} are too large for 16 bits; use 32")
    return half


def packed(tensors: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """The tensors of a network, those with long rows in so many bits a number and all others in half precision.

    Args:
        tensors: by key.
        bits: 8, or about so many where fewer: as many as normally distributed numbers would take.

    Raises:
        WeightsError: some are beyond half precision.
    """
    small: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if not value.is_floating_point():
            small[key] = value
        elif value.ndim < 2 or value[0].numel() < LEAST:
            small[key] = halved(key, value)
        else:
            small[key], small[key + SCALE] = scaled(value.float(), bits)
            if bits < PLAIN:
                small[key], small[key + SHAPE] = coded(small[key]), torch.tensor(value.shape)
    return small


def shape_of(tensors: Mapping[str, Tensor], key: str) -> tuple[int, ...]:
    """The shape that a tensor has when it is unpacked."""
    value, told = tensors[key], tensors.get(key + SHAPE)
    packed_so = value.dtype == torch.uint8 and value.ndim == 1 and key + SCALE in tensors
    if not packed_so or told is None or told.dtype != torch.int64 or told.ndim != 1:
        return tuple(value.shape)
    return tuple(max(size, 0) for size in told.tolist())


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as a file has them, those that `packed` made smaller in float32 again.

    Raises:
        WeightsError: one of these is damaged.
    """
    large = dict(tensors)
    for key, value in tensors.items():
        scale, shape = tensors.get(key + SCALE), shape_of(tensors, key)
        if scale is None or not shape or scale.shape != shape[:1]:
            continue
        numbers = decoded(value, shape) if shape != tuple(value.shape) else value
        if numbers.dtype == torch.int8:
            large[key] = numbers * large.pop(key + SCALE).float().view(-1, *[1] * (len(shape) - 1))
            large.pop(key + SHAPE, None)
    return large

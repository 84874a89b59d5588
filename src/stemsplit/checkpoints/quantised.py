"""Quantises weights: whole numbers with a scale for each row of a matrix or each filter, and Huffman codes."""

import math
import zlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from stemsplit.errors import WeightsError

SCALE = ".scale"
"""Key suffix of a tensor's scales."""

SHAPE = ".shape"
"""Key suffix of the shape of a tensor that is Huffman-coded."""

LEAST = 32
"""Smallest number of weights in a row for which a scale of its own is worth its bytes."""

STEPS = 127
"""Largest whole number; the smallest is its negative."""

PLAIN = 8
"""Bits of a whole number that is not Huffman-coded. Fewer bits need coarser steps and Huffman codes."""


def step_for(bits: int) -> float:
    """Return the step size, in standard deviations, at which normally distributed numbers take `bits` of information.

    Cover and Thomas 2006, "Elements of Information Theory", theorem 8.3.1.
    """
    return math.sqrt(2 * math.pi * math.e) / 2**bits


def scaled(weights: Tensor, bits: int) -> tuple[Tensor, Tensor]:
    """Return int8 numbers (rows, ...) and a bfloat16 scale for each row, whose products approximate `weights`."""
    rows = weights.flatten(1)
    # Rounded up, so that no weight exceeds the largest whole number.
    scale = rows.abs().amax(1) / STEPS * (1 + 2**-8)
    if bits < PLAIN:
        scale = scale.maximum(rows.square().mean(1).sqrt() * step_for(bits))
    scale = scale.bfloat16()
    steps = rows / scale.float().clamp(min=torch.finfo(torch.float32).tiny)[:, None]
    return steps.round().clamp(-STEPS, STEPS).to(torch.int8).view_as(weights), scale


def coded(numbers: Tensor) -> Tensor:
    """Return int8 numbers as a deflate stream (RFC 1951) of Huffman codes only: uint8 (bytes,)."""
    stream = zlib.compressobj(9, strategy=zlib.Z_HUFFMAN_ONLY)
    data = stream.compress(numbers.numpy().tobytes()) + stream.flush()
    return torch.from_numpy(np.frombuffer(data, np.uint8).copy())


def decoded(stream: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Undo `coded`: return int8 numbers of a shape.

    Raises:
        WeightsError: the stream is damaged, or does not have that many numbers.
    """
    reader = zlib.decompressobj()
    try:
        # Limited: a hostile stream may expand to any size.
        data = reader.decompress(stream.numpy().tobytes(), math.prod(shape) + 1)
    except zlib.error as error:
        raise WeightsError(f"a tensor's Huffman codes are damaged ({error})") from error
    if len(data) != math.prod(shape) or not reader.eof:
        raise WeightsError("a tensor's Huffman codes do not have its shape")
    return torch.from_numpy(np.frombuffer(data, np.int8).copy()).view(shape)


def halved(key: str, weights: Tensor) -> Tensor:
    """Return weights in half precision.

    Raises:
        WeightsError: some are too large for it.
    """
    half = weights.half()
    if half.isinf().any() and not weights.isinf().any():
        raise WeightsError(f"weights of {key} are too large for 16 bits; use 32")
    return half


def packed(tensors: Mapping[str, Tensor], bits: int) -> dict[str, Tensor]:
    """Quantise the tensors of a network that have long rows, and return all others in half precision.

    Args:
        tensors: tensors by key.
        bits: bits per number. Below 8 this is approximate: it holds for normally distributed numbers.

    Raises:
        WeightsError: some weights are too large for half precision.
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
    """Return the shape of a tensor after unpacking."""
    value, shape = tensors[key], tensors.get(key + SHAPE)
    is_coded = value.dtype == torch.uint8 and value.ndim == 1 and key + SCALE in tensors
    if not is_coded or shape is None or shape.dtype != torch.int64 or shape.ndim != 1:
        return tuple(value.shape)
    return tuple(max(size, 0) for size in shape.tolist())


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `packed`: return the tensors of a file, the quantised ones in float32.

    Raises:
        WeightsError: a quantised tensor is damaged.
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

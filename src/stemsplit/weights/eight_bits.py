"""Weights in eight bits each: whole numbers, and a scale for each row of a matrix or each filter."""

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
"""What follows a tensor's key in that of its scales."""

LEAST = 32
"""Numbers of a row from which on a scale of its own is worth its room."""

STEPS = 127
"""Whole numbers on either side of zero."""


def scaled(weights: Tensor) -> tuple[Tensor, Tensor]:
    """int8 numbers (rows, ...) and a bfloat16 scale for each row, whose products are nearest to `weights`."""
    # Rounded up, so that no weight is beyond the largest step.
    scale = (weights.flatten(1).abs().amax(1) / STEPS * (1 + 2**-8)).bfloat16()
    steps = weights / scale.float().clamp(min=torch.finfo(torch.float32).tiny).view(-1, *[1] * (weights.ndim - 1))
    return steps.round().clamp(-STEPS, STEPS).to(torch.int8), scale


def packed(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a network, those with long rows in eight bits and all others in half precision."""
    small: dict[str, Tensor] = {}
    for key, value in tensors.items():
        if not value.is_floating_point():
            small[key] = value
        elif value.ndim < 2 or value[0].numel() < LEAST:
            small[key] = value.half()
        else:
            small[key], small[key + SCALE] = scaled(value.float())
    return small


def unpacked(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors as a file has them, those that `packed` made smaller in float32 again."""
    large = dict(tensors)
    for key, value in tensors.items():
        scale = tensors.get(key + SCALE)
        if value.dtype == torch.int8 and scale is not None and scale.shape == value.shape[:1]:
            large[key] = value * large.pop(key + SCALE).float().view(-1, *[1] * (value.ndim - 1))
    return large

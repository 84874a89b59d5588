"""Converts samples from Python callers, tensors or NumPy arrays, to tensors."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

AnyArray = npt.NDArray[Any]


def as_tensor(samples: Tensor | AnyArray) -> Tensor:
    """Return samples as a tensor of the same shape.

    Args:
        samples: a tensor, which is returned as it is, or an array of floating-point samples, which is copied.

    Raises:
        ValueError: an array of anything else; integers have another full scale.
    """
    if isinstance(samples, Tensor):
        return samples
    array = np.asarray(samples)
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"samples are floating-point numbers, 1.0 at full scale, not {array.dtype}")
    with np.errstate(over="ignore"):  # infinity is refused where samples are used
        return torch.from_numpy(np.array(array, np.float32))

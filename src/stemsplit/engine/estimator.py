"""The estimates of a network on a device: batches, half precision and its fallback, silence, NaN."""

from torch import Tensor

BATCHES = {"cuda": 4}
"""Kind of device -> chunks that are computed together, where one alone leaves it idle."""


def finite(x: Tensor) -> bool:
    """Whether a tensor holds neither NaN nor infinity."""
    # One would show in the sum, which takes a fraction of the time; and the sum alone may be too large.
    return bool(x.sum().isfinite()) or bool(x.isfinite().all())

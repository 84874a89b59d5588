"""Keeps float32 exact on CUDA devices, where PyTorch rounds the factors of convolutions to TF32 unless told not to."""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import torch

KINDS = (torch.backends.cudnn.conv, torch.backends.cudnn.rnn)  # type: ignore[attr-defined]
"""Operations that PyTorch computes in TF32 by default: convolutions and recurrent layers. Other products are exact."""

_lock = Lock()
_inside: list[list[str]] = []
"""For each thread that is within `exact`, the settings to restore: those before the first of them."""


@contextmanager
def exact(wanted: bool = True) -> Iterator[None]:
    """Compute convolutions and recurrent layers of float32 in float32. The setting is that of the whole process.

    Args:
        wanted: whether to; otherwise nothing changes.
    """
    if not wanted:
        yield
        return
    with _lock:
        _inside.append(_inside[0] if _inside else [kind.fp32_precision for kind in KINDS])
        _set(["ieee"] * len(KINDS))
    try:
        yield
    finally:
        with _lock:
            before = _inside.pop()
            if not _inside:  # another thread may still compute
                _set(before)


def _set(precisions: list[str]) -> None:
    for kind, precision in zip(KINDS, precisions, strict=True):
        kind.fp32_precision = precision

"""Keeps each thread's memory for intermediate results, because memory that is new to a process is slow to write."""

import math
import threading

import torch
from torch import Tensor


class Scratch(threading.local):
    """Lends tensors of any shape; each thread has its own.

    A tensor's numbers are valid until the same thread asks for the same name again.
    """

    def __init__(self) -> None:
        self.kept: dict[tuple[str, torch.dtype], Tensor] = {}

    def __call__(self, name: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        """Return a contiguous tensor with arbitrary numbers."""
        size = math.prod(shape)
        kept = self.kept.get((name, dtype))
        if kept is None or len(kept) < size:
            with torch.inference_mode(False):  # so that it can be used in this mode and outside it
                kept = self.kept[name, dtype] = torch.empty(size, dtype=dtype)
        return kept[:size].view(shape)


SCRATCH = Scratch()

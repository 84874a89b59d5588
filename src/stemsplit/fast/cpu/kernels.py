"""Chooses which of PyTorch's libraries computes an operation on this CPU."""

import torch

# oneDNN is called as PyTorch's compiler does, because no public function keeps packed weights. PyTorch is pinned to one
# version.
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this build of PyTorch has oneDNN. Without it, as on Apple's machines, PyTorch's own product is used."""


def packs(dtype: torch.dtype) -> bool:
    """Return whether products with weights are oneDNN's, with packed weights, rather than those of PyTorch's BLAS."""
    return ONEDNN and not (dtype == torch.float32 and torch.backends.mkl.is_available())

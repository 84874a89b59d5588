"""Computes linear layers with weights that are laid out for this CPU."""

from collections.abc import Callable
from typing import Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

Activation = Literal["none", "gelu", "tanh", "relu"]

# oneDNN is called as PyTorch's compiler does, because no public function keeps packed weights. PyTorch is pinned to one
# version.
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this build of PyTorch has oneDNN. Without it, as on Apple's machines, PyTorch's own product is used."""

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "tanh": torch.tanh, "relu": torch.relu}

ROWS = 800
"""Number of rows that packed weights are optimised for: about the frames of an 8-second chunk."""


class Linear:
    """Computes x @ weight.mT + bias, then an activation.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        dtype: type of the product, float32 or bfloat16.
        activation: activation after the product.
        packed: whether to keep a copy of the weights in the order in which the product reads them, which is a tenth
            faster. Weights that are not in `dtype` are copied in any case.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype = torch.float32,
        activation: Activation = "none",
        *,
        packed: bool = True,
    ) -> None:
        self.dtype, self.activation = dtype, activation
        same = weight.dtype == dtype
        self.weight = weight.to(dtype).contiguous()
        if ONEDNN and (packed or not same):
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, ROWS)
        self.bias = None if bias is None else bias.to(dtype)

    @classmethod
    def from_layer(
        cls,
        layer: nn.Module,
        dtype: torch.dtype = torch.float32,
        activation: Activation = "none",
        *,
        gain: Tensor | None = None,
        packed: bool = True,
    ) -> Self:
        """Make the layer from an `nn.Linear`, with its inputs multiplied by `gain`, (inputs,)."""
        assert isinstance(layer, nn.Linear)
        weight = layer.weight if gain is None else layer.weight * gain
        return cls(weight, layer.bias, dtype, activation, packed=packed)

    def __call__(self, x: Tensor) -> Tensor:
        """Apply the layer, (rows, inputs) -> (rows, outputs) in `dtype`."""
        x = x.to(self.dtype)
        if ONEDNN:
            approximation = "none" if self.activation == "gelu" else ""  # GELU could be approximated by tanh
            return torch.ops.mkldnn._linear_pointwise(x, self.weight, self.bias, self.activation, [], approximation)
        y = F.linear(x, self.weight, self.bias)
        return ACTIVATIONS[self.activation](y) if self.activation != "none" else y


def product(a: Tensor, b: Tensor) -> Tensor:
    """Return a @ b.mT.

    Args:
        a: (rows, inner).
        b: (columns, inner), contiguous or the transpose of a contiguous matrix.
    """
    if ONEDNN:
        return torch.ops.mkldnn._linear_pointwise(a, b, None, "none", [], "")
    return a @ b.mT

"""Computes linear layers with the library that is fastest on this CPU."""

from collections.abc import Callable
from typing import Literal, Self

import torch
from torch import Tensor, nn

from stemsplit.fast.cpu.kernels import choose
from stemsplit.fast.cpu.scratch import SCRATCH

Activation = Literal["none", "gelu", "tanh", "relu"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": torch.ops.aten.gelu_,
    "tanh": torch.tanh_,
    "relu": torch.relu_,
}
"""Activations in place."""

ROWS = 800
"""Number of rows that packed weights are optimised for: about the frames of an 8-second chunk."""

# oneDNN is called as PyTorch's compiler does, because no public function keeps packed weights. PyTorch is pinned to one
# version.
ONEDNN = torch.backends.mkldnn.is_available() and hasattr(torch.ops.mkldnn, "_linear_pointwise")
"""Whether this build of PyTorch has oneDNN. Without it, as on Apple's machines, PyTorch's own product is used."""

EXAMPLE = 400, 384, 1_536
"""Rows, inputs and outputs of the product that is measured."""


def packs(dtype: torch.dtype) -> bool:
    """Return whether products with weights are oneDNN's, with packed weights, rather than those of PyTorch's BLAS."""
    if not ONEDNN:
        return False
    rows, inputs, outputs = EXAMPLE

    def example(onednn: bool) -> Callable[[], object]:
        weight, x = torch.rand(outputs, inputs), torch.rand(rows, inputs).to(dtype)
        layer = Linear(weight, None, dtype, onednn=onednn)
        return lambda: layer(x, "example")

    kernels = {"oneDNN": lambda: example(True), "BLAS": lambda: example(False)}
    if dtype == torch.float32 and torch.backends.mkl.is_available():
        kernels = dict(reversed(kernels.items()))
    return choose("products with weights", dtype, kernels, 2.0 * rows * inputs * outputs) == "oneDNN"


def product(x: Tensor, weight: Tensor, bias: Tensor | None = None, activation: Activation = "none") -> Tensor:
    """Return oneDNN's x @ weight.mT + bias, then an activation: (rows, inputs) -> (rows, outputs).

    Args:
        x: inputs, in one piece.
        weight: (outputs, inputs) in one piece, or what oneDNN packed them into.
        bias: (outputs,), or None.
        activation: activation after the product.
    """
    approximation = "none" if activation == "gelu" else ""  # GELU could be approximated by tanh
    result: Tensor = torch.ops.mkldnn._linear_pointwise(x, weight, bias, activation, [], approximation)
    return result


class Linear:
    """Computes x @ weight.mT + bias, then an activation.

    Args:
        weight: (outputs, inputs).
        bias: (outputs,), or None.
        dtype: type of the product, float32 or bfloat16.
        activation: activation after the product.
        packed: whether a copy of the weights in the order in which the product reads them may be kept, where that is
            faster. Weights that are not in `dtype` are copied in any case.
        onednn: whether oneDNN computes the product; None for what is faster on this machine.
        ones: whether the inputs may be followed by a column of ones, which adds the bias at no cost; see `takes_ones`.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype = torch.float32,
        activation: Activation = "none",
        *,
        packed: bool = True,
        ones: bool = False,
        onednn: bool | None = None,
    ) -> None:
        self.dtype, self.activation, self.outputs = dtype, activation, len(weight)
        self.onednn = packs(dtype) if onednn is None else onednn
        same = weight.dtype == dtype
        weight = weight.to(dtype)
        self.bias = None if bias is None else bias.to(dtype)
        self.takes_ones = ones and self.bias is not None and not self.onednn
        """Whether `__call__` expects a last column of ones."""
        if self.takes_ones and self.bias is not None:
            weight, self.bias = torch.cat([weight, self.bias[:, None]], 1), None
        self.weight = weight.contiguous()
        if self.onednn and (packed or not same):
            self.weight = torch.ops.mkldnn._reorder_linear_weight(self.weight, ROWS)

    @property
    def library(self) -> str:
        """Name of the library that computes the product."""
        if self.onednn:
            return "oneDNN"
        return "MKL" if torch.backends.mkl.is_available() else "PyTorch's BLAS"

    @classmethod
    def from_layer(
        cls,
        layer: nn.Module,
        dtype: torch.dtype = torch.float32,
        activation: Activation = "none",
        *,
        gain: Tensor | None = None,
        packed: bool = True,
        ones: bool = False,
    ) -> Self:
        """Make the layer from an `nn.Linear`, with its inputs multiplied by `gain`, (inputs,)."""
        assert isinstance(layer, nn.Linear)
        weight = layer.weight if gain is None else layer.weight * gain
        return cls(weight, layer.bias, dtype, activation, packed=packed, ones=ones)

    def __call__(self, x: Tensor, scratch: str = "") -> Tensor:
        """Apply the layer, (rows, inputs) -> (rows, outputs) in `dtype`.

        Args:
            x: inputs, in any type.
            scratch: name of the thread's scratch memory that may hold the result.
        """
        x = x.to(self.dtype)
        if self.onednn:
            return product(x, self.weight, self.bias, self.activation)
        if scratch:
            y = torch.mm(x, self.weight.mT, out=SCRATCH(scratch, len(x), self.outputs, dtype=self.dtype))
        else:
            y = torch.mm(x, self.weight.mT)
        if self.bias is not None:
            y.add_(self.bias)
        return ACTIVATIONS[self.activation](y) if self.activation != "none" else y

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the layer's result, without an activation, to float32 numbers (rows, outputs) in place."""
        if self.onednn or self.dtype != total.dtype:
            total.add_(self(x))
            return
        total.addmm_(x, self.weight.mT)
        if self.bias is not None:
            total.add_(self.bias)

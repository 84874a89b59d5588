"""Computes linear layers with products of 8-bit integers, on CPUs that have instructions for them.

Weights are rounded once, with a scale for each output. Inputs are rounded as they come: those of a product on which
others depend nonlinearly with one scale for all rows, which the product applies itself, and those of a product that is
added to tokens with a scale for each row. Nothing is calibrated, so a result depends on its own song only.
"""

import math
import time
from collections.abc import Callable
from functools import cache

import torch
from torch import Tensor

from stemsplit.fast.cpu.linear import Activation, Linear
from stemsplit.fast.cpu.scratch import SCRATCH

ZERO = 128
"""Integer that stands for 0: the instructions multiply unsigned inputs by signed weights."""

LARGEST = 127
"""Largest integer of a weight, and of an input after `ZERO` was subtracted."""

LEAST_GELU = -0.17
"""What no result of GELU is below."""

SMALLEST = 1e-30
"""Smallest scale, in place of that of zeros, whose reciprocal would be infinite."""

ROWS = 240
"""Most tokens that a feed-forward layer computes at once, as each of its features is passed over several times."""

SLOWER = 2
"""How many times as long as in float32 a product may take, lest a busy CPU be thought unable. Without a kernel for this
CPU, it takes a thousand."""


class Int8Linear(Linear):
    """Computes a `Linear` with integers: inputs and results are float32.

    Numbers that are not finite give NaN, which the estimator notices.
    """

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor | None,
        dtype: torch.dtype = torch.int8,
        activation: Activation = "none",
        *,
        packed: bool = True,
        ones: bool = False,
        onednn: bool | None = None,
    ) -> None:
        del dtype, packed, ones, onednn  # oneDNN multiplies packed integers, and adds the bias
        self.onednn = True
        self.dtype, self.activation, self.outputs, self.takes_ones = torch.float32, activation, len(weight), False
        weight = weight.detach().float()
        self.scales = weight.abs().amax(1).div_(LARGEST).clamp_min_(SMALLEST)
        integers = (weight / self.scales[:, None]).round_().to(torch.int8)
        self.zeros = torch.zeros(len(weight), dtype=torch.int32)
        self.weight = torch.ops.onednn.qlinear_prepack(integers, None)
        self.bias = None if bias is None else bias.detach().float()
        self.finite = bool(torch.isfinite(self.scales).all())
        self.prepare(weight.shape[1])

    def prepare(self, inputs: int) -> None:
        """Compute what else is needed, for a number of inputs, once the weights are there: here nothing."""

    def __call__(self, x: Tensor, scratch: str = "") -> Tensor:  # noqa: ARG002 (the product makes its own memory)
        """Apply the layer, float32 (rows, inputs) -> (rows, outputs)."""
        low, high = torch.aminmax(x)
        scale = max(-float(low), float(high)) / LARGEST
        if not (math.isfinite(scale) and math.isfinite(float(low)) and self.finite):
            return x.new_full((len(x), self.outputs), torch.nan)
        scale = max(scale, SMALLEST)
        integers = rounded(torch.mul(x, 1 / scale, out=SCRATCH("scaled", *x.shape)))
        return self.product(integers, scale, ZERO, self.bias, self.activation)

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the layer's result, without an activation, to float32 numbers (rows, outputs) in place.

        What is given as inputs is overwritten.
        """
        scales = torch.abs(x, out=SCRATCH("scaled", *x.shape)).amax(1, keepdim=True)
        scales.div_(LARGEST).clamp_min_(SMALLEST)
        self.add_scaled(total, rounded(x.mul_(scales.reciprocal())), scales, ZERO, self.bias)

    def add_scaled(self, total: Tensor, integers: Tensor, scales: Tensor, zero: int, bias: Tensor | None) -> None:
        """Add the product of integers, whose rows have scales (rows, 1), and a bias."""
        # Infinite scales make numbers that are not finite here, which a row of integers could not hold.
        total.addcmul_(self.product(integers, 1.0, zero, None, "none"), scales)
        if bias is not None:
            total.add_(bias)

    def product(self, integers: Tensor, scale: float, zero: int, bias: Tensor | None, activation: Activation) -> Tensor:
        """Multiply unsigned integers, each standing for scale * (integer - zero), by the weights: float32."""
        approximation = "none" if activation == "gelu" else ""
        result: Tensor = torch.ops.onednn.qlinear_pointwise(
            integers, scale, zero, self.weight, self.scales, self.zeros, bias, 1.0, 0, torch.float32, activation, [],
            approximation,
        )  # fmt: skip
        return result


class AfterGelu(Int8Linear):
    """Computes an `Int8Linear` of results of GELU, which need no integers for numbers far below 0."""

    def prepare(self, inputs: int) -> None:
        """Make the bias up for the least input, which stands for 0."""
        ones = torch.ones(1, inputs, dtype=torch.uint8)
        self.offset = self.product(ones, 1.0, 0, None, "none")[0] * LEAST_GELU
        if self.bias is not None:
            self.offset += self.bias

    def add_to(self, total: Tensor, x: Tensor) -> None:
        """Add the layer's result as `Int8Linear` does."""
        scales = (x.amax(1, keepdim=True) - LEAST_GELU).div_(2 * LARGEST).clamp_min_(SMALLEST)
        factors = scales.reciprocal()
        integers = rounded(x.mul_(factors).add_(-LEAST_GELU * factors - ZERO))
        self.add_scaled(total, integers, scales, 0, self.offset)


def kind(dtype: torch.dtype, *, after_gelu: bool = False) -> type[Linear]:
    """Return the class of a transformer's layers for a type of products."""
    return Linear if dtype != torch.int8 else AfterGelu if after_gelu else Int8Linear


def others(dtype: torch.dtype) -> torch.dtype:
    """Return the type of all that is not a product with a transformer's weights."""
    return torch.float32 if dtype == torch.int8 else dtype


def rounded(x: Tensor) -> Tensor:
    """Round numbers from -`ZERO` to below `ZERO` in place, and return them plus `ZERO`, in the thread's scratch memory.

    The conversion to signed integers is several times as fast as that to unsigned ones.
    """
    signed = SCRATCH("integers", *x.shape, dtype=torch.int8).copy_(x.round_())
    return signed.view(torch.uint8).bitwise_xor_(ZERO)


@cache
def native_int8() -> bool:
    """Return whether this CPU computes products of integers exactly, and at all fast."""
    if not (hasattr(torch.ops.onednn, "qlinear_pointwise") and torch.cpu.get_capabilities().get("avx512_vnni")):
        return False
    side = 256  # much smaller ones take as long with any kernel
    inputs, weights = torch.full((side, side), 2.0), torch.full((side, side), 1.0)
    weights[::2] *= -1  # older instructions add pairs of products in 16 bits, which overflows here
    try:
        layer = Int8Linear(weights, None)
        exact = torch.allclose(layer(inputs), inputs @ weights.mT, rtol=1e-5)
    except RuntimeError:
        return False
    return exact and least(lambda: layer(inputs)) < SLOWER * least(lambda: inputs @ weights.mT)


def least(work: Callable[[], object]) -> float:
    """Return the least of a few times that a call takes, in seconds."""
    times = []
    for _ in range(5):
        started = time.perf_counter()
        work()
        times.append(time.perf_counter() - started)
    return min(times)

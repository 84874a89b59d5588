"""Computes the attention of RoFormers on a tile of tokens; see `stemsplit.fast.cpu.roformer`."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cpu import int8
from stemsplit.fast.cpu.attended import LANES, Window, attended, attended_within
from stemsplit.fast.cpu.linear import Linear, packs
from stemsplit.fast.cpu.scratch import SCRATCH
from stemsplit.models.roformer_layers import Attention, RMSNorm, RotaryEmbedding
from stemsplit.models.roformer_value_residual import MixingAttention
from stemsplit.models.roformer_windowed import WindowedAttention

KINDS = (Attention, MixingAttention, WindowedAttention)
"""The layers that `FastAttention` computes."""


def unit(x: Tensor) -> Tensor:
    """Scale each token (..., d) to length 1; silence stays silence."""
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12)


def normed(x: Tensor, layer: Linear) -> Tensor:
    """Return tokens (rows, d) scaled to length 1 as the inputs of a layer, in the thread's scratch memory."""
    rows, d = x.shape
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12)
    inputs = SCRATCH("inputs", rows, d + layer.takes_ones)
    if layer.takes_ones:
        inputs[:, d] = 1
    torch.div(x, length, out=inputs[:, :d])
    if layer.dtype == inputs.dtype:
        return inputs
    return SCRATCH("inputs", *inputs.shape, dtype=layer.dtype).copy_(inputs)


def gain(norm: nn.Module) -> Tensor:
    """Return what a norm multiplies a token of length 1 by, (d,)."""
    assert isinstance(norm, RMSNorm)
    return norm.gamma.float() * math.sqrt(len(norm.gamma))


@lru_cache(maxsize=8)
def rotations(frequencies: tuple[float, ...], tokens: int) -> Tensor:
    """Return the rotation of each pair of features at each position, complex (tokens, d / 2)."""
    angles = torch.arange(tokens)[:, None] * torch.tensor(frequencies)
    return torch.polar(torch.ones_like(angles), angles)


class FastAttention:
    """Computes attention on a tile.

    Args:
        plain: one of `KINDS`.
        dtype: type of the products.
        keeps: whether its values are those with which later layers mix theirs.

    Raises:
        TypeError: it is another kind of attention.
    """

    def __init__(self, plain: nn.Module, dtype: torch.dtype, keeps: bool = False) -> None:
        if type(plain) not in KINDS:  # a subclass may compute something else
            raise TypeError(f"no fast implementation of {type(plain).__name__}")
        assert isinstance(plain, Attention)
        self.heads, self.dtype, self.keeps = plain.heads, int8.others(dtype), keeps
        self.positions = plain.get_submodule(plain.positions)
        if isinstance(self.positions, RotaryEmbedding):
            self.frequencies = tuple(self.positions.freqs.tolist())
        self.inner = plain.to_qkv.out_features // 3
        self.scale = plain.scale
        self.window = Window(plain.sinks, plain.reach) if isinstance(plain, WindowedAttention) else None
        self.mixes = isinstance(plain, MixingAttention)
        # Queries, keys, values, gates and shares are computed in one product.
        layers = [plain.to_qkv, plain.to_gates]
        if isinstance(plain, MixingAttention):
            layers.append(plain.to_value_residual_mix)
        weight = torch.cat([layer.weight for layer in layers]) * gain(plain.norm)
        bias = torch.cat([torch.zeros(len(x.weight)) if x.bias is None else x.bias.float() for x in layers])
        if isinstance(self.positions, RotaryEmbedding):
            weight[: self.inner] *= self.scale
            bias[: self.inner] *= self.scale
        # A rotation takes pairs of numbers. Some widths that are not multiples of `LANES` are slow in oneDNN.
        padding = -len(bias) % (LANES if dtype == torch.int8 or packs(dtype) else 2)
        weight, bias = F.pad(weight, (0, 0, 0, padding)), F.pad(bias, (0, padding))
        self.project = int8.kind(dtype)(weight, bias, dtype, ones=True)
        self.out = int8.kind(dtype).from_layer(plain.to_out[0], dtype)

    def positioned(self, queries_keys: Tensor) -> tuple[Tensor, Tensor]:
        """Encode positions: (g, tokens, 2 * inner) -> scaled queries and keys, (g, tokens, heads, d) each.

        What is given is overwritten.
        """
        if isinstance(self.positions, RotaryEmbedding):
            numbers = queries_keys
            if self.dtype != torch.float32:
                numbers = SCRATCH("numbers", *queries_keys.shape).copy_(queries_keys)
            # Pairs of features are complex numbers, and a rotation is a product.
            pairs = torch.view_as_complex(numbers.unflatten(-1, (2 * self.heads, -1, 2)))
            pairs.mul_(rotations(self.frequencies, numbers.shape[1])[:, None])
            if numbers is not queries_keys:
                queries_keys.copy_(numbers)
            queries, keys = queries_keys.unflatten(-1, (2, self.heads, -1)).unbind(2)
            return queries, keys
        heads = queries_keys.float().unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = (x.to(self.dtype).transpose(1, 2) for x in self.positions(*heads))
        return queries * self.scale, keys

    def per_head(self, projected: Tensor, place: int) -> Tensor:
        """Return the sigmoid of the gates (`place` 0) or shares (1) of each head, float32 (g, tokens, heads)."""
        start = 3 * self.inner + place * self.heads
        return projected[..., start : start + self.heads].float().sigmoid()

    def add_to(self, x: Tensor, groups: int, first: Tensor | None = None) -> None:
        """Attend within each group, and add the result to the tokens.

        Args:
            x: float32 tokens, (g * tokens, d).
            groups: number of groups.
            first: where the values of these tokens are kept that later layers mix with, (g * tokens, inner); None if
                no layer does.
        """
        projected = self.project(normed(x, self.project), "projected").unflatten(0, (groups, -1))
        queries, keys = self.positioned(projected[..., : 2 * self.inner])
        values = projected[..., 2 * self.inner : 3 * self.inner].unflatten(-1, (self.heads, -1))
        if first is not None and self.keeps:
            first.view(values.shape).copy_(values)
        elif first is not None and self.mixes:
            shares = self.per_head(projected, 1).to(self.dtype)
            values = values.lerp(first.view(values.shape), shares[..., None])
        result = SCRATCH("attended", *values.shape, dtype=self.dtype)
        if self.window is None:
            sums = attended(queries, keys, values, result)
        else:
            sums = attended_within(self.window, queries, keys, values, result)
        result.mul_(self.per_head(projected, 0).div_(sums).to(self.dtype)[..., None])
        self.out.add_to(x, result.view(len(x), self.inner))

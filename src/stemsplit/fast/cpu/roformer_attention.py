"""Computes the attention of RoFormers on a tile of tokens; see `stemsplit.fast.cpu.roformer`."""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cpu.attended import LANES, Window, attended, attended_within
from stemsplit.fast.cpu.linear import Linear
from stemsplit.models.roformer_layers import Attention, RMSNorm, RotaryEmbedding
from stemsplit.models.roformer_value_residual import MixingAttention
from stemsplit.models.roformer_windowed import WindowedAttention

KINDS = (Attention, MixingAttention, WindowedAttention)
"""The layers that `FastAttention` computes."""


def unit(x: Tensor) -> Tensor:
    """Scale each token (..., d) to length 1; silence stays silence."""
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12)


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
        self.heads, self.dtype, self.keeps = plain.heads, dtype, keeps
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
        # Some widths that are not multiples of `LANES` are slow.
        padding = -len(bias) % LANES
        self.project = Linear(F.pad(weight, (0, 0, 0, padding)), F.pad(bias, (0, padding)), dtype)
        self.out = Linear.from_layer(plain.to_out[0], dtype)

    def positioned(self, queries_keys: Tensor, padded: int) -> tuple[Tensor, Tensor]:
        """Encode positions: queries and keys (g, tokens, 2 * inner) -> scaled (g * heads, padded, d) each.

        Zeros follow after the tokens.
        """
        groups, tokens, _ = queries_keys.shape
        if isinstance(self.positions, RotaryEmbedding):
            # Pairs of features are complex numbers, and a rotation is a product.
            numbers = queries_keys.float().unflatten(-1, (2, self.heads, -1, 2))
            pairs = torch.view_as_complex(numbers).permute(2, 0, 3, 1, 4)
            rotated = empty_padded(2, groups, self.heads, tokens, padded, pairs.shape[-1], dtype=pairs.dtype)
            torch.mul(pairs, rotations(self.frequencies, tokens), out=rotated[..., :tokens, :])
            queries, keys = torch.view_as_real(rotated).flatten(-2).to(self.dtype)
        else:
            heads = queries_keys.float().unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
            queries, keys = (F.pad(x, (0, 0, 0, padded - tokens)).to(self.dtype) for x in self.positions(*heads))
            queries = queries * self.scale
        return queries.flatten(0, 1), keys.flatten(0, 1)

    def per_head(self, projected: Tensor, place: int) -> Tensor:
        """Return the sigmoid of the gates (`place` 0) or shares (1) of each head, (g, tokens, heads, 1)."""
        start = 3 * self.inner + place * self.heads
        return projected[..., start : start + self.heads].float().sigmoid().to(self.dtype)[..., None]

    def __call__(self, x: Tensor, groups: int, first: Tensor | None = None) -> Tensor:
        """Attend within each group.

        Args:
            x: tokens, (g * tokens, d).
            groups: number of groups.
            first: where the values of these tokens are kept that later layers mix with, (g * tokens, inner); None if
                no layer does.

        Returns:
            (g * tokens, d) in the layer's type.
        """
        projected = self.project(unit(x)).unflatten(0, (groups, -1))
        tokens = projected.shape[1]
        padded = -(-tokens // LANES) * LANES
        queries, keys = self.positioned(projected[..., : 2 * self.inner], padded)
        heads = projected[..., 2 * self.inner : 3 * self.inner].unflatten(-1, (self.heads, -1))
        if first is not None and self.keeps:
            first.view(heads.shape).copy_(heads)
        elif first is not None and self.mixes:
            heads = heads.lerp(first.view(heads.shape), self.per_head(projected, 1))
        heads = heads.transpose(1, 2)
        values = empty_padded(groups, self.heads, tokens, padded, heads.shape[-1], dtype=self.dtype)
        values[..., :tokens, :] = heads
        values = values.flatten(0, 1)
        if self.window is None:
            result = attended(queries, keys, values, tokens)
        else:
            result = attended_within(self.window, queries, keys, values, tokens)
        gated = x.new_empty(groups, tokens, self.heads, heads.shape[-1], dtype=self.dtype)
        by_token = result.unflatten(0, (groups, self.heads)).transpose(1, 2)
        torch.mul(by_token, self.per_head(projected, 0), out=gated)
        return self.out(gated.view(len(x), self.inner))


def empty_padded(*shape: int, dtype: torch.dtype) -> Tensor:
    """Make a tensor (..., padded, d) with zeros after its tokens, and the tokens uninitialised.

    Args:
        shape: (..., tokens, padded, d).
        dtype: type of the tensor.
    """
    *before, tokens, padded, d = shape
    tensor = torch.empty(*before, padded, d, dtype=dtype)
    tensor[..., tokens:, :] = 0
    return tensor

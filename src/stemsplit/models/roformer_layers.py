"""The layers of the RoFormers' transformers. Attribute names are the keys of the published checkpoints."""

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class RMSNorm(nn.Module):
    """Scales the features to a root mean square of 1, then by `gamma`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        return F.normalize(x, dim=-1) * math.sqrt(x.shape[-1]) * self.gamma


def inverse_powers(exponents: Tensor) -> Tensor:
    """Return the angles per position, which fall from 1: 10,000 to the power of minus the exponents.

    The exponents must be on the CPU. In a network that is built on the meta device, these would be the only numbers to
    compute there, and PyTorch would import its compiler for them.
    """
    return 10_000**-exponents


class RotaryEmbedding(nn.Module):
    """Rotates neighbouring pairs of a head's features by an angle that grows with the position (arXiv:2104.09864)."""

    def __init__(self, dim_head: int) -> None:
        super().__init__()
        self.freqs = nn.Parameter(inverse_powers(torch.arange(0, dim_head, 2, device="cpu") / dim_head), False)

    def forward(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Rotate queries and keys, (b, heads, tokens, d) each -> the same shapes."""
        # Always in float32: bfloat16 cannot represent all whole numbers above 256.
        positions = torch.arange(queries.shape[-2], device=queries.device, dtype=torch.float32)
        angles = positions[:, None] * self.freqs.float()
        cos, sin = angles.cos().to(queries.dtype), angles.sin().to(queries.dtype)
        return Rotation.apply(queries, cos, sin), Rotation.apply(keys, cos, sin)


def _rotated(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotate each pair of features (..., tokens, d) by its angle, given as cos and sin (tokens, d / 2)."""
    even, odd = x[..., ::2], x[..., 1::2]
    return torch.stack([even * cos - odd * sin, odd * cos + even * sin], -1).flatten(-2)


class Rotation(torch.autograd.Function):
    """Rotates as `_rotated`. The gradient is rotated back, which is faster than the gradient that PyTorch derives."""

    @staticmethod
    def forward(context: Any, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """(..., tokens, d), and (tokens, d / 2) twice -> (..., tokens, d)."""
        context.save_for_backward(cos, sin)
        return _rotated(x, cos, sin)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        """(..., tokens, d) -> the same; the angles have no gradient."""
        cos, sin = context.saved_tensors
        return _rotated(gradient, cos, -sin), None, None


class PolarEmbedding(nn.Module):
    """Makes a head's features magnitudes of vectors whose angles depend only on the position (arXiv:2509.10534).

    The similarity of a query and a key is the sum over features of |q| |k| cos(angle between their positions + bias).
    It agrees with ZFTurbo/Music-Source-Separation-Training at ccc011ab, with PoPE-pytorch 0.2.1, and with pymss-core
    0.1.14.
    """

    inv_freqs: Tensor

    def __init__(self, dim_head: int, heads: int) -> None:
        super().__init__()
        self.register_buffer("inv_freqs", inverse_powers(torch.arange(dim_head, device="cpu") / dim_head))
        self.bias = nn.Parameter(torch.zeros(heads, dim_head))

    def forward(self, queries: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
        """Place queries and keys, (b, heads, tokens, d) each -> (b, heads, tokens, 2 * d) each."""
        positions = torch.arange(queries.shape[-2], device=queries.device, dtype=torch.float32)
        angles = positions[:, None] * self.inv_freqs.float()
        biased = angles + self.bias.float().clamp(-2 * math.pi, 0)[:, None]
        return _cartesian(F.softplus(queries), angles), _cartesian(F.softplus(keys), biased)


def _cartesian(magnitudes: Tensor, angles: Tensor) -> Tensor:
    """Convert polar to Cartesian coordinates, all x before all y on the last axis."""
    return torch.cat(
        [magnitudes * angles.cos().to(magnitudes.dtype), magnitudes * angles.sin().to(magnitudes.dtype)], -1
    )


class Attention(nn.Module):
    """Attends from every token to all tokens, and multiplies each head's result by a gate."""

    def __init__(self, dim: int, dim_head: int, heads: int, positions: RotaryEmbedding | PolarEmbedding) -> None:
        super().__init__()
        self.heads, self.scale = heads, dim_head**-0.5
        self.positions = "pope_embed" if isinstance(positions, PolarEmbedding) else "rotary_embed"
        self.add_module(self.positions, positions)
        self.norm = RMSNorm(dim)
        self.to_qkv = nn.Linear(dim, 3 * heads * dim_head, bias=False)
        self.to_gates = nn.Linear(dim, heads)
        self.to_out = nn.Sequential(nn.Linear(heads * dim_head, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(b, tokens, d) -> (b, tokens, d)."""
        x = self.norm(x)
        return self.combined(x, *self.projected(x))

    def projected(self, x: Tensor) -> Tensor:
        """Return queries, keys and values, normed (b, tokens, d) -> (3, b, heads, tokens, d)."""
        return self.to_qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)

    def combined(self, x: Tensor, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Encode positions, attend and gate: normed (b, tokens, d) and its projections -> (b, tokens, d)."""
        queries, keys = self.get_submodule(self.positions)(queries, keys)
        attended = self.attended(queries, keys, values)
        gated = attended.transpose(1, 2) * self.to_gates(x).sigmoid()[..., None]
        return self.to_out(gated.flatten(-2))

    def attended(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return each query's mean of the values, weighted by its similarity to the keys, (b, heads, tokens, d)."""
        return F.scaled_dot_product_attention(queries, keys, values, scale=self.scale)


class LinearAttention(nn.Module):
    """Attends among features over all tokens, at a cost linear in the number of tokens (arXiv:2106.09681)."""

    def __init__(self, dim: int, dim_head: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm = RMSNorm(dim)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.to_qkv = nn.Sequential(nn.Linear(dim, 3 * heads * dim_head, bias=False))
        self.to_out = nn.Sequential(nn.Identity(), nn.Linear(heads * dim_head, dim, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        """(b, tokens, d) -> (b, tokens, d)."""
        queries, keys, values = self.to_qkv(self.norm(x)).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 4, 1)
        queries = F.normalize(queries, dim=-1) * self.temperature.exp()
        attended = F.scaled_dot_product_attention(queries, F.normalize(keys, dim=-1), values, scale=8.0)
        return self.to_out(attended.flatten(1, 2).mT)


class FeedForward(nn.Module):
    """Applies two linear layers with GELU between them to each token separately."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        # The identity stands for the dropout of training code, which the keys count.
        self.net = nn.Sequential(
            RMSNorm(dim), nn.Linear(dim, 4 * dim), nn.GELU(), nn.Identity(), nn.Linear(4 * dim, dim)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., d) -> (..., d)."""
        return self.net(x)


class Transformer(nn.Module):
    """Alternates attention and feed-forward layers, each added to its input, with a norm at the end if `norm`."""

    def __init__(self, attentions: Sequence[nn.Module], dim: int, norm: bool) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.ModuleList([attention, FeedForward(dim)]) for attention in attentions)
        self.norm = RMSNorm(dim) if norm else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """(b, tokens, d) -> (b, tokens, d)."""
        for layer in self.layers:
            attention, feed_forward = layer.children()
            x = x + attention(x)
            x = x + feed_forward(x)
        return self.norm(x)

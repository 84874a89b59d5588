"""Computes the layers of the RoFormers' transformers on a GPU; see `stemsplit.fast.cuda.roformer`."""

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cpu.attended import Window
from stemsplit.fast.cuda.bands import aligned
from stemsplit.fast.cuda.windows import Windowed
from stemsplit.models import roformer_layers
from stemsplit.models.roformer_value_residual import MixingAttention
from stemsplit.models.roformer_windowed import WindowedAttention


@dataclass(frozen=True)
class Storage:
    """The device and type in which weights are stored."""

    dtype: torch.dtype
    device: torch.device

    def put(self, weight: Tensor) -> Tensor:
        """Return a weight in this storage."""
        return weight.to(self.device, self.dtype)

    def stacked(self, parts: Sequence[Tensor], *shape: int) -> Tensor:
        """Stack tensors as (parts, *shape), each padded with zeros at the end of every axis."""
        stack = torch.zeros(len(parts), *shape, dtype=self.dtype, device=self.device)
        for padded, part in zip(stack, parts, strict=True):
            padded[tuple(slice(size) for size in part.shape)] = part
        return stack


def direction(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Scale float32 (..., d) to length 1, in `dtype`: `RMSNorm` without its gain, see `gain`."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12)  # the minimum of `F.normalize`
    return torch.div(x, length, out=torch.empty_like(x, dtype=dtype))


def gain(gamma: Tensor) -> Tensor:
    """Return the part of an `RMSNorm` that `direction` leaves out, (d,), to be folded into the next layer's weights."""
    return gamma * math.sqrt(gamma.numel())


def rms_norm(x: Tensor, gamma: Tensor) -> Tensor:
    """Apply an `RMSNorm` to float32 (..., d) in one launch. Its minimum length is far below any token's."""
    return F.rms_norm(x, gamma.shape, gamma, eps=1e-24 / gamma.numel())


class Rotary:
    """Rotates queries and keys as `RotaryEmbedding` does, with the features of each pair in two halves.

    Weights are put in that order when they are loaded. Similarities do not depend on the order of features.
    """

    def __init__(self, freqs: Tensor, device: torch.device) -> None:
        self.freqs = freqs.to(device, torch.float32)
        self.tables: dict[int, Tensor] = {}

    def table(self, tokens: int) -> Tensor:
        """Return the cosines and sines of all angles, float32 (2, tokens, d / 2)."""
        # There are tables of a few lengths, each for all shorter ones too. They are never freed, because a recorded
        # graph
        # goes on reading them.
        size = 1 << (tokens - 1).bit_length()
        if size not in self.tables:
            angles = torch.arange(size, device=self.freqs.device, dtype=torch.float32)[:, None] * self.freqs
            self.tables[size] = torch.stack([angles.cos(), angles.sin()])
        return self.tables[size][:, :tokens]

    def __call__(self, x: Tensor, axis: int) -> Tensor:
        """Rotate (tokens, others, 2, heads, d) for axis 0, or (others, tokens, 2, heads, d) for axis 1."""
        table = self.table(x.shape[axis])[:, :, None, None]
        cos, sin = (table if axis else table.unsqueeze(2)).unbind()
        result = torch.empty_like(x, memory_format=torch.contiguous_format)
        first, second = x.unflatten(-1, (2, -1)).unbind(-2)
        left, right = result.unflatten(-1, (2, -1)).unbind(-2)
        torch.mul(first, cos, out=left).addcmul_(second, sin, value=-1)
        torch.mul(second, cos, out=right).addcmul_(first, sin)
        return result


class Attention:
    """Attends along one axis of the tokens, and adds the result to them.

    Args:
        plain: the layer.
        along_time: whether it attends along time, not across bands.
        storage: where its weights are kept.
        keeps: whether later layers mix their values with those of this one.
    """

    def __init__(self, plain: roformer_layers.Attention, along_time: bool, storage: Storage, keeps: bool) -> None:
        weights, positions = plain.state_dict(), plain.get_submodule(plain.positions)
        self.heads, self.scale, self.dtype = plain.heads, plain.scale, storage.dtype
        self.axis, self.keeps = 1 if along_time else 0, keeps
        self.windowed = None
        if isinstance(plain, WindowedAttention):
            self.windowed = Windowed(Window(plain.sinks, plain.reach), storage.device)
        rotary = isinstance(positions, roformer_layers.RotaryEmbedding)
        self.positions: Rotary | nn.Module
        if rotary:
            self.positions = Rotary(weights["rotary_embed.freqs"], storage.device)
        else:
            self.positions = deepcopy(positions).to(storage.device)

        def ordered(x: Tensor) -> Tensor:
            """Put the features of each pair of queries and keys in two halves, if they are rotated."""
            qkv = x.unflatten(0, (3, self.heads, -1))
            halves = qkv[:2].unflatten(2, (-1, 2)).transpose(2, 3).flatten(2, 3) if rotary else qkv[:2]
            return torch.cat([halves, qkv[2:]]).flatten(0, 2)

        qkv = weights["to_qkv.weight"]
        parts = [(ordered(qkv), ordered(weights.get("to_qkv.bias", qkv.new_zeros(len(qkv)))))]
        self.mixes = isinstance(plain, MixingAttention)
        for name in ("to_gates", "to_value_residual_mix")[: 1 + self.mixes]:
            parts.append((weights[f"{name}.weight"], weights[f"{name}.bias"]))
        # Queries, keys, values, gates and shares are computed in one product.
        weight = torch.cat([part for part, _ in parts]) * gain(weights["norm.gamma"])
        bias = torch.cat([part for _, part in parts])
        padding = aligned(len(bias)) - len(bias)
        self.weight = storage.put(F.pad(weight, (0, 0, 0, padding)))
        self.bias = storage.put(F.pad(bias, (0, padding)))
        self.out = storage.put(weights["to_out.0.weight"])
        out_bias = weights.get("to_out.0.bias")
        self.out_bias = None if out_bias is None else storage.put(out_bias)

    def __call__(self, tokens: Tensor, kept: list[Tensor]) -> None:
        """Apply the layer to tokens (k, b, m, d) in place.

        Args:
            tokens: the tokens.
            kept: receives this layer's values if it `keeps` them, and has them for the later ones.
        """
        bands, _, frames, dim = tokens.shape
        x = tokens.view(-1, frames, dim) if self.axis else tokens.view(bands, -1, dim)
        projected = F.linear(direction(x, self.dtype), self.weight, self.bias)
        inner = self.out.shape[1]
        ends = [2 * inner, 3 * inner, 3 * inner + self.heads, 3 * inner + 2 * self.heads]
        queries_keys, values, gates, shares, _ = projected.tensor_split(ends, -1)
        queries, keys = self.positioned(queries_keys.unflatten(-1, (2, self.heads, -1)))
        values = values.unflatten(-1, (self.heads, -1))
        if self.keeps:
            kept.append(values)
        if self.mixes:
            values = values.lerp(kept[0], shares.sigmoid()[..., None])
        values = self.heads_first(values)
        if self.windowed is not None:
            attended = self.windowed(queries, keys, values, self.scale)
        else:
            attended = F.scaled_dot_product_attention(queries, keys, values, scale=self.scale)
        attended = attended.permute((0, 2, 1, 3) if self.axis else (2, 0, 1, 3))
        gated = torch.empty(attended.shape, dtype=self.dtype, device=attended.device)
        torch.mul(attended, gates.sigmoid()[..., None], out=gated)
        x += F.linear(gated.flatten(2), self.out, self.out_bias)

    def heads_first(self, x: Tensor) -> Tensor:
        """View (tokens, others, heads, d), or (others, tokens, heads, d) for axis 1, as (others, heads, tokens, d)."""
        return x.permute((0, 2, 1, 3) if self.axis else (1, 2, 0, 3))

    def positioned(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Split queries and keys, next to each other on axis 2, encode their positions, and put heads first."""
        if isinstance(self.positions, Rotary):
            queries, keys = self.positions(x, self.axis).unbind(2)
            return self.heads_first(queries), self.heads_first(keys)
        queries, keys = self.positions(*(self.heads_first(half).float() for half in x.unbind(2)))
        return queries.to(self.dtype), keys.to(self.dtype)


class LinearAttention:
    """Applies the plain linear attention in float32, and adds the result to the tokens; it is too rare to need more."""

    def __init__(self, plain: roformer_layers.LinearAttention, device: torch.device) -> None:
        self.plain = deepcopy(plain).to(device)

    def __call__(self, tokens: Tensor, _kept: list[Tensor]) -> None:
        """Apply the layer to tokens (k, b, m, d) in place."""
        by_item = tokens.transpose(0, 1)
        by_item += self.plain(by_item.flatten(1, 2)).unflatten(1, by_item.shape[1:3])


class FeedForward:
    """Applies a feed-forward layer, and adds the result to the tokens."""

    def __init__(self, plain: nn.Module, storage: Storage) -> None:
        weights = plain.state_dict()
        self.dtype = storage.dtype
        self.weight_in = storage.put(weights["net.1.weight"] * gain(weights["net.0.gamma"]))
        self.bias_in = storage.put(weights["net.1.bias"])
        self.weight_out, self.bias_out = storage.put(weights["net.4.weight"]), storage.put(weights["net.4.bias"])

    def __call__(self, tokens: Tensor) -> None:
        """Apply the layer to tokens (k, b, m, d) in place."""
        hidden = F.linear(direction(tokens, self.dtype), self.weight_in, self.bias_in)
        tokens += F.linear(torch.ops.aten.gelu_(hidden), self.weight_out, self.bias_out)


class Transformer:
    """Computes a transformer along time, across bands or over all tokens.

    Args:
        plain: the transformer.
        along_time: whether it attends along time.
        storage: where its weights are kept.
        keeps: whether later transformers mix their values with those of its first layer.
    """

    def __init__(self, plain: nn.Module, along_time: bool, storage: Storage, keeps: bool = False) -> None:
        layers: Any = plain.get_submodule("layers")
        self.layers: list[tuple[Attention | LinearAttention, FeedForward]] = []
        for number, layer in enumerate(layers):
            attention, feed_forward = layer.children()
            linear = isinstance(attention, roformer_layers.LinearAttention)
            self.layers.append(
                (
                    LinearAttention(attention, storage.device)
                    if linear
                    else Attention(attention, along_time, storage, keeps and number == 0),
                    FeedForward(feed_forward, storage),
                )
            )
        gamma = plain.state_dict().get("norm.gamma")
        self.gamma = None if gamma is None else gamma.to(storage.device)

    def __call__(self, tokens: Tensor, kept: list[Tensor]) -> Tensor:
        """Apply all layers, (k, b, m, d) -> the same shape; the input is overwritten.

        Args:
            tokens: the tokens.
            kept: values of the network's first attention along this axis, for the layers that need them.
        """
        for attention, feed_forward in self.layers:
            attention(tokens, kept)
            feed_forward(tokens)
        return tokens if self.gamma is None else rms_norm(tokens, self.gamma)

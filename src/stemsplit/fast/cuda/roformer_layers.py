"""The layers of the RoFormers' transformers, as a GPU should compute them: see `roformer_gpu`."""

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cuda.bands import aligned
from stemsplit.models import roformer_layers


@dataclass(frozen=True)
class Place:
    """Where and in which precision weights are kept."""

    dtype: torch.dtype
    device: torch.device

    def put(self, weight: Tensor) -> Tensor:
        """A weight there."""
        return weight.to(self.device, self.dtype)

    def stacked(self, parts: Sequence[Tensor], *shape: int) -> Tensor:
        """Tensors as one, (parts, *shape), each in the first corner of its own zeros."""
        whole = torch.zeros(len(parts), *shape, dtype=self.dtype, device=self.device)
        for room, part in zip(whole, parts, strict=True):
            room[tuple(slice(size) for size in part.shape)] = part
        return whole


def direction(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Float32 (..., d) -> the same in `dtype`, of length one: `RMSNorm` without its gain, see `gain`."""
    length = torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12)  # that of `F.normalize`
    return torch.div(x, length, out=torch.empty_like(x, dtype=dtype))


def gain(gamma: Tensor) -> Tensor:
    """What `direction` leaves out of an `RMSNorm`, (d,); it goes into the weights of the next layer."""
    return gamma * math.sqrt(gamma.numel())


def rms_norm(x: Tensor, gamma: Tensor) -> Tensor:
    """Float32 (..., d) -> the same: `RMSNorm` in one launch; its least length is far below any token's."""
    return F.rms_norm(x, gamma.shape, gamma, eps=1e-24 / gamma.numel())


class Rotary:
    """Turns queries and keys as `RotaryEmbedding` does, their pairs not side by side but in two halves.

    Weights are put in that order when they are loaded: similarities do not depend on the order of features.
    """

    def __init__(self, freqs: Tensor, device: torch.device) -> None:
        self.freqs = freqs.to(device, torch.float32)
        self.tables: dict[int, Tensor] = {}

    def table(self, tokens: int) -> Tensor:
        """Cosines and sines of all angles, float32 (2, tokens, d / 2)."""
        # Of a few lengths, which serve all shorter ones. None is ever freed: a recorded graph would go on reading it.
        size = 1 << (tokens - 1).bit_length()
        if size not in self.tables:
            angles = torch.arange(size, device=self.freqs.device, dtype=torch.float32)[:, None] * self.freqs
            self.tables[size] = torch.stack([angles.cos(), angles.sin()])
        return self.tables[size][:, :tokens]

    def __call__(self, x: Tensor, axis: int) -> Tensor:
        """(tokens, others, 2, heads, d) -> the same, for axis 0; (others, tokens, 2, heads, d) for axis 1."""
        table = self.table(x.shape[axis])[:, :, None, None]
        cos, sin = (table if axis else table.unsqueeze(2)).unbind()
        result = torch.empty_like(x, memory_format=torch.contiguous_format)
        first, second = x.unflatten(-1, (2, -1)).unbind(-2)
        left, right = result.unflatten(-1, (2, -1)).unbind(-2)
        torch.mul(first, cos, out=left).addcmul_(second, sin, value=-1)
        torch.mul(second, cos, out=right).addcmul_(first, sin)
        return result


class Attention:
    """Attention along one axis of the tokens, added to them."""

    def __init__(self, plain: roformer_layers.Attention, along_time: bool, place: Place) -> None:
        weights, positions = plain.state_dict(), plain.get_submodule(plain.positions)
        self.heads, self.scale, self.dtype = plain.heads, plain.scale, place.dtype
        self.axis = 1 if along_time else 0
        qkv = weights["to_qkv.weight"].unflatten(0, (3, self.heads, -1))
        self.positions: Rotary | nn.Module
        if isinstance(positions, roformer_layers.RotaryEmbedding):
            self.positions = Rotary(weights["rotary_embed.freqs"], place.device)
            halves = qkv[:2].unflatten(2, (-1, 2)).transpose(2, 3).flatten(2, 3)
            qkv = torch.cat([halves, qkv[2:]])
        else:
            self.positions = deepcopy(positions).to(place.device)
        # Queries, keys, values and gates in one product.
        qkv = qkv.flatten(0, 2)
        weight = torch.cat([qkv, weights["to_gates.weight"]]) * gain(weights["norm.gamma"])
        bias = torch.cat([qkv.new_zeros(len(qkv)), weights["to_gates.bias"]])
        filling = aligned(len(bias)) - len(bias)
        self.weight, self.bias = place.put(F.pad(weight, (0, 0, 0, filling))), place.put(F.pad(bias, (0, filling)))
        self.out = place.put(weights["to_out.0.weight"])

    def __call__(self, tokens: Tensor) -> None:
        """(k, b, m, d), changed in place."""
        bands, _, frames, dim = tokens.shape
        x = tokens.view(-1, frames, dim) if self.axis else tokens.view(bands, -1, dim)
        made = F.linear(direction(x, self.dtype), self.weight, self.bias)
        inner = self.out.shape[1]
        queries_keys, values, gates, _ = made.tensor_split((2 * inner, 3 * inner, 3 * inner + self.heads), -1)
        queries, keys = self.placed(queries_keys.unflatten(-1, (2, self.heads, -1)))
        values = self.heads_first(values.unflatten(-1, (self.heads, -1)))
        seen = F.scaled_dot_product_attention(queries, keys, values, scale=self.scale)
        seen = seen.permute((0, 2, 1, 3) if self.axis else (2, 0, 1, 3))
        gated = torch.empty(seen.shape, dtype=self.dtype, device=seen.device)
        torch.mul(seen, gates.sigmoid()[..., None], out=gated)
        x += F.linear(gated.flatten(2), self.out)

    def heads_first(self, x: Tensor) -> Tensor:
        """A view of tokens and others, as `axis` says, and (heads, d) as (others, heads, tokens, d)."""
        return x.permute((0, 2, 1, 3) if self.axis else (1, 2, 0, 3))

    def placed(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Queries and keys, next to each other on axis 2, each heads first and with its positions."""
        if isinstance(self.positions, Rotary):
            queries, keys = self.positions(x, self.axis).unbind(2)
            return self.heads_first(queries), self.heads_first(keys)
        queries, keys = self.positions(*(self.heads_first(part).float() for part in x.unbind(2)))
        return queries.to(self.dtype), keys.to(self.dtype)


class LinearAttention:
    """Linear attention over all tokens, added to them; rare enough to stay plain, in float32."""

    def __init__(self, plain: roformer_layers.LinearAttention, device: torch.device) -> None:
        self.plain = deepcopy(plain).to(device)

    def __call__(self, tokens: Tensor) -> None:
        """(k, b, m, d), changed in place."""
        by_item = tokens.transpose(0, 1)
        by_item += self.plain(by_item.flatten(1, 2)).unflatten(1, by_item.shape[1:3])


class FeedForward:
    """A feed-forward layer, added to its input."""

    def __init__(self, plain: nn.Module, place: Place) -> None:
        weights = plain.state_dict()
        self.dtype = place.dtype
        self.weight_in = place.put(weights["net.1.weight"] * gain(weights["net.0.gamma"]))
        self.bias_in = place.put(weights["net.1.bias"])
        self.weight_out, self.bias_out = place.put(weights["net.4.weight"]), place.put(weights["net.4.bias"])

    def __call__(self, tokens: Tensor) -> None:
        """(k, b, m, d), changed in place."""
        hidden = F.linear(direction(tokens, self.dtype), self.weight_in, self.bias_in)
        tokens += F.linear(torch.ops.aten.gelu_(hidden), self.weight_out, self.bias_out)


class Transformer:
    """A transformer along time, across bands or over all tokens."""

    def __init__(self, plain: roformer_layers.Transformer, along_time: bool, place: Place) -> None:
        self.layers: list[Callable[[Tensor], None]] = []
        for layer in plain.layers:
            children: list[Any] = list(layer.children())
            attention, feed_forward = children
            linear = isinstance(attention, roformer_layers.LinearAttention)
            self.layers += [
                LinearAttention(attention, place.device) if linear else Attention(attention, along_time, place),
                FeedForward(feed_forward, place),
            ]
        gamma = plain.state_dict().get("norm.gamma")
        self.gamma = None if gamma is None else gamma.to(place.device)

    def __call__(self, tokens: Tensor) -> Tensor:
        """(k, b, m, d) -> the same; the input is lost."""
        for layer in self.layers:
            layer(tokens)
        return tokens if self.gamma is None else rms_norm(tokens, self.gamma)

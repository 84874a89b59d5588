"""RoFormers on a CPU: the network of `models.roformer`, one cache-sized tile after another.

The tokens lie as (k, m, d), and a whole layer (norm, attention, feed-forward, both additions) is computed on one tile
of them before the next is touched: one band along time, a few frames across bands. What is in between stays in the
cache, and tiles are tasks of a pool. Norms are folded into the weights that follow them.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.fast.cpu.linear import ONEDNN, Linear, product
from stemsplit.fast.cpu.pool import Pool
from stemsplit.models.roformer import MaskEstimator, RoFormer
from stemsplit.models.roformer_layers import Attention, FeedForward, RMSNorm, RotaryEmbedding, Transformer

TOKENS = 960
"""Of a tile across bands, in whole frames: about as many as a tile along time has."""

FRAMES = 64
"""Of a tile of a spectrogram."""

LANES = 16
"""Numbers that the CPU takes at once; PyTorch's softmax, and some products, are slow over a rest of them."""

SCORES = 1 << 23
"""Most scores that are there at once: those of an 8-second chunk fit, of longer ones a part."""

LONG = 128
"""Tokens from which on a head is worth two products of its own."""


def unit(x: Tensor) -> Tensor:
    """(..., d) with each token scaled to length 1; silence stays silence."""
    return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).clamp_min_(1e-12)


def gain(norm: nn.Module) -> Tensor:
    """What a norm multiplies a token of length 1 by, (d,)."""
    assert isinstance(norm, RMSNorm)
    return norm.gamma.float() * math.sqrt(len(norm.gamma))


@lru_cache(maxsize=8)
def turns(frequencies: tuple[float, ...], tokens: int) -> Tensor:
    """The rotation of each pair of features at each position, complex (tokens, d / 2)."""
    angles = torch.arange(tokens)[:, None] * torch.tensor(frequencies)
    return torch.polar(torch.ones_like(angles), angles)


class FastAttention:
    """`Attention` on a tile."""

    def __init__(self, plain: Attention, dtype: torch.dtype) -> None:
        self.heads, self.dtype = plain.heads, dtype
        self.positions = plain.get_submodule(plain.positions)
        if isinstance(self.positions, RotaryEmbedding):
            self.frequencies = tuple(self.positions.freqs.tolist())
        weight = torch.cat([plain.to_qkv.weight, plain.to_gates.weight]) * gain(plain.norm)
        self.inner = plain.to_qkv.out_features // 3
        weight[: self.inner] *= plain.scale if isinstance(self.positions, RotaryEmbedding) else 1
        self.scale = plain.scale
        bias = F.pad(plain.to_gates.bias, (3 * self.inner, 0))
        # Some widths that are no multiple of what the CPU takes at once are slow.
        rest = -len(bias) % LANES
        self.project = Linear(F.pad(weight, (0, 0, 0, rest)), F.pad(bias, (0, rest)), dtype)
        self.out = Linear.of(plain.to_out[0], dtype)

    def positioned(self, both: Tensor, room: int) -> tuple[Tensor, Tensor]:
        """Queries and keys, (g, tokens, 2 * inner) -> scaled (g * heads, room, d) each, zeros after the tokens."""
        groups, tokens, _ = both.shape
        if isinstance(self.positions, RotaryEmbedding):
            # Pairs of features are complex numbers, and a turn is a product.
            pairs = torch.view_as_complex(both.float().unflatten(-1, (2, self.heads, -1, 2))).permute(2, 0, 3, 1, 4)
            turned = with_room(2, groups, self.heads, tokens, room, pairs.shape[-1], dtype=pairs.dtype)
            torch.mul(pairs, turns(self.frequencies, tokens), out=turned[..., :tokens, :])
            queries, keys = torch.view_as_real(turned).flatten(-2).to(self.dtype)
        else:
            heads = both.float().unflatten(-1, (2, self.heads, -1)).permute(2, 0, 3, 1, 4)
            queries, keys = (F.pad(x, (0, 0, 0, room - tokens)).to(self.dtype) for x in self.positions(*heads))
            queries = queries * self.scale
        return queries.flatten(0, 1), keys.flatten(0, 1)

    def __call__(self, x: Tensor, groups: int) -> Tensor:
        """(g * tokens, d), each group of which sees itself -> the same shape in the layer's type."""
        projected = self.project(unit(x)).unflatten(0, (groups, -1))
        tokens = projected.shape[1]
        room = -(-tokens // LANES) * LANES
        queries, keys = self.positioned(projected[..., : 2 * self.inner], room)
        heads = projected[..., 2 * self.inner : 3 * self.inner].unflatten(-1, (self.heads, -1)).transpose(1, 2)
        values = with_room(groups, self.heads, tokens, room, heads.shape[-1], dtype=self.dtype)
        values[..., :tokens, :] = heads
        seen = attended(queries, keys, values.flatten(0, 1), tokens).unflatten(0, (groups, self.heads))
        gates = projected[..., 3 * self.inner : 3 * self.inner + self.heads].float().sigmoid().to(self.dtype)[..., None]
        gated = x.new_empty(groups, tokens, self.heads, heads.shape[-1], dtype=self.dtype)
        torch.mul(seen.transpose(1, 2), gates, out=gated)
        return self.out(gated.view(len(x), self.inner))


def with_room(*shape: int, dtype: torch.dtype) -> Tensor:
    """An empty tensor (..., tokens, room, d) -> (..., room, d) with zeros after the tokens."""
    *before, tokens, room, d = shape
    made = torch.empty(*before, room, d, dtype=dtype)
    made[..., tokens:, :] = 0
    return made


def attended(queries: Tensor, keys: Tensor, values: Tensor, tokens: int) -> Tensor:
    """Every query's mean of the values, weighted by the softmax of its products with the keys.

    Args:
        queries: (heads, tokens and perhaps zeros after them, d).
        keys: likewise.
        values: likewise.
        tokens: how many.

    Returns:
        (heads, tokens, d).
    """
    count, room, _ = keys.shape
    seen = torch.empty(count, tokens, values.shape[-1], dtype=values.dtype)
    by_head = ONEDNN and queries.dtype == torch.float32 and tokens >= LONG
    rows = max(SCORES // (room if by_head else count * room), 1)
    for start in range(0, tokens, rows):
        here = slice(start, min(start + rows, tokens))
        if by_head:
            for head in range(count):
                scores = shares(product(queries[head, here], keys[head]), tokens)
                seen[head, here] = product(scores, values[head].mT)
        else:
            seen[:, here] = torch.bmm(shares(torch.bmm(queries[:, here], keys.mT), tokens), values)
    return seen


def shares(scores: Tensor, tokens: int) -> Tensor:
    """Scores (..., room) of so many tokens, changed in place to shares of one."""
    scores[..., tokens:] = -torch.inf
    return torch.softmax(scores, -1, out=scores)


class FastTransformer:
    """`Transformer` with `Attention` layers, on a tile."""

    def __init__(self, plain: Transformer, dtype: torch.dtype) -> None:
        self.layers: list[tuple[FastAttention, Linear, Linear]] = []
        for layer in plain.layers:
            attention, feed_forward = layer.children()
            assert isinstance(attention, Attention)
            assert isinstance(feed_forward, FeedForward)
            norm, wide, _, _, narrow = feed_forward.net
            widen, narrow_again = Linear.of(wide, dtype, "gelu", gain=gain(norm)), Linear.of(narrow, dtype)
            self.layers.append((FastAttention(attention, dtype), widen, narrow_again))
        self.gain = gain(plain.norm) if isinstance(plain.norm, RMSNorm) else None

    def __call__(self, x: Tensor, groups: int) -> None:
        """(g * tokens, d) float32, each group of which sees itself; changed in place."""
        for attention, wide, narrow in self.layers:
            x += attention(x, groups)
            x += narrow(wide(unit(x)))
        if self.gain is not None:
            torch.mul(unit(x), self.gain, out=x)


def transformers(dtype: torch.dtype, *block: nn.Module) -> tuple[list[nn.Module], FastTransformer, FastTransformer]:
    """Those of a block: over all tokens, which are few and computed as they are; along time; across bands."""
    *linear, time, freq = block
    assert isinstance(time, Transformer)
    assert isinstance(freq, Transformer)
    return linear, FastTransformer(time, dtype), FastTransformer(freq, dtype)


def band_layer(norm: nn.Module, linear: nn.Module) -> Linear:
    """What makes tokens of a band's numbers, scaled to length 1."""
    return Linear.of(linear, gain=gain(norm), packed=False)


def mask_layers(stem: nn.Module, dtype: torch.dtype) -> list[list[Linear]]:
    """The network of each band of a `MaskEstimator`, without the GLU at its end."""
    assert isinstance(stem, MaskEstimator)
    bands = []
    for band in stem.to_freqs:
        *hidden, last = (layer for layer in band.modules() if isinstance(layer, nn.Linear))
        # Each is used once a chunk: not worth a second copy of weights that may still lie in their file.
        layers = [Linear.of(layer, dtype, "tanh", packed=False) for layer in hidden]
        bands.append([*layers, Linear.of(last, dtype, packed=False)])
    return bands


class FastRoFormer:
    """A RoFormer on a CPU.

    Args:
        network: with its weights, in float32 on the CPU; kept, and not changed.
        dtype: of the transformers' and the masks' products and what lies between them, scores of attention among that:
            float32 or bfloat16. Norms, tokens, Fourier transforms and the products with masks are in float32.
        pool: its threads.
    """

    def __init__(self, network: RoFormer, dtype: torch.dtype, pool: Pool) -> None:
        self.network, self.pool = network, pool
        self.bands = network.bands
        self.gain = gain(network.final_norm) if isinstance(network.final_norm, RMSNorm) else None
        layers = network.band_split.to_features
        self.split = pool.map(lambda band: band_layer(*band.children()), layers)
        self.blocks = pool.map(lambda block: transformers(dtype, *block.children()), network.layers)
        self.masks = pool.map(lambda stem: mask_layers(stem, dtype), network.mask_estimators)

    def __call__(self, mixture: Tensor) -> Tensor:
        """(b, c, t) -> (b, n, c, t), as the network's forward."""
        return self.network.grouped(mixture, self.separated)

    def separated(self, x: Tensor) -> Tensor:
        """(b, channels, t) -> (b, n, channels, t), t more than half of `stft_n_fft`."""
        return torch.stack([self._item(item) for item in x])

    def _item(self, x: Tensor) -> Tensor:
        """(channels, t) -> (n, channels, t)."""
        mixture = self.spectrogram(x)
        tokens = self.tokens(mixture)
        self.transform(tokens)
        estimates = torch.empty(len(self.masks), *x.shape)
        for stem, layers in enumerate(self.masks):
            self.waveforms(self.masked(self.mask_parts(layers, tokens), mixture), estimates[stem])
        return estimates

    def spectrogram(self, x: Tensor) -> Tensor:
        """(c, t) -> complex (c, f, m)."""
        frames = x.shape[-1] // self.network.config.stft_hop_length + 1
        spectrogram = torch.empty(len(x), self.network.config.bins, frames, dtype=torch.complex64)

        def channel(number: int) -> None:
            spectrogram[number] = self.network.spectrogram(x[None, number, None])[0, 0]

        self.pool.run(channel, range(len(x)))
        return spectrogram

    def tokens(self, mixture: Tensor) -> Tensor:
        """Complex (c, f, m) -> (k, m, d)."""
        numbers = torch.view_as_real(mixture).permute(2, 1, 0, 3)
        frames = len(numbers)
        tokens = torch.empty(len(self.bands), frames, self.network.config.dim)

        def band(number: int) -> None:
            bins = self.bands[number]
            tokens[number] = self.split[number](unit(numbers[:, bins.start : bins.stop].reshape(frames, -1)))

        self.pool.run(band, range(len(self.bands)))
        return tokens

    def transform(self, tokens: Tensor) -> None:
        """(k, m, d), changed in place."""
        outputs: list[Tensor] = []
        for linear, along_time, across_bands in self.blocks:
            for transformer in linear:
                # It sees all tokens at once, in whatever order.
                tokens.copy_(transformer(tokens.flatten(0, 1)[None])[0].view_as(tokens))
            for output in outputs:
                tokens.add_(output)
            self._along_time(along_time, tokens)
            self._across_bands(across_bands, tokens)
            if self.network.config.skip_connection:
                outputs.append(tokens.clone())

    def _along_time(self, transformer: FastTransformer, tokens: Tensor) -> None:
        self.pool.run(lambda band: transformer(tokens[band], 1), range(len(tokens)))

    def _across_bands(self, transformer: FastTransformer, tokens: Tensor) -> None:
        count = max(TOKENS // len(tokens), 1)

        def some_frames(start: int) -> None:
            part = tokens[:, start : start + count].transpose(0, 1)
            tile = part.clone(memory_format=torch.contiguous_format).flatten(0, 1)
            transformer(tile, len(part))
            part.copy_(tile.view_as(part))

        self.pool.run(some_frames, range(0, tokens.shape[1], count))

    def mask_parts(self, layers: Sequence[Sequence[Linear]], tokens: Tensor) -> list[Tensor]:
        """A stem's mask by bands: (m, numbers of the band) each."""
        parts = [tokens] * len(layers)

        def band(number: int) -> None:
            x = tokens[number] if self.gain is None else unit(tokens[number]).mul_(self.gain)
            for layer in layers[number]:
                x = layer(x)
            parts[number] = F.glu(x.float(), -1)

        self.pool.run(band, range(len(layers)))
        return parts

    def masked(self, parts: Sequence[Tensor], mixture: Tensor) -> Tensor:
        """The mixture, complex (c, f, m), times the mask; a bin in several bands gets the mean of theirs."""
        channels, bins, frames = mixture.shape
        masked = torch.empty_like(mixture)

        def some_frames(start: int) -> None:
            here = slice(start, min(start + FRAMES, frames))
            whole = torch.zeros(here.stop - start, bins, channels, 2)
            for band, part in zip(self.bands, parts, strict=True):
                whole[:, band.start : band.stop] += part[here].view(-1, len(band), channels, 2)
            whole /= self.network.bands_per_bin
            mask = torch.view_as_complex(whole).permute(2, 1, 0)
            torch.mul(mask, mixture[..., here], out=masked[..., here])
            if self.network.config.zero_dc:
                masked[:, 0, here] = 0

        self.pool.run(some_frames, range(0, frames, FRAMES))
        return masked

    def waveforms(self, spectrogram: Tensor, waves: Tensor) -> None:
        """Complex (c, f, m) -> (c, t), written into `waves`."""

        def channel(number: int) -> None:
            waves[number] = self.network.waveform(spectrogram[None, number, None], waves.shape[-1])[0, 0]

        self.pool.run(channel, range(len(waves)))

"""Computes RoFormers on a CPU: the network of `models.roformer`, in tiles that fit into the cache.

Tokens are laid out as (k, m, d). A whole layer (norm, attention, feed-forward, both additions) is computed on one tile
before the next: one band along time, a few frames across bands. Intermediate results stay in the cache, and tiles are
tasks of a pool. Norms are folded into the weights that follow them.
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
"""Most tokens of a tile across bands, in whole frames; about as many as in a tile along time."""

FRAMES = 64
"""Frames of a tile of a spectrogram."""

LANES = 16
"""Numbers that the CPU processes at once. PyTorch's softmax and some products are slow for sizes between multiples."""

SCORES = 1 << 23
"""Most attention scores in memory at once: all of an 8-second chunk, part of a longer one."""

LONG = 128
"""Number of tokens from which on each head is computed in two products of its own."""


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
    """Computes `Attention` on a tile."""

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

    def __call__(self, x: Tensor, groups: int) -> Tensor:
        """Attend within each group, (g * tokens, d) -> the same shape in the layer's type."""
        projected = self.project(unit(x)).unflatten(0, (groups, -1))
        tokens = projected.shape[1]
        padded = -(-tokens // LANES) * LANES
        queries, keys = self.positioned(projected[..., : 2 * self.inner], padded)
        heads = projected[..., 2 * self.inner : 3 * self.inner].unflatten(-1, (self.heads, -1)).transpose(1, 2)
        values = empty_padded(groups, self.heads, tokens, padded, heads.shape[-1], dtype=self.dtype)
        values[..., :tokens, :] = heads
        result = attended(queries, keys, values.flatten(0, 1), tokens).unflatten(0, (groups, self.heads))
        gates = projected[..., 3 * self.inner : 3 * self.inner + self.heads].float().sigmoid().to(self.dtype)[..., None]
        gated = x.new_empty(groups, tokens, self.heads, heads.shape[-1], dtype=self.dtype)
        torch.mul(result.transpose(1, 2), gates, out=gated)
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


def attended(queries: Tensor, keys: Tensor, values: Tensor, tokens: int) -> Tensor:
    """Return each query's mean of the values, weighted by the softmax of its products with the keys.

    Args:
        queries: (heads, tokens and any padding, d).
        keys: same shape.
        values: same shape.
        tokens: number of tokens before the padding.

    Returns:
        (heads, tokens, d).
    """
    heads, padded, _ = keys.shape
    result = torch.empty(heads, tokens, values.shape[-1], dtype=values.dtype)
    by_head = ONEDNN and queries.dtype == torch.float32 and tokens >= LONG
    rows = max(SCORES // (padded if by_head else heads * padded), 1)
    for start in range(0, tokens, rows):
        here = slice(start, min(start + rows, tokens))
        if by_head:
            for head in range(heads):
                weights = attention_weights(product(queries[head, here], keys[head]), tokens)
                result[head, here] = product(weights, values[head].mT)
        else:
            result[:, here] = torch.bmm(attention_weights(torch.bmm(queries[:, here], keys.mT), tokens), values)
    return result


def attention_weights(scores: Tensor, tokens: int) -> Tensor:
    """Turn the scores (..., padded) of `tokens` tokens into attention weights, in place; padding gets weight 0."""
    scores[..., tokens:] = -torch.inf
    return torch.softmax(scores, -1, out=scores)


class FastTransformer:
    """Computes a `Transformer` with `Attention` layers on a tile."""

    def __init__(self, plain: Transformer, dtype: torch.dtype) -> None:
        self.layers: list[tuple[FastAttention, Linear, Linear]] = []
        for layer in plain.layers:
            attention, feed_forward = layer.children()
            assert isinstance(attention, Attention)
            assert isinstance(feed_forward, FeedForward)
            norm, wide, _, _, narrow = feed_forward.net
            widen, narrow_again = (
                Linear.from_layer(wide, dtype, "gelu", gain=gain(norm)),
                Linear.from_layer(narrow, dtype),
            )
            self.layers.append((FastAttention(attention, dtype), widen, narrow_again))
        self.gain = gain(plain.norm) if isinstance(plain.norm, RMSNorm) else None

    def __call__(self, x: Tensor, groups: int) -> None:
        """Apply all layers to float32 (g * tokens, d) in place; attention is within each group."""
        for attention, wide, narrow in self.layers:
            x += attention(x, groups)
            x += narrow(wide(unit(x)))
        if self.gain is not None:
            torch.mul(unit(x), self.gain, out=x)


def transformers(dtype: torch.dtype, *block: nn.Module) -> tuple[list[nn.Module], FastTransformer, FastTransformer]:
    """Return a block's transformers: those over all tokens, which are rare and stay plain; along time; across bands."""
    *linear, time, freq = block
    assert isinstance(time, Transformer)
    assert isinstance(freq, Transformer)
    return linear, FastTransformer(time, dtype), FastTransformer(freq, dtype)


def band_layer(norm: nn.Module, linear: nn.Module) -> Linear:
    """Make the layer that turns a band's numbers, scaled to length 1, into tokens."""
    return Linear.from_layer(linear, gain=gain(norm), packed=False)


def mask_layers(stem: nn.Module, dtype: torch.dtype) -> list[list[Linear]]:
    """Make the layers of each band of a `MaskEstimator`, without the GLU at the end."""
    assert isinstance(stem, MaskEstimator)
    bands = []
    for band in stem.to_freqs:
        *hidden, last = (layer for layer in band.modules() if isinstance(layer, nn.Linear))
        # Each layer is used once per chunk, which does not justify a second copy of weights that may still be in their
        # file.
        layers = [Linear.from_layer(layer, dtype, "tanh", packed=False) for layer in hidden]
        bands.append([*layers, Linear.from_layer(last, dtype, packed=False)])
    return bands


class FastRoFormer:
    """Computes a RoFormer on a CPU.

    Args:
        network: the network with its weights, in float32 on the CPU; it is kept, but not changed.
        dtype: type of the products in transformers and mask networks, and of what is between them, such as attention
            scores: float32 or bfloat16. Norms, tokens, Fourier transforms and the products with masks are in float32.
        pool: the threads that compute.
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
        """Estimate the stems as the network's forward does, (b, c, t) -> (b, n, c, t)."""
        return self.network.grouped(mixture, self.separated)

    def separated(self, x: Tensor) -> Tensor:
        """Separate groups of channels: (b, channels, t) -> (b, n, channels, t), t more than half of `stft_n_fft`."""
        return torch.stack([self._item(item) for item in x])

    def _item(self, x: Tensor) -> Tensor:
        """Separate one group of channels, (channels, t) -> (n, channels, t)."""
        mixture = self.spectrogram(x)
        tokens = self.tokens(mixture)
        self.transform(tokens)
        estimates = torch.empty(len(self.masks), *x.shape)
        for stem, layers in enumerate(self.masks):
            self.waveforms(self.masked(self.mask_parts(layers, tokens), mixture), estimates[stem])
        return estimates

    def spectrogram(self, x: Tensor) -> Tensor:
        """Compute the STFT, (c, t) -> complex (c, f, m)."""
        frames = x.shape[-1] // self.network.config.stft_hop_length + 1
        spectrogram = torch.empty(len(x), self.network.config.bins, frames, dtype=torch.complex64)

        def channel(index: int) -> None:
            spectrogram[index] = self.network.spectrogram(x[None, index, None])[0, 0]

        self.pool.run(channel, range(len(x)))
        return spectrogram

    def tokens(self, mixture: Tensor) -> Tensor:
        """Turn the bands into tokens, complex (c, f, m) -> (k, m, d)."""
        numbers = torch.view_as_real(mixture).permute(2, 1, 0, 3)
        frames = len(numbers)
        tokens = torch.empty(len(self.bands), frames, self.network.config.dim)

        def band(index: int) -> None:
            bins = self.bands[index]
            tokens[index] = self.split[index](unit(numbers[:, bins.start : bins.stop].reshape(frames, -1)))

        self.pool.run(band, range(len(self.bands)))
        return tokens

    def transform(self, tokens: Tensor) -> None:
        """Apply all blocks to tokens (k, m, d) in place."""
        outputs: list[Tensor] = []
        for linear, along_time, across_bands in self.blocks:
            for transformer in linear:
                # It attends over all tokens at once, and their order does not matter.
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
        frames = max(TOKENS // len(tokens), 1)

        def tile_at(start: int) -> None:
            view = tokens[:, start : start + frames].transpose(0, 1)
            tile = view.clone(memory_format=torch.contiguous_format).flatten(0, 1)
            transformer(tile, len(view))
            view.copy_(tile.view_as(view))

        self.pool.run(tile_at, range(0, tokens.shape[1], frames))

    def mask_parts(self, layers: Sequence[Sequence[Linear]], tokens: Tensor) -> list[Tensor]:
        """Compute a stem's mask of each band, (m, numbers of the band) each."""
        parts = [tokens] * len(layers)

        def band(index: int) -> None:
            x = tokens[index] if self.gain is None else unit(tokens[index]).mul_(self.gain)
            for layer in layers[index]:
                x = layer(x)
            parts[index] = F.glu(x.float(), -1)

        self.pool.run(band, range(len(layers)))
        return parts

    def masked(self, parts: Sequence[Tensor], mixture: Tensor) -> Tensor:
        """Multiply the mixture, complex (c, f, m), by the mask. A bin in several bands gets the mean of their masks."""
        channels, bins, frames = mixture.shape
        masked = torch.empty_like(mixture)

        def tile_at(start: int) -> None:
            here = slice(start, min(start + FRAMES, frames))
            whole = torch.zeros(here.stop - start, bins, channels, 2)
            for band, part in zip(self.bands, parts, strict=True):
                whole[:, band.start : band.stop] += part[here].view(-1, len(band), channels, 2)
            whole /= self.network.bands_per_bin
            mask = torch.view_as_complex(whole).permute(2, 1, 0)
            torch.mul(mask, mixture[..., here], out=masked[..., here])
            if self.network.config.zero_dc:
                masked[:, 0, here] = 0

        self.pool.run(tile_at, range(0, frames, FRAMES))
        return masked

    def waveforms(self, spectrogram: Tensor, waves: Tensor) -> None:
        """Invert the STFT, complex (c, f, m) -> (c, t), and write the result into `waves`."""

        def channel(index: int) -> None:
            waves[index] = self.network.waveform(spectrogram[None, index, None], waves.shape[-1])[0, 0]

        self.pool.run(channel, range(len(waves)))

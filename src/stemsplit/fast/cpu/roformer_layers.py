"""Computes the transformers of RoFormers in tiles; see `stemsplit.fast.cpu.roformer`."""

import torch
from torch import Tensor, nn

from stemsplit.fast.cpu import int8
from stemsplit.fast.cpu.attended import pieces
from stemsplit.fast.cpu.linear import Linear
from stemsplit.fast.cpu.pool import Pool
from stemsplit.fast.cpu.roformer_attention import FastAttention, gain, normed, unit
from stemsplit.models.roformer_layers import FeedForward, RMSNorm, Transformer

TOKENS = 960
"""Fewest tokens for which a tile has room; about as many as a band of an 8-second chunk has."""

ACROSS, ALONG = 180_000, 100_000
"""Most numbers of a tile of narrow tokens, across bands and along time: in few large tiles, threads meet less often."""

Values = tuple[Tensor, Tensor]
"""Values of the network's first attention along time, (k, m, inner), and of its first across bands, (m, k, inner)."""


ROWS, FEATURES = 480, 740_000
"""Tokens that a feed-forward layer computes at once, and features if its tokens have few: they stay in the cache."""


def tiles(count: int, most: int) -> list[slice]:
    """Cut `count` bands or frames into tiles of at most `most`: an even number of them, which two threads can share."""
    number = max(-(-count // max(most, 1)), 1)
    return pieces(count, -(-count // (number + number % 2)))


def feed_forward(x: Tensor, wide: Linear, narrow: Linear) -> None:
    """Add to tokens (rows, d) what two layers make of them."""
    inputs = normed(x, wide)
    most = max(ROWS, FEATURES // wide.outputs) if type(wide) is Linear else int8.ROWS
    for here in pieces(len(x), most):
        narrow.add_to(x[here], wide(inputs[here], "features"))


class FastTransformer:
    """Computes a `Transformer` with softmax attention on a tile.

    Args:
        plain: the transformer.
        dtype: type of the products.
        keeps: whether later transformers mix their values with those of its first layer.
    """

    def __init__(self, plain: nn.Module, dtype: torch.dtype, keeps: bool) -> None:
        assert isinstance(plain, Transformer)
        self.layers: list[tuple[FastAttention, Linear, Linear]] = []
        for number, layer in enumerate(plain.layers):
            attention, feed_forward = layer.children()
            assert isinstance(feed_forward, FeedForward)
            norm, wide, _, _, narrow = feed_forward.net
            widen, narrow_again = (
                int8.kind(dtype).from_layer(wide, dtype, "gelu", gain=gain(norm), ones=True),
                int8.kind(dtype, after_gelu=True).from_layer(narrow, dtype),
            )
            self.layers.append((FastAttention(attention, dtype, keeps and number == 0), widen, narrow_again))
        self.gain = gain(plain.norm) if isinstance(plain.norm, RMSNorm) else None

    def __call__(self, x: Tensor, groups: int, first: Tensor | None = None) -> None:
        """Apply all layers in place; attention is within each group.

        Args:
            x: float32 (g * tokens, d).
            groups: number of groups.
            first: where the values of these tokens are kept, (g * tokens, inner), if any layer mixes with them.
        """
        for attention, wide, narrow in self.layers:
            attention.add_to(x, groups, first)
            feed_forward(x, wide, narrow)
        if self.gain is not None:
            torch.mul(unit(x), self.gain, out=x)


class FastBlock:
    """Computes a transformer along time, then one across bands, on all tokens.

    Args:
        time: the transformer along time.
        freq: the transformer across bands.
        dtype: type of the products.
        pool: the threads that compute.
        keeps: whether later blocks mix their values with those of this one.
    """

    def __init__(self, time: nn.Module, freq: nn.Module, dtype: torch.dtype, pool: Pool, keeps: bool = False) -> None:
        self.time, self.freq = (FastTransformer(plain, dtype, keeps) for plain in (time, freq))
        self.pool = pool

    def __call__(self, tokens: Tensor, first: Values | None = None) -> None:
        """Apply both transformers to float32 tokens (k, m, d) in place."""
        along_time, across_bands = (None, None) if first is None else first
        self._along_time(tokens, along_time)
        self._across_bands(tokens, across_bands)

    def _along_time(self, tokens: Tensor, first: Tensor | None) -> None:
        def tile(bands: slice) -> None:
            values = None if first is None else first[bands].flatten(0, 1)
            self.time(tokens[bands].view(-1, tokens.shape[-1]), len(tokens[bands]), values)

        self.pool.run(tile, tiles(len(tokens), ALONG // tokens[0].numel()))

    def _across_bands(self, tokens: Tensor, first: Tensor | None) -> None:
        def tile_of(here: slice) -> None:
            view = tokens[:, here].transpose(0, 1)
            tile = view.clone(memory_format=torch.contiguous_format).flatten(0, 1)
            self.freq(tile, len(view), None if first is None else first[here].flatten(0, 1))
            view.copy_(tile.view_as(view))

        most = max(TOKENS, ACROSS // tokens.shape[-1])
        self.pool.run(tile_of, tiles(tokens.shape[1], most // len(tokens)))

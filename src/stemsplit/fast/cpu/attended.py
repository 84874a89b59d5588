"""Computes means of values weighted by attention, over all tokens or within windows."""

from functools import lru_cache
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.fast.cpu.linear import ONEDNN, product

LANES = 16
"""Numbers that the CPU processes at once. PyTorch's softmax and some products are slow for sizes between multiples."""

SCORES = 1 << 23
"""Most attention scores in memory at once: all of an 8-second chunk, part of a longer one."""

LONG = 128
"""Number of tokens from which on each head is computed in two products of its own."""

BLOCK = 30
"""Fewest queries of a block of a window. With fewer, copying their keys takes longer than the products with them."""

BLOCK_SCORES = 1 << 18
"""Most scores of blocks at once; they stay in the cache."""


def attended(queries: Tensor, keys: Tensor, values: Tensor, tokens: int) -> Tensor:
    """Return each query's mean of the values, weighted by the softmax of its products with the keys.

    Args:
        queries: (heads, queries and any padding, d).
        keys: (heads, tokens and any padding, d).
        values: same number of tokens.
        tokens: number of tokens before the padding.

    Returns:
        (heads, at most `tokens` queries, d).
    """
    heads, padded, _ = keys.shape
    count = min(queries.shape[1], tokens)
    result = torch.empty(heads, count, values.shape[-1], dtype=values.dtype)
    by_head = ONEDNN and queries.dtype == torch.float32 and tokens >= LONG
    rows = max(SCORES // (padded if by_head else heads * padded), 1)
    for start in range(0, count, rows):
        here = slice(start, min(start + rows, count))
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


class Window(NamedTuple):
    """Says which tokens each token sees.

    Attributes:
        sinks: number of tokens at the start that see all tokens, and that all tokens see.
        reach: number of neighbours on each side that every other token sees besides.
    """

    sinks: int
    reach: int

    @property
    def keys(self) -> int:
        """Number of keys of a block of queries: the sinks, and the block with the neighbours on both sides."""
        around = self.sinks + 2 * self.reach
        return -(-(around + max(around // 4, BLOCK)) // LANES) * LANES

    @property
    def queries(self) -> int:
        """Number of queries of a block."""
        return self.keys - self.sinks - 2 * self.reach


def unseen(window: Window, frames: int, device: torch.device) -> Tensor:
    """Return what is added to the scores of the blocks of `frames` tokens after the sinks.

    Returns:
        float32 (blocks, queries, keys) on the device: 0 where the query sees the key, elsewhere minus infinity.
    """
    blocks = -(-frames // window.queries)
    query = torch.arange(blocks * window.queries, device=device).view(blocks, -1, 1)
    key = query[:, :1] - window.reach + torch.arange(window.keys - window.sinks, device=device)
    seen = (key >= 0) & (key < frames) & ((key - query).abs() <= window.reach)
    seen |= query >= frames  # padding, whose result is not used, must see something
    return F.pad(torch.zeros(seen.shape, device=device).masked_fill_(~seen, -torch.inf), (window.sinks, 0))


@lru_cache(maxsize=8)
def unseen_here(window: Window, frames: int) -> Tensor:
    """Return `unseen` on the CPU."""
    return unseen(window, frames, torch.device("cpu"))


def attended_within(window: Window, queries: Tensor, keys: Tensor, values: Tensor, tokens: int) -> Tensor:
    """Compute `attended` with queries that see only what a window allows.

    The tokens after the sinks are computed in blocks, each with the sinks' keys and those in its reach.
    """
    heads, frames = len(queries), tokens - window.sinks
    if window.reach >= frames - 1:
        return attended(queries, keys, values, tokens)
    result = torch.empty(heads, tokens, values.shape[-1], dtype=values.dtype)
    result[:, : window.sinks] = attended(queries[:, : window.sinks], keys, values, tokens)
    hidden = unseen_here(window, frames)
    blocks = len(hidden)
    whole = blocks * window.queries

    def laid_out(x: Tensor, reach: int) -> Tensor:
        """Return the tokens after the sinks, with zeros before them and after: (heads, whole + 2 * reach, d)."""
        return F.pad(x[:, window.sinks : tokens], (0, 0, reach, whole - frames + reach))

    near = [laid_out(x, window.reach).unfold(1, window.keys - window.sinks, window.queries) for x in (keys, values)]
    sinks = [x[:, None, : window.sinks].mT for x in (keys, values)]
    asking = laid_out(queries, 0).unflatten(1, (blocks, window.queries))
    found = torch.empty(heads, blocks, window.queries, values.shape[-1], dtype=values.dtype)
    step = max(BLOCK_SCORES // (heads * window.queries * window.keys), 1)
    for start in range(0, blocks, step):
        here = slice(start, min(start + step, blocks))
        count = here.stop - start
        some_keys, some_values = (
            torch.cat([few.expand(-1, count, -1, -1), many[:, here]], -1).flatten(0, 1)
            for few, many in zip(sinks, near, strict=True)
        )
        scores = torch.bmm(asking[:, here].flatten(0, 1), some_keys).unflatten(0, (heads, count))
        weights = attention_weights(scores.add_(hidden[here]), window.keys).flatten(0, 1)
        found[:, here] = torch.bmm(weights, some_values.mT).unflatten(0, (heads, count))
    result[:, window.sinks :] = found.flatten(1, 2)[:, :frames]
    return result

"""Computes means of values weighted by attention, over all tokens or within windows."""

import math
from collections.abc import Callable
from functools import lru_cache, partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.fast.cpu.kernels import choose
from stemsplit.fast.cpu.linear import ONEDNN, product
from stemsplit.fast.cpu.scratch import SCRATCH

LANES = 16
"""Numbers that the CPU processes at once. PyTorch's softmax and some products are slow for sizes between multiples."""

SCORES = 340_000
"""About the most attention scores at once, twice as many in half precision: with them, the second product starts before
they leave the cache."""

LONG = 128
"""Number of tokens from which on the two products of a head are not computed together with those of other groups if a
group's scores fill the cache."""

BLOCK = 30
"""Fewest queries of a block of a window. With fewer, copying their keys takes longer than the products with them."""

BLOCK_SCORES = 1 << 18
"""Most scores of blocks at once; they stay in the cache."""

LOG2_E = math.log2(math.e)
"""What makes powers of two of exponentials."""

SAFE = 1e-15, 1e15
"""Sums of exponentials between which no weight that matters has become zero, and none infinite."""


def pieces(count: int, most: int) -> list[slice]:
    """Cut `count` items into the fewest pieces of at most `most`, all about as long."""
    number = max(-(-count // max(most, 1)), 1)
    size = -(-count // number)
    return [slice(start, min(start + size, count)) for start in range(0, count, size)]


def attended(queries: Tensor, keys: Tensor, values: Tensor, result: Tensor) -> Tensor:
    """Sum the values, weighted by attention that is not yet divided by the sum of its weights.

    The numbers of a head's token must be next to each other, those of different tokens and heads need not be.

    Args:
        queries: scaled queries, (g, tokens that ask, heads, d).
        keys: (g, tokens, heads, d).
        values: (g, tokens, heads, e).
        result: where each query's sum is written, (g, tokens that ask, heads, e).

    Returns:
        Sums of the weights, float32 (g, tokens that ask, heads).
    """
    kernel = kernel_of(keys.dtype) if keys.shape[1] >= LONG else "BLAS"
    if kernel == "fused" and keys.shape[-1] == values.shape[-1]:
        return _fused(queries, keys, values, result)
    return _in_products(queries, keys, values, result, onednn=kernel == "oneDNN")


def kernel_of(dtype: torch.dtype) -> str:
    """Return what computes attention over many tokens.

    "fused" is PyTorch's own, which computes softmax and products at once, in small tiles. Otherwise, it is the library
    that computes the products.
    """
    heads, tokens, d = 4, 600, 64

    def example(attend: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Callable[[], object]:
        queries, keys, values, result = torch.rand(4, 1, tokens, heads, d).sub_(0.5).to(dtype)
        return lambda: attend(queries, keys, values, result)

    kernels = {"BLAS": lambda: example(_in_products), "fused": lambda: example(_fused)}
    if ONEDNN and dtype == torch.float32:  # in half precision, PyTorch's own products are oneDNN's
        kernels["oneDNN"] = lambda: example(partial(_in_products, onednn=True))
    return choose("long attention", dtype, kernels, 4.0 * heads * tokens**2 * d)


def _fused(queries: Tensor, keys: Tensor, values: Tensor, result: Tensor) -> Tensor:
    """Compute `attended` in one operation, with weights whose sums are 1."""
    q, k, v = (x.transpose(1, 2) for x in (queries, keys, values))
    mean = F.scaled_dot_product_attention(q, k, v, scale=1.0)
    result.copy_(mean.transpose(1, 2))
    return torch.ones(result.shape[:-1])


def _in_products(queries: Tensor, keys: Tensor, values: Tensor, result: Tensor, *, onednn: bool = False) -> Tensor:
    """Compute `attended` in products of each head; `onednn` says which library computes those over many tokens."""
    # Without the largest score subtracted, exponentials take a third of a softmax's time. Nearly always they are right.
    sums = _summed(queries, keys, values, result, safely=False, onednn=onednn)
    least, most = torch.aminmax(sums)
    if not (SAFE[0] < float(least) and float(most) < SAFE[1]):  # also if one is not a number
        sums = _summed(queries, keys, values, result, safely=True, onednn=onednn)
    return sums


def _summed(queries: Tensor, keys: Tensor, values: Tensor, result: Tensor, *, safely: bool, onednn: bool) -> Tensor:
    """Compute `attended`; `safely` has weights whose sums are 1."""
    groups, count, heads, _ = queries.shape
    sums = torch.ones(groups, heads, count)
    most = SCORES * torch.float32.itemsize // keys.dtype.itemsize
    at_once = most // (count * keys.shape[1])
    if keys.shape[1] >= LONG and min(groups, at_once) < 2:
        one_head = _one_head_by_onednn if onednn else _one_head
        for group in range(groups):
            for head in range(heads):
                q, k, v, into = (x[group, :, head] for x in (queries, keys, values, result))
                one_head(q, k, v, into, sums[group, head], most // len(k), safely)
    else:
        some = pieces(groups, at_once)
        for head in range(heads):
            for here in some:
                q, k, v, into = (x[here, :, head] for x in (queries, keys, values, result))
                scores = SCRATCH("scores", len(q), count, k.shape[1], dtype=q.dtype)
                weigh(torch.bmm(asking(q, safely), k.mT, out=scores), sums[here, head], safely)
                into.copy_(torch.bmm(scores, v, out=SCRATCH("values", len(q), count, v.shape[-1], dtype=v.dtype)))
    return sums.transpose(1, 2)


def _one_head(q: Tensor, k: Tensor, v: Tensor, into: Tensor, sums: Tensor, most: int, safely: bool) -> None:
    """Compute `attended` of one head in one group, for `most` queries at once at most.

    The tensors are (tokens, d) each, and `sums` is (tokens that ask,).
    """
    # The second product is faster with values in one piece.
    v, q = SCRATCH("values", *v.shape, dtype=v.dtype).copy_(v), asking(q, safely)
    for here in pieces(len(q), most):
        some = q[here]
        scores = SCRATCH("scores", len(some), len(k), dtype=q.dtype)
        weigh(torch.mm(some, k.mT, out=scores), sums[here], safely)
        torch.mm(scores, v, out=into[here])


def _one_head_by_onednn(q: Tensor, k: Tensor, v: Tensor, into: Tensor, sums: Tensor, most: int, safely: bool) -> None:
    """Compute `_one_head`."""
    # Of anything that is not in one piece, oneDNN takes a thousand times as long.
    k = SCRATCH("keys", *k.shape, dtype=k.dtype).copy_(k)
    v = SCRATCH("values", *v.mT.shape, dtype=v.dtype).copy_(v.mT)
    q = asking(q, safely).contiguous()
    for here in pieces(len(q), most):
        scores = product(q[here], k)
        weigh(scores, sums[here], safely)
        into[here] = product(scores, v)


def asking(queries: Tensor, safely: bool) -> Tensor:
    """Return queries whose scores `weigh` takes: (..., d), perhaps in the thread's scratch memory."""
    if safely or queries.dtype != torch.float32:
        return queries
    return torch.mul(queries, LOG2_E, out=SCRATCH("asking", *queries.shape))


def weigh(scores: Tensor, sums: Tensor, safely: bool) -> None:
    """Turn scores of queries from `asking`, (..., tokens), into weights in place, and write their sums, (...).

    If `safely`, the sums are 1, and are not written.
    """
    if safely:
        torch.softmax(scores, -1, out=scores)
        return
    # Powers of two are computed by PyTorch itself, exponentials by a library that is slow on other makers' CPUs.
    powers = scores.exp2_() if scores.dtype == torch.float32 else scores.exp_()
    torch.sum(powers, -1, dtype=sums.dtype, out=sums)


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


def attended_within(window: Window, queries: Tensor, keys: Tensor, values: Tensor, result: Tensor) -> Tensor:
    """Compute `attended` with queries that see only what a window allows.

    The tokens after the sinks are computed in blocks, each with the sinks' keys and those in its reach.
    """
    groups, tokens, heads, _ = queries.shape
    frames, first = tokens - window.sinks, slice(0, window.sinks)
    if window.reach >= frames - 1:
        return attended(queries, keys, values, result)
    sums = torch.ones(groups, tokens, heads)
    if window.sinks:
        sums[:, first] = attended(queries[:, first], keys, values, result[:, first])
    found = _in_blocks(window, *(x.transpose(1, 2).flatten(0, 1) for x in (queries, keys, values)))
    result[:, window.sinks :] = found.unflatten(0, (groups, heads)).transpose(1, 2)
    return sums


def _in_blocks(window: Window, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """Return the means of values of the tokens after the sinks, (heads, tokens, d) each -> (heads, frames, d)."""
    heads, tokens, _ = queries.shape
    frames = tokens - window.sinks
    hidden = unseen_here(window, frames)
    blocks = len(hidden)
    whole = blocks * window.queries

    def laid_out(x: Tensor, reach: int) -> Tensor:
        """Return the tokens after the sinks, with zeros before them and after: (heads, whole + 2 * reach, d)."""
        return F.pad(x[:, window.sinks :], (0, 0, reach, whole - frames + reach))

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
        weights = torch.softmax(scores.add_(hidden[here]), -1, out=scores).flatten(0, 1)
        found[:, here] = torch.bmm(weights, some_values.mT).unflatten(0, (heads, count))
    return found.flatten(1, 2)[:, :frames]

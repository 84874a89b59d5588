"""Windowed attention with sinks: a Mel-Band RoFormer whose frames attend to their neighbours and to learned frames.

Benetatos et al. 2025, arXiv:2510.25745. A frame's attention along time costs the same however long the chunk is.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stemsplit.models.keys import Shapes
from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_config import Config, Variant
from stemsplit.models.roformer_layers import Attention, PolarEmbedding, RotaryEmbedding

FRAMES = 64
"""Frames whose attention is computed at once; memory depends on it, not on the length of the chunk."""


class WindowedAttention(Attention):
    """Attends from the first tokens, the sinks, to all; from every other token to the sinks and its neighbours.

    Args:
        dim: features of a token.
        dim_head: features of a head.
        heads: number of heads.
        positions: encoding of positions, which count the sinks.
        sinks: number of sinks.
        reach: number of neighbours on each side.
    """

    def __init__(
        self,
        dim: int,
        dim_head: int,
        heads: int,
        positions: RotaryEmbedding | PolarEmbedding,
        *,
        sinks: int,
        reach: int,
    ) -> None:
        super().__init__(dim, dim_head, heads, positions)
        self.sinks, self.reach = sinks, reach

    def attended(self, queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Return each query's mean of the values it may see, (b, heads, tokens, d) each -> the same shape."""
        sinks, tokens = self.sinks, queries.shape[-2]
        parts = [super().attended(queries[..., :sinks, :], keys, values)]
        for start in range(sinks, tokens, FRAMES):
            stop = min(start + FRAMES, tokens)
            low, high = max(start - self.reach, sinks), min(stop + self.reach, tokens)
            seen, told = (torch.cat([x[..., :sinks, :], x[..., low:high, :]], -2) for x in (keys, values))
            here, there = (torch.arange(*ends, device=queries.device) for ends in ((start, stop), (low, high)))
            mask = F.pad((here[:, None] - there).abs() <= self.reach, (sinks, 0), value=True)
            asked = queries[..., start:stop, :]
            parts.append(F.scaled_dot_product_attention(asked, seen, told, attn_mask=mask, scale=self.scale))
        return torch.cat(parts, -2)


class WindowedRoFormer(RoFormer):
    """Separates mixtures as a `RoFormer` does, with learned frames, the sinks, put before the first."""

    def __init__(self, config: Config, bands: Sequence[range], hidden_layers: int, norm_output: bool) -> None:
        super().__init__(config, bands, hidden_layers, norm_output)
        # Drawn evenly, not normally: for that, PyTorch would import its compiler on the meta device.
        sinks = nn.init.uniform_(torch.empty(config.num_sink_tokens, len(bands), config.dim), -1, 1)
        self.sink_tokens = nn.Parameter(sinks)

    def attention(self, block: int, positions: RotaryEmbedding | PolarEmbedding, along_time: bool) -> Attention:
        """Make an attention layer; only those along time have windows."""
        c = self.config
        if not along_time:
            return super().attention(block, positions, along_time)
        window = {"sinks": c.num_sink_tokens, "reach": c.wsa_window_len // 2}
        return WindowedAttention(c.dim, c.dim_head, c.heads, positions, **window)

    def transformed(self, tokens: Tensor) -> Tensor:
        """Apply all blocks, (b, m, k, d) -> (b, m, k, d)."""
        sinks = self.sink_tokens.to(tokens.dtype).expand(len(tokens), -1, -1, -1)
        return super().transformed(torch.cat([sinks, tokens], 1))[:, len(self.sink_tokens) :]


def infer(shapes: Shapes) -> dict[str, Any]:
    """Return the number of sinks."""
    return {"num_sink_tokens": shapes["sink_tokens"][0]}


WINDOWED = Variant(
    name="windowed",
    title="windowed attention with sinks",
    architecture="mel_band_roformer",
    mark=r"^sink_tokens$",
    network=WindowedRoFormer,
    own=("wsa_window_len", "num_sink_tokens"),
    infer=infer,
    usual_hop=441,
    changes_attention=True,
)

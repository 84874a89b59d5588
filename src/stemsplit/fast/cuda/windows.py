"""Computes attention within windows on a GPU; see `stemsplit.fast.cpu.attended`."""

import torch
import torch.nn.functional as F
from torch import Tensor

from stemsplit.fast.cpu.attended import Window, unseen


class Windowed:
    """Computes attention in which each token sees only what a window allows.

    Args:
        window: what each token sees.
        device: the device that computes.
    """

    def __init__(self, window: Window, device: torch.device) -> None:
        self.window, self.device = window, device
        # They are never freed, because a recorded graph goes on reading them.
        self.tables: dict[tuple[int, torch.dtype], Tensor] = {}

    def __call__(self, queries: Tensor, keys: Tensor, values: Tensor, scale: float) -> Tensor:
        """Attend: (others, heads, tokens, d) each, the sinks first -> the same shape."""
        sinks, reach = self.window
        frames = queries.shape[-2] - sinks
        if reach >= frames - 1:
            return F.scaled_dot_product_attention(queries, keys, values, scale=scale)
        first = F.scaled_dot_product_attention(queries[..., :sinks, :], keys, values, scale=scale)
        if (frames, queries.dtype) not in self.tables:
            self.tables[frames, queries.dtype] = unseen(self.window, frames, self.device).to(queries.dtype)
        mask = self.tables[frames, queries.dtype]
        blocks, size, _ = mask.shape
        after = blocks * size - frames
        asking = F.pad(queries[..., sinks:, :], (0, 0, 0, after)).unflatten(-2, (blocks, size))

        def seen(x: Tensor) -> Tensor:
            """Return the sinks, and what is near each block: (others, heads, blocks, keys, d)."""
            padded = F.pad(x[..., sinks:, :], (0, 0, reach, after + reach))
            near = padded.unfold(-2, size + 2 * reach, size).mT
            return torch.cat([x[..., None, :sinks, :].expand(-1, -1, blocks, -1, -1), near], -2)

        # Blocks stand where heads do, because kernels take four dimensions.
        asking, near_keys, near_values = (x.flatten(0, 1) for x in (asking, seen(keys), seen(values)))
        found = F.scaled_dot_product_attention(asking, near_keys, near_values, attn_mask=mask, scale=scale)
        rest = found.flatten(1, 2)[:, :frames].unflatten(0, queries.shape[:2])
        return torch.cat([first, rest], -2)

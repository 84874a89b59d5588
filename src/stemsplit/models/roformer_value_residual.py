"""Value residual: a RoFormer whose attention mixes its values with those of the first block.

Zhou et al. 2024, arXiv:2410.17897, with a learned share for each token and head, as lucidrains' BS-RoFormer 0.5 has it.
"""

import torch
from torch import Tensor, nn

from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_config import Variant
from stemsplit.models.roformer_layers import Attention, PolarEmbedding, RotaryEmbedding


class MixingAttention(Attention):
    """Attends as `Attention` does, but each token's values are moved towards its first values."""

    def __init__(self, dim: int, dim_head: int, heads: int, positions: RotaryEmbedding | PolarEmbedding) -> None:
        super().__init__(dim, dim_head, heads, positions)
        self.to_value_residual_mix = nn.Linear(dim, heads)

    def mixed(self, x: Tensor, values: Tensor, first: Tensor) -> Tensor:
        """Move values towards the first ones by each token's share: normed (b, tokens, d), (b, heads, tokens, d)."""
        share = self.to_value_residual_mix(x).sigmoid().mT[..., None]
        return torch.lerp(values, first, share.to(values.dtype))


def transformed(transformer: nn.Module, x: Tensor, first: Tensor | None) -> tuple[Tensor, Tensor]:
    """Apply a transformer, (b, tokens, d) -> (b, tokens, d).

    Args:
        transformer: a `Transformer`, all of whose attention mixes, or none of it.
        x: tokens.
        first: values of the first attention along this axis in the network; None if this transformer has it.

    Returns:
        The tokens, and those values, (b, heads, tokens, d).
    """
    for layer in transformer.get_submodule("layers").children():
        attention, feed_forward = layer.children()
        assert isinstance(attention, Attention)
        normed = attention.norm(x)
        queries, keys, values = attention.projected(normed)
        first = values if first is None else first
        if isinstance(attention, MixingAttention):
            values = attention.mixed(normed, values, first)
        x = x + attention.combined(normed, queries, keys, values)
        x = x + feed_forward(x)
    assert first is not None
    return transformer.get_submodule("norm")(x), first


class ValueResidualRoFormer(RoFormer):
    """Separates mixtures as a `RoFormer` does, with attention that mixes in all blocks but the first."""

    def attention(self, block: int, positions: RotaryEmbedding | PolarEmbedding, along_time: bool) -> Attention:
        """Make an attention layer."""
        if block == 0:
            return super().attention(block, positions, along_time)
        return MixingAttention(self.config.dim, self.config.dim_head, self.config.heads, positions)

    def transformed(self, tokens: Tensor) -> Tensor:
        """Apply all blocks and the final norm, (b, m, k, d) -> (b, m, k, d)."""
        batch, _, bands, _ = tokens.shape
        first_time = first_freq = None
        outputs: list[Tensor] = []
        for block in self.layers:
            time, freq = block.children()
            if self.config.skip_connection:
                tokens = sum(outputs, tokens)
            along_time, first_time = transformed(time, tokens.transpose(1, 2).flatten(0, 1), first_time)
            tokens = along_time.unflatten(0, (batch, bands)).transpose(1, 2)
            across_bands, first_freq = transformed(freq, tokens.flatten(0, 1), first_freq)
            tokens = across_bands.unflatten(0, (batch, -1))
            outputs.append(tokens)
        return self.final_norm(tokens)


VALUE_RESIDUAL = Variant(
    name="value_residual",
    title="value residuals",
    architecture="bs_roformer",
    mark=r"^layers\.\d+\.\d+\.layers\.\d+\.0\.to_value_residual_mix\.(weight|bias)$",
    network=ValueResidualRoFormer,
    defaults={"zero_dc": False},
    changes_attention=True,
)

"""Large-Inst v2: a RoFormer whose masks' networks begin with transformers of their own."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from stemsplit.models.keys import Shapes, count
from stemsplit.models.roformer import MaskEstimator, RoFormer
from stemsplit.models.roformer_config import Config, Variant
from stemsplit.models.roformer_layers import Attention, RMSNorm, RotaryEmbedding, Transformer


class RefiningMaskEstimator(MaskEstimator):
    """Refines the tokens along time and across bands in turn, then computes one stem's mask from each band's."""

    def __init__(self, sizes: Sequence[int], hidden: Sequence[int], config: Config) -> None:
        super().__init__(sizes, config.dim, hidden)
        c = config
        positions = [RotaryEmbedding(c.refiner_dim_head) for _ in range(2)]  # along time, and across bands

        def pair() -> nn.ModuleList:
            attentions = [Attention(c.dim, c.refiner_dim_head, c.refiner_heads, axis) for axis in positions]
            return nn.ModuleList(Transformer([attention], c.dim, norm=False) for attention in attentions)

        self.layers = nn.ModuleList(pair() for _ in range(c.refiner_depth))
        self.norm = RMSNorm(c.dim)

    def refined(self, tokens: Tensor) -> Tensor:
        """Apply the transformers and the norm, (b, m, k, d) -> (b, m, k, d)."""
        batch, frames, bands, _ = tokens.shape
        for pair in self.layers:
            time, freq = pair.children()
            along_time = time(tokens.transpose(1, 2).flatten(0, 1)).unflatten(0, (batch, bands)).transpose(1, 2)
            tokens = freq(along_time.flatten(0, 1)).unflatten(0, (batch, frames))
        return self.norm(tokens)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """(b, m, k, d) -> (b, m, size of the band) each."""
        return super().forward(self.refined(tokens))


class LargeInstRoFormer(RoFormer):
    """Separates mixtures as a `RoFormer` does, with tokens refined for each stem."""

    def mask_estimator(self, sizes: Sequence[int], hidden: Sequence[int]) -> nn.Module:
        """Make what computes one stem's mask."""
        return RefiningMaskEstimator(sizes, hidden, self.config)


def infer(shapes: Shapes) -> dict[str, Any]:
    """Return the hyperparameters of the refiner."""
    attention = "mask_estimators.0.layers.0.0.layers.0.0."
    heads = shapes[f"{attention}to_gates.weight"][0]
    return {
        "refiner_depth": count(shapes, "mask_estimators.0.layers."),
        "refiner_heads": heads,
        "refiner_dim_head": shapes[f"{attention}to_qkv.weight"][0] // (3 * heads),
    }


LARGE_INST_V2 = Variant(
    name="large_inst_v2",
    title="an axial refiner in its masks' networks (Large-Inst v2)",
    architecture="bs_roformer",
    mark=r"^mask_estimators\.\d+\.(layers\.|norm\.gamma$)",
    network=LargeInstRoFormer,
    own=("refiner_depth", "refiner_heads", "refiner_dim_head"),
    infer=infer,
    tensors=lambda config: 22 * config.num_stems * config.refiner_depth,
)

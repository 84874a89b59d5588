"""HyperACE: a RoFormer whose masks are the bands' own plus one that an image network draws over all of them."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from stemsplit.models.keys import Shapes, count
from stemsplit.models.roformer import MaskEstimator, RoFormer
from stemsplit.models.roformer_config import Config, Variant
from stemsplit.models.roformer_hyperace_unet import STAGES, Segmentation, Shape


class HyperAceMaskEstimator(MaskEstimator):
    """Computes one stem's mask: each band's from its own tokens, plus one from the tokens of all bands.

    Args:
        bands: bins of each band.
        channels: number of channels taken at once.
        dim: features of a token.
        hidden: sizes of the hidden layers of each band's network.
        shape: sizes of the network for all bands.
    """

    def __init__(self, bands: Sequence[range], channels: int, dim: int, hidden: Sequence[int], shape: Shape) -> None:
        super().__init__([2 * channels * len(band) for band in bands], dim, hidden)
        self.bands = bands
        self.segm = Segmentation(dim, len(bands), max(band.stop for band in bands), 2 * channels, shape)

    def forward(self, tokens: Tensor) -> list[Tensor]:
        """(b, m, k, d) -> (b, m, size of the band) each. A bin in several bands has the same addition in all."""
        added = self.segm(tokens)
        parts = [added[:, :, band.start : band.stop].flatten(2) for band in self.bands]
        return [mask + part for mask, part in zip(super().forward(tokens), parts, strict=True)]


class HyperAceRoFormer(RoFormer):
    """Separates mixtures as a `RoFormer` does, with `HyperAceMaskEstimator` for each stem."""

    def mask_estimator(self, sizes: Sequence[int], hidden: Sequence[int]) -> nn.Module:  # noqa: ARG002  # of the bands
        """Make what computes one stem's mask."""
        c = self.config
        return HyperAceMaskEstimator(self.bands, c.channels, c.dim, hidden, shape_of(c))


HYPEREDGES = {1: 16, 2: 32}
"""Version -> published number of hyperedges."""


def shape_of(config: Config) -> Shape:
    """Return the sizes that a config describes.

    Raises:
        ValueError: no network has such sizes.
    """
    version = 1 if config.variant == HYPERACE_V1.name else 2
    hyperedges = config.hyperace_hyperedges or HYPEREDGES[version]
    return Shape(version, config.hyperace_channels, config.hyperace_depth, hyperedges, config.hyperace_num_heads)


def check(config: Config) -> None:
    """Raise ValueError if no network can be built from a config."""
    if shape_of(config).version == 2 and config.band_count < 2:
        raise ValueError("HyperACE needs two bands or more")


def infer(shapes: Shapes) -> dict[str, Any]:
    """Return the sizes of the network, of which only the number of heads cannot be seen."""
    segm = "mask_estimators.0.segm."
    places = ("stem", *(f"p{number}.0" for number in STAGES))
    return {
        "hyperace_channels": tuple(shapes[f"{segm}backbone.{place}.pwconv.weight"][0] for place in places),
        "hyperace_depth": count(shapes, f"{segm}backbone.p2.1.m.m."),
        "hyperace_hyperedges": shapes[f"{segm}hyperace.high_order_branch.0.ahc.adaptive_hyperedge_gen.global_proto"][0],
    }


OF_VERSION_2 = r"^mask_estimators\.\d+\.segm\.upsample_head\.block\d\.out_conv\."
"""Pattern of keys that tells version 2 from version 1."""


COMMON: dict[str, Any] = {
    "architecture": "bs_roformer",
    "mark": r"^mask_estimators\.\d+\.segm\.",
    "network": HyperAceRoFormer,
    "own": ("hyperace_channels", "hyperace_depth", "hyperace_hyperedges", "hyperace_num_heads"),
    "infer": infer,
    "check": check,
    "tensors": lambda config: config.num_stems * (400 + 48 * config.hyperace_depth),
}
"""What both versions have."""

HYPERACE_V1 = Variant(
    name="hyperace_v1",
    title="a hypergraph network over all bands (HyperACE v1)",
    unless=OF_VERSION_2,
    **COMMON,
)
HYPERACE_V2 = Variant(
    name="hyperace_v2",
    title="a hypergraph network over all bands (HyperACE v2)",
    needs=OF_VERSION_2,
    **COMMON,
)

"""BS-RoFormer: a RoFormer whose bands lie side by side (Lu et al. 2023, arXiv:2309.02612)."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from stemsplit.models import roformer_config, roformer_keys, roformer_variants
from stemsplit.models.keys import Shapes
from stemsplit.models.network import Network
from stemsplit.models.roformer_config import IGNORED
from stemsplit.models.roformer_keys import MARKS, adapt_keys, completed

__all__ = ["IGNORED", "MARKS", "Config", "adapt_keys", "build", "completed", "infer"]

DEFAULT_BANDS = (2,) * 24 + (4,) * 12 + (12,) * 8 + (24,) * 8 + (48,) * 8 + (128, 129)
"""Bins of each band for an STFT of 2048; bands are narrow where music is dense."""


@dataclass(frozen=True, kw_only=True)
class Config(roformer_config.Config):
    """Hyperparameters, under the names of the published configs; see also `roformer_config.Config`.

    Args:
        freqs_per_bands: number of bins of each band, from the lowest band on; they add up to all bins.

    Raises:
        ValueError: a value that no network can be built from.
    """

    freqs_per_bands: tuple[int, ...] = DEFAULT_BANDS

    def __post_init__(self) -> None:
        super().__post_init__()
        widths = self.freqs_per_bands
        if not isinstance(widths, list | tuple) or not all(type(width) is int and width > 0 for width in widths):
            raise ValueError(f"freqs_per_bands must be a list of positive whole numbers, not {widths!r}")
        if sum(widths) != self.bins:
            raise ValueError(f"freqs_per_bands must add up to the {self.bins} bins of the STFT, not {sum(widths)}")
        roformer_variants.check(self, "bs_roformer")

    @property
    def band_count(self) -> int:
        """Number of bands."""
        return len(self.freqs_per_bands)


def build(config: Config) -> Network:
    """Build the network with fresh weights."""
    ends = accumulate(config.freqs_per_bands)
    bands = [range(end - width, end) for end, width in zip(ends, config.freqs_per_bands, strict=True)]
    return roformer_variants.build(config, bands, hidden_layers=config.mask_estimator_depth - 1, norm_output=False)


def infer(shapes: Shapes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Infer the hyperparameters of a checkpoint.

    Args:
        shapes: shapes of its tensors, by key (after `adapt_keys`).

    Returns:
        The hyperparameters that the shapes determine, and the usual values of the others; None if the checkpoint is
        of another architecture.

    Raises:
        KeyError: a key is missing.
        ValueError: the bands do not add up to the bins of an STFT, or the variant is not supported.
    """
    if "final_norm.gamma" not in shapes or "band_split.to_features.0.0.gamma" not in shapes:
        return None
    variant, of_variant, usual = roformer_variants.infer(shapes, "bs_roformer")
    inferred = roformer_keys.inferred(shapes, variant)
    sizes = roformer_keys.band_sizes(shapes)
    # All bands together hold n_fft / 2 + 1 bins, each with a real and an imaginary part per channel. n_fft is a power
    # of two.
    numbers = sum(sizes)
    stereo = numbers % 2 == 0 and (numbers // 2 - 2).bit_count() == 1
    n_fft = numbers // 2 - 2 if stereo else numbers - 2
    if n_fft.bit_count() != 1:
        raise ValueError(f"its bands hold {numbers} numbers per frame, which fits no STFT")
    widths = tuple(size // (4 if stereo else 2) for size in sizes)
    inferred |= {"stereo": stereo, "stft_n_fft": n_fft, "freqs_per_bands": widths, **of_variant}
    if "mask_layers" in inferred:
        inferred["mask_estimator_depth"] = inferred.pop("mask_layers")
    return inferred, roformer_keys.defaults(n_fft, 512 if inferred["use_pope"] else variant.usual_hop) | usual

"""BS-RoFormer: bands that lie side by side (Lu et al. 2023, arXiv:2309.02612)."""

from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from torch import nn

from stemsplit.models import roformer, roformer_keys
from stemsplit.models.keys import Shapes
from stemsplit.models.roformer import IGNORED, RoFormer
from stemsplit.models.roformer_keys import adapt_keys

__all__ = ["IGNORED", "Config", "adapt_keys", "build", "infer"]

DEFAULT_BANDS = (2,) * 24 + (4,) * 12 + (12,) * 8 + (24,) * 8 + (48,) * 8 + (128, 129)
"""Bins of each band for an STFT of 2048: narrow where music is dense."""


@dataclass(frozen=True, kw_only=True)
class Config(roformer.Config):
    """Hyperparameters, under the names of the published configs; see also `roformer.Config`.

    Args:
        freqs_per_bands: bins of each band, from the lowest; together all bins.

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


def build(config: Config) -> nn.Module:
    """The network, with fresh weights."""
    ends = accumulate(config.freqs_per_bands)
    bands = [range(end - width, end) for end, width in zip(ends, config.freqs_per_bands, strict=True)]
    return RoFormer(config, bands, hidden_layers=config.mask_estimator_depth - 1, norm_output=False)


def infer(shapes: Shapes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Hyperparameters of a checkpoint: those that its shapes tell, and the usual values of the others.

    Args:
        shapes: of its tensors, by key (after `adapt_keys`).

    Returns:
        Both, or None if it is of another architecture.

    Raises:
        KeyError: keys are missing.
        ValueError: the bands are those of no STFT.
    """
    if "final_norm.gamma" not in shapes or "band_split.to_features.0.0.gamma" not in shapes:
        return None
    told = roformer_keys.told(shapes)
    sizes = roformer_keys.band_sizes(shapes)
    # All bands together: real and imaginary part, of each channel, of n_fft / 2 + 1 bins. n_fft is a power of two.
    numbers = sum(sizes)
    stereo = numbers % 2 == 0 and (numbers // 2 - 2).bit_count() == 1
    n_fft = numbers // 2 - 2 if stereo else numbers - 2
    if n_fft.bit_count() != 1:
        raise ValueError(f"its bands hold {numbers} numbers a frame, which no STFT gives")
    widths = tuple(size // (4 if stereo else 2) for size in sizes)
    told |= {"stereo": stereo, "stft_n_fft": n_fft, "freqs_per_bands": widths}
    return told | {"mask_estimator_depth": told.pop("mask_layers")}, roformer_keys.assumed(n_fft)

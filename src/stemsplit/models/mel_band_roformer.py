"""Mel-Band RoFormer: a RoFormer with overlapping bands, evenly spaced in mels (Wang et al. 2023, arXiv:2310.01809)."""

import math
import re
from dataclasses import dataclass
from itertools import product
from typing import Any

from stemsplit.models import roformer_config, roformer_keys, roformer_variants
from stemsplit.models.keys import Shapes
from stemsplit.models.network import Network
from stemsplit.models.roformer_config import IGNORED
from stemsplit.models.roformer_keys import MARKS, adapt_keys, completed

__all__ = ["IGNORED", "MARKS", "Config", "adapt_keys", "build", "completed", "infer"]


@dataclass(frozen=True, kw_only=True)
class Config(roformer_config.Config):
    """Hyperparameters, under the names of the published configs; see also `roformer_config.Config`.

    Args:
        num_bands: number of bands.
        sample_rate: Hz.

    Raises:
        ValueError: a value that no network can be built from.
    """

    num_bands: int = 60
    sample_rate: int = 44_100
    mask_estimator_depth: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        roformer_variants.check(self, "mel_band_roformer")

    @property
    def band_count(self) -> int:
        """Number of bands."""
        return self.num_bands


KNEE_HZ, KNEE_MEL = 1_000, 15
"""Where the mel scale of Slaney's Auditory Toolbox (1998) turns from linear to logarithmic."""

MELS_PER_NEPER = 27 / math.log(6.4)
"""Mels above the knee over which a frequency grows e-fold."""


def mel(frequency: float) -> float:
    """Convert Hz to mels on Slaney's scale."""
    if frequency < KNEE_HZ:
        return frequency * KNEE_MEL / KNEE_HZ
    return KNEE_MEL + MELS_PER_NEPER * math.log(frequency / KNEE_HZ)


def hertz(mels: float) -> float:
    """Convert mels on Slaney's scale to Hz."""
    if mels < KNEE_MEL:
        return mels * KNEE_HZ / KNEE_MEL
    return KNEE_HZ * math.exp((mels - KNEE_MEL) / MELS_PER_NEPER)


def mel_bands(sample_rate: int, n_fft: int, num_bands: int) -> list[range]:
    """Return the STFT bins that each band of a Mel-Band RoFormer covers.

    Bands are evenly spaced in mels and reach to their neighbours' centres, so a bin may be in two
    (Wang et al. 2023, arXiv:2310.01809).

    Args:
        sample_rate: Hz.
        n_fft: STFT size, in samples.
        num_bands: number of bands.

    Returns:
        Consecutive bins for each band, from the lowest band on.

    Raises:
        ValueError: a band covers no bin; ask for fewer bands or a larger n_fft.
    """
    # Band k lies between edges k and k + 2; a bin on an edge is outside.
    step = mel(sample_rate / 2) / (num_bands + 1)
    edges = [hertz(step * k) * n_fft / sample_rate for k in range(num_bands + 2)]  # in bins
    starts = [math.floor(edge) + 1 for edge in edges[:-2]]
    stops = [math.ceil(edge) for edge in edges[2:]]
    # The first and last bins are on edges, but every bin must be in a band.
    starts[0], stops[-1] = 0, n_fft // 2 + 1
    bands = [range(start, stop) for start, stop in zip(starts, stops, strict=True)]
    if empty := [k for k, band in enumerate(bands) if not band]:
        raise ValueError(f"band {empty[0]} of {num_bands} covers no bin of an STFT of {n_fft} at {sample_rate} Hz")
    return bands


def build(config: Config) -> Network:
    """Build the network with fresh weights."""
    bands = mel_bands(config.sample_rate, config.stft_n_fft, config.num_bands)
    return roformer_variants.build(config, bands, hidden_layers=config.mask_estimator_depth, norm_output=True)


USUAL_STFTS = (2048, 4096, 1024, 512, 8192, 256)
"""STFT sizes to try when bands are matched, the most common first."""

USUAL_RATES = (44_100, 48_000, 32_000, 24_000, 22_050, 16_000, 8_000)
"""Sample rates to try when bands are matched, in Hz, the most common first."""


def infer(shapes: Shapes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Infer the hyperparameters of a checkpoint.

    Args:
        shapes: shapes of its tensors, by key (after `adapt_keys`).

    Returns:
        The hyperparameters that the shapes determine, and the usual values of the others; None if the checkpoint is
        of another architecture.

    Raises:
        KeyError: a key is missing.
        ValueError: the bands do not match any usual sample rate and STFT, or the variant is not supported.
    """
    if "band_split.to_features.0.0.gamma" not in shapes:
        return None
    if not any(re.fullmatch(r"layers\.0\.\d+\.norm\.gamma", key) for key in shapes):
        return None
    variant, of_variant, usual = roformer_variants.infer(shapes, "mel_band_roformer")
    inferred = roformer_keys.inferred(shapes, variant) | of_variant
    sizes = roformer_keys.band_sizes(shapes)
    for stereo, n_fft, rate in product((True, False), USUAL_STFTS, USUAL_RATES):
        if sizes[-1] > 2 * n_fft or len(sizes) > n_fft // 4:
            continue
        try:
            widths = [len(band) * (4 if stereo else 2) for band in mel_bands(rate, n_fft, len(sizes))]
        except ValueError:
            continue
        if widths == sizes:
            inferred |= {"stereo": stereo, "stft_n_fft": n_fft, "sample_rate": rate, "num_bands": len(sizes)}
            depth = inferred.pop("mask_layers") - 1
            usual = roformer_keys.defaults(n_fft, 512 if inferred["use_pope"] else variant.usual_hop) | usual
            return inferred | {"mask_estimator_depth": depth}, usual
    raise ValueError(f"its {len(sizes)} bands do not match any usual sample rate and STFT")

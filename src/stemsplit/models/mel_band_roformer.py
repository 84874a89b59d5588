"""Mel-Band RoFormer: bands as wide as hearing makes them, each reaching into its neighbours (Wang et al. 2023,
arXiv:2310.01809).
"""

import re
import warnings
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch
from torch import nn

from stemsplit.models import roformer, roformer_keys
from stemsplit.models.roformer import IGNORED, RoFormer
from stemsplit.models.roformer_keys import Shapes, adapt_keys

__all__ = ["IGNORED", "Config", "adapt_keys", "build", "infer"]


@dataclass(frozen=True, kw_only=True)
class Config(roformer.Config):
    """Hyperparameters, under the names of the published configs; see also `roformer.Config`.

    Args:
        num_bands: bands, spaced evenly in mels.
        sample_rate: Hz.

    Raises:
        ValueError: a value that no network can be built from.
    """

    num_bands: int = 60
    sample_rate: int = 44_100
    mask_estimator_depth: int = 1


def mel_bands(sample_rate: int, n_fft: int, num_bands: int) -> list[range]:
    """The STFT bins of each band of a Mel-Band RoFormer.

    Bands are spaced evenly on Slaney's mel scale and reach to their neighbours' centres, so a bin may be in two.

    Args:
        sample_rate: Hz.
        n_fft: STFT size, in samples.
        num_bands: how many.

    Returns:
        Consecutive bins for each band, from the lowest.

    Raises:
        ValueError: a band covers no bin; ask for fewer bands or a larger n_fft.
    """
    # Only here: it takes a while to import, and no other architecture needs it.
    from torchaudio.functional import melscale_fbanks

    with torch.device("cpu"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of empty bands, which are an error below
        bank = melscale_fbanks(
            n_fft // 2 + 1, 0.0, sample_rate / 2, num_bands, sample_rate, norm="slaney", mel_scale="slaney"
        )
    inside = bank.T > 0
    inside[0, 0] = inside[-1, -1] = True
    bands = [band.nonzero().flatten().tolist() for band in inside]
    if empty := [k for k, band in enumerate(bands) if not band]:
        raise ValueError(f"band {empty[0]} of {num_bands} covers no bin of an STFT of {n_fft} at {sample_rate} Hz")
    return [range(band[0], band[-1] + 1) for band in bands]


def build(config: Config) -> nn.Module:
    """The network, with fresh weights."""
    bands = mel_bands(config.sample_rate, config.stft_n_fft, config.num_bands)
    return RoFormer(config, bands, hidden_layers=config.mask_estimator_depth, norm_output=True)


USUAL_STFTS = (2048, 4096, 1024, 512, 8192, 256)
USUAL_RATES = (44_100, 48_000, 32_000, 24_000, 22_050, 16_000, 8_000)


def infer(shapes: Shapes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Hyperparameters of a checkpoint: those that its shapes tell, and the usual values of the others.

    Args:
        shapes: of its tensors, by key (after `adapt_keys`).

    Returns:
        Both, or None if it is of another architecture.

    Raises:
        KeyError: keys are missing.
        ValueError: the bands are those of no usual sample rate and STFT.
    """
    if "band_split.to_features.0.0.gamma" not in shapes:
        return None
    if not any(re.fullmatch(r"layers\.0\.\d+\.norm\.gamma", key) for key in shapes):
        return None
    told = roformer_keys.told(shapes)
    sizes = roformer_keys.band_sizes(shapes)
    for stereo, n_fft, rate in product((True, False), USUAL_STFTS, USUAL_RATES):
        if sizes[-1] > 2 * n_fft or len(sizes) > n_fft // 4:
            continue
        try:
            widths = [len(band) * (4 if stereo else 2) for band in mel_bands(rate, n_fft, len(sizes))]
        except ValueError:
            continue
        if widths == sizes:
            told |= {"stereo": stereo, "stft_n_fft": n_fft, "sample_rate": rate, "num_bands": len(sizes)}
            return told | {"mask_estimator_depth": told.pop("mask_layers") - 1}, roformer_keys.assumed(n_fft)
    raise ValueError(f"its {len(sizes)} bands are those of no usual sample rate and STFT")

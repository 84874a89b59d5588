"""Infers the variant and most hyperparameters of a RoFormer from its checkpoint's keys and shapes."""

import re
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from torch import Tensor

from stemsplit.models import roformer_shared_bias, roformer_variants
from stemsplit.models.keys import Inferred, Shapes, count
from stemsplit.models.roformer_config import Variant

MARKS = ("band_split.to_features.0.0.gamma",)
"""Keys of which every RoFormer has one."""

REFUSED = {
    "hyper-connections": r"\.branch\.|static_alpha|dynamic_alpha_fn",
    "two residual streams (Siamese)": r"\b[xy]_attn\b|\bln_[xy]_(attn|mlp)\b",
    "HyperACE (a hypergraph network over the bands) in an unknown place": r"(^|\.)segm\.|upsample_head\.",
    "value residuals of another program": r"value_residual_mix",
    "stored position tables": r"(cos|sin)_emb_(time|freq)",
    "a Conformer": r"conformer|\.ff[12]\.|\.conv\.",
    "Fourier neural operators in an unknown place": r"fno|spectral_conv",
    "an unknown axial refiner": r"refiner",
    "attention sinks in an unknown place": r"sink",
}
"""Variants with modules that are not supported -> a pattern that only their keys match, among those of RoFormers."""


def refuse_variants(keys: Collection[str]) -> None:
    """Refuse checkpoints of known variants that are not supported.

    Args:
        keys: a checkpoint's keys; those of other architectures than a RoFormer pass.

    Raises:
        ValueError: the keys are of such a variant, which the message names.
    """
    if not any(key.startswith("band_split.") for key in keys):
        return
    known = re.compile("|".join(f"({variant.mark})" for variant in roformer_variants.VARIANTS.values()))
    for key in keys:
        for variant, pattern in REFUSED.items():
            if re.search(pattern, key) and not known.search(key):
                raise ValueError(f"this is a RoFormer with {variant} ({key[:200]}), which stemsplit does not support")


def adapt_keys(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the keys that the networks here have.

    One training program keeps an empty slot before the time transformers, so its keys count from one. Each variant may
    have its own ways to store tensors, too.

    Raises:
        ValueError: the checkpoint is of a variant that is not supported, or its tensors contradict each other.
    """
    refuse_variants(tensors.keys())
    if "layers.0.2.layers.0.0.to_qkv.weight" in tensors and not any(key.startswith("layers.0.0.") for key in tensors):
        tensors = {
            re.sub(r"^(layers\.\d+)\.([12])\.", lambda match: f"{match[1]}.{int(match[2]) - 1}.", key): value
            for key, value in tensors.items()
        }
    for variant in roformer_variants.VARIANTS.values():
        tensors = variant.adapt(tensors) if variant.adapt else tensors
    return dict(tensors)


def band_sizes(shapes: Shapes) -> list[int]:
    """Return how many numbers each band has per frame."""
    bands = count(shapes, "band_split.to_features.")
    return [shapes[f"band_split.to_features.{k}.0.gamma"][0] for k in range(bands)]


def inferred(shapes: Shapes, variant: Variant) -> dict[str, Any]:
    """Return the hyperparameters common to both RoFormers that shapes determine; `mask_layers` counts linear layers.

    Raises:
        KeyError: a key that every RoFormer of the variant has is missing.
    """
    dim = shapes["band_split.to_features.0.1.weight"][0]
    linear = "layers.0.0.layers.0.0.temperature" in shapes
    time, freq = (f"layers.0.{axis + linear}.layers." for axis in (0, 1))
    heads = shapes[f"{freq}0.0.to_gates.weight"][0]
    hyperparameters = {
        "dim": dim,
        "depth": count(shapes, "layers."),
        "num_stems": count(shapes, "mask_estimators."),
        "linear_transformer_depth": count(shapes, "layers.0.0.layers.") if linear else 0,
        "time_transformer_depth": count(shapes, time),
        "freq_transformer_depth": count(shapes, freq),
        "heads": heads,
        "dim_head": shapes[f"{freq}0.0.to_qkv.weight"][0] // (3 * heads),
        "use_pope": f"{freq}0.0.pope_embed.bias" in shapes,
    }
    if variant.has_mlps:
        mask = "mask_estimators.0.to_freqs.0.0."
        width = shapes[f"{mask}0.weight"][0]
        layers = count(shapes, mask)
        hyperparameters["mask_layers"] = layers
        if layers > 1:
            hyperparameters["mlp_expansion_factor"] = width // dim
    return hyperparameters


def hop(n_fft: int, usual: int) -> int:
    """Return the usual samples between frames of an STFT, given those of an STFT of 2048."""
    return usual if n_fft == 2048 else max(n_fft // 4, 1)


def defaults(n_fft: int, usual_hop: int) -> dict[str, Any]:
    """Return the usual values of hyperparameters that shapes do not determine, those of most published checkpoints.

    Args:
        n_fft: STFT size, in samples.
        usual_hop: usual samples between frames of an STFT of 2048; of others, it is a quarter of their size.
    """
    return {
        "stft_hop_length": hop(n_fft, usual_hop),
        "stft_win_length": n_fft,
        "stft_normalized": False,
        "skip_connection": False,
        "zero_dc": True,
    }


def completed(found: Inferred, keys: Collection[str]) -> Inferred:
    """Add to what shapes show what only a checkpoint's own keys, or its variant, show.

    Args:
        found: what its shapes show.
        keys: its keys before `adapt_keys`, which drops biases that are zero.
    """
    usual = dict(found.defaults)
    if roformer_shared_bias.has_biases(keys):
        usual["stft_hop_length"] = hop(found.inferred["stft_n_fft"], roformer_shared_bias.SHARED_BIAS.usual_hop)
    every = {name for variant in roformer_variants.VARIANTS.values() for name in ("variant", *variant.own)}
    modes = found.inferred.get("n_modes", 0)
    # An odd number of modes has as many bins as the even one before it.
    also = {"n_modes": (modes + 1,)} if modes > 1 else {}
    return replace(found, defaults=usual, also=also, foreign=frozenset(every - found.inferred.keys() - usual.keys()))

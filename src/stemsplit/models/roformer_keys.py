"""Infers the variant and most hyperparameters of a RoFormer from its checkpoint's keys and shapes."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from torch import Tensor

from stemsplit.models.keys import Shapes, count

MARKS = ("band_split.to_features.0.0.gamma",)
"""Keys of which every RoFormer has one."""

REFUSED = {
    "HyperACE (a hypergraph network over the bands)": r"(^|\.)segm\.|upsample_head\.",
    "value residuals": r"to_value_residual_mix|learned_value_residual_mix",
    "hyper-connections": r"\.branch\.|static_alpha|dynamic_alpha_fn",
    "shared attention biases": r"linear_6\d_bias|to_qkv\.bias|to_out\.0\.bias",
    "stored position tables": r"(cos|sin)_emb_(time|freq)",
    "a Conformer": r"conformer|\.ff[12]\.|\.conv\.",
    "Fourier neural operators": r"fno|spectral_conv",
    "an axial refiner": r"refiner",
    "attention sinks": r"sink",
}
"""Published variants with modules that are not supported -> a pattern that only their keys match."""


def refuse_variants(keys: Collection[str]) -> None:
    """Refuse checkpoints of known variants that are not supported.

    Args:
        keys: a checkpoint's keys; those of other architectures than a RoFormer pass.

    Raises:
        ValueError: the keys are of such a variant, which the message names.
    """
    if not any(key.startswith("band_split.") for key in keys):
        return
    for key in keys:
        for variant, pattern in REFUSED.items():
            if re.search(pattern, key):
                raise ValueError(f"this is a RoFormer with {variant} ({key}), which stemsplit does not support")


def adapt_keys(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors under the keys that the networks here have.

    One training program keeps an empty slot before the time transformers, so its keys count from one.

    Raises:
        ValueError: the checkpoint is of a variant that is not supported.
    """
    refuse_variants(tensors.keys())
    if "layers.0.2.layers.0.0.to_qkv.weight" not in tensors or any(key.startswith("layers.0.0.") for key in tensors):
        return dict(tensors)
    return {
        re.sub(r"^(layers\.\d+)\.([12])\.", lambda match: f"{match[1]}.{int(match[2]) - 1}.", key): value
        for key, value in tensors.items()
    }


def band_sizes(shapes: Shapes) -> list[int]:
    """Return how many numbers each band has per frame."""
    bands = count(shapes, "band_split.to_features.")
    return [shapes[f"band_split.to_features.{k}.0.gamma"][0] for k in range(bands)]


def inferred(shapes: Shapes) -> dict[str, Any]:
    """Return the hyperparameters common to both RoFormers that shapes determine; `mask_layers` counts linear layers.

    Raises:
        KeyError: a key that every RoFormer has is missing.
    """
    dim = shapes["band_split.to_features.0.1.weight"][0]
    linear = "layers.0.0.layers.0.0.temperature" in shapes
    time, freq = (f"layers.0.{axis + linear}.layers." for axis in (0, 1))
    heads = shapes[f"{freq}0.0.to_gates.weight"][0]
    mask = "mask_estimators.0.to_freqs.0.0."
    width = shapes[f"{mask}0.weight"][0]
    layers = count(shapes, mask)
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
        "mask_layers": layers,
    }
    if layers > 1:
        hyperparameters["mlp_expansion_factor"] = width // dim
    return hyperparameters


def defaults(n_fft: int) -> dict[str, Any]:
    """Return the usual values of hyperparameters that shapes do not determine.

    They are those of most published checkpoints: the hop is 10 ms at 44.1 kHz and an STFT of 2048.
    """
    return {
        "stft_hop_length": max(n_fft * 441 // 2048, 1),
        "stft_win_length": n_fft,
        "stft_normalized": False,
        "skip_connection": False,
        "zero_dc": True,
    }

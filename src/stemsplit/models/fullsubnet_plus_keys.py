"""Infers the variant and most hyperparameters of a FullSubNet+ from its checkpoint's keys and shapes."""

from typing import Any

from stemsplit.models.keys import Shapes

MARKS = ("sb_model.sequence_model.weight_ih_l0",)
"""Keys of which every FullSubNet+ has one."""


def infer(shapes: Shapes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Infer the hyperparameters of a checkpoint.

    Args:
        shapes: shapes of its tensors, by key.

    Returns:
        The hyperparameters that the shapes determine, and the usual values of the others; None if the checkpoint is
        of another architecture.

    Raises:
        KeyError: a key is missing.
    """
    if "sb_model.sequence_model.weight_ih_l0" not in shapes:
        return None
    base = "fb_model.sequence_model.weight_hh_l0" in shapes
    bins = shapes["fb_model.fc_output_layer.weight"][0]
    n_fft = 2 * (bins - 1)
    inferred: dict[str, Any] = {
        "variant": "base" if base else "plus",
        "num_freqs": bins,
        "n_fft": n_fft,
        "sb_model_hidden_size": shapes["sb_model.sequence_model.weight_hh_l0"][1],
    }
    if base:
        inferred["fb_model_hidden_size"] = shapes["fb_model.sequence_model.weight_hh_l0"][1]
    else:
        kernels = [shapes[f"channel_attention.{size}Conv1d.0.weight"] for size in ("small", "middle", "large")]
        inferred |= {"kersize": tuple(kernel[2] for kernel in kernels), "subband_num": kernels[0][1]}
    # Shapes determine only the sum of the input's neighbours and those of each full-band network's output.
    features = shapes["sb_model.sequence_model.weight_ih_l0"][1]
    defaults = {
        "fb_num_neighbors": 0,
        "sb_num_neighbors": (features - (1 if base else 3) - 1) // 2,
        "look_ahead": 2,
        "norm_type": "offline_laplace_norm",
        "win_length": n_fft,
        "hop_length": n_fft // 2,
    }
    return inferred, defaults

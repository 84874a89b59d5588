"""What the keys and shapes of a FullSubNet+ checkpoint tell: its variant, and most of its hyperparameters."""

from typing import Any

from stemsplit.models.keys import Shapes


def infer(shapes: Shapes) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """Hyperparameters of a checkpoint: those that its shapes tell, and the usual values of the others.

    Args:
        shapes: of its tensors, by key.

    Returns:
        Both, or None if it is of another architecture.

    Raises:
        KeyError: keys are missing.
    """
    if "sb_model.sequence_model.weight_ih_l0" not in shapes:
        return None
    base = "fb_model.sequence_model.weight_hh_l0" in shapes
    bins = shapes["fb_model.fc_output_layer.weight"][0]
    n_fft = 2 * (bins - 1)
    told: dict[str, Any] = {
        "variant": "base" if base else "plus",
        "num_freqs": bins,
        "n_fft": n_fft,
        "sb_model_hidden_size": shapes["sb_model.sequence_model.weight_hh_l0"][1],
    }
    if base:
        told["fb_model_hidden_size"] = shapes["fb_model.sequence_model.weight_hh_l0"][1]
    else:
        kernels = [shapes[f"channel_attention.{size}Conv1d.0.weight"] for size in ("small", "middle", "large")]
        told |= {"kersize": tuple(kernel[2] for kernel in kernels), "subband_num": kernels[0][1]}
    # Neighbours of the input, and those of each full-band network's output: only the sum of both is told.
    features = shapes["sb_model.sequence_model.weight_ih_l0"][1]
    assumed = {
        "fb_num_neighbors": 0,
        "sb_num_neighbors": (features - (1 if base else 3) - 1) // 2,
        "look_ahead": 2,
        "norm_type": "offline_laplace_norm",
        "win_length": n_fft,
        "hop_length": n_fft // 2,
    }
    return told, assumed

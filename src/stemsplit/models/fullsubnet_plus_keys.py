"""Infers the variant and most hyperparameters of a FullSubNet+ from its checkpoint's keys and shapes."""

from collections.abc import Mapping
from typing import Any

from stemsplit.models.keys import Shapes

MARKS = ("sb_model.fc_output_layer.weight",)
"""Keys of which every FullSubNet+ has one."""

OF_SUB_BAND = "sb_model.sequence_model."


def _features(shapes: Shapes) -> int:
    """Return the number of features that the sub-band network gets per frame."""
    key = "0.conv1x1.weight" if f"{OF_SUB_BAND}0.conv1x1.weight" in shapes else "weight_ih_l0"
    return shapes[f"{OF_SUB_BAND}{key}"][1]


def _is_base(shapes: Shapes) -> bool:
    return "fb_model.sequence_model.weight_hh_l0" in shapes


def _sub_band(shapes: Shapes) -> dict[str, Any]:
    """Return the hyperparameters of the sub-band network."""
    if f"{OF_SUB_BAND}0.conv1x1.weight" in shapes:
        return {"sequence_model": "TCN"}
    gates, hidden = shapes[f"{OF_SUB_BAND}weight_hh_l0"]
    return {"sequence_model": "GRU" if gates == 3 * hidden else "LSTM", "sb_model_hidden_size": hidden}


def _attention(shapes: Shapes) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the hyperparameters of the channel attention, and the usual values of others."""
    if "channel_attention.conv.weight" in shapes:
        return {"channel_attention_model": "ECA"}, {"subband_num": 1}
    if "channel_attention.feature_concate_fc.weight" not in shapes and "channel_attention.fc1.weight" in shapes:
        return {"subband_num": 1}, {"channel_attention_model": "SE"}  # or CBAM, which has the same tensors
    kernels = [shapes[f"channel_attention.{size}Conv1d.0.weight"] for size in ("small", "middle", "large")]
    spans = tuple(kernel[2] for kernel in kernels)
    return {"channel_attention_model": "TSSE", "kersize": spans, "subband_num": kernels[0][1]}, {}


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
    if not any(f"{OF_SUB_BAND}{key}" in shapes for key in ("weight_ih_l0", "0.conv1x1.weight")):
        return None
    bins = shapes["fb_model.fc_output_layer.weight"][0]
    n_fft = 2 * (bins - 1)
    inferred: dict[str, Any] = {
        "variant": "base" if _is_base(shapes) else "plus",
        "num_freqs": bins,
        "n_fft": n_fft,
        **_sub_band(shapes),
    }
    usual: dict[str, Any] = {}
    if _is_base(shapes):
        inferred["fb_model_hidden_size"] = shapes["fb_model.sequence_model.weight_hh_l0"][1]
    else:
        of_attention, usual = _attention(shapes)
        inferred |= of_attention
    defaults = {
        **usual,
        **beside({}, shapes),
        "fb_output_activate_function": "ReLU",
        "sb_output_activate_function": False,
        "look_ahead": 2,
        "norm_type": "offline_laplace_norm",
        "win_length": n_fft,
        "hop_length": n_fft // 2,
    }
    return inferred, defaults


def beside(given: Mapping[str, Any], shapes: Shapes) -> dict[str, Any]:
    """Return the numbers of neighbours, of which shapes show only a sum, that fit them and what was given.

    Args:
        given: hyperparameters that the user gave.
        shapes: shapes of the checkpoint's tensors, by key.

    Raises:
        ValueError: there are no such numbers.
    """
    # The magnitudes make 2 * sub + 1 features, and each full-band network 2 * full + 1.
    features, paths = _features(shapes), 1 if _is_base(shapes) else 3
    full, sub = given.get("fb_num_neighbors", 0), given.get("sb_num_neighbors")
    both, odd = divmod(features - 1 - paths, 2)
    if not isinstance(full, int) or not isinstance(sub, int | None):
        return {}  # to be refused for its type
    if sub is None:
        sub = both - paths * full
    elif "fb_num_neighbors" not in given:
        full = (both - sub) // paths
    if odd or min(full, sub) < 0 or sub + paths * full != both:
        raise ValueError(
            f"fb_num_neighbors {full} and sb_num_neighbors {sub} do not go with the weights, which are for {features} "
            f"features: 2 * sb_num_neighbors + 1, and {paths} times 2 * fb_num_neighbors + 1"
        )
    return {"fb_num_neighbors": full, "sb_num_neighbors": sub}

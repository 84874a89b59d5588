"""Infers the variant and most hyperparameters of a SuDoRM-RF from its checkpoint's keys and shapes."""

from typing import Any

from stemsplit.models.keys import Shapes, count

MARKS = ("sm.0.TAC.TAC_norm.gamma", "sm.0.skipinit_gain", "sm.0.proj_1x1.conv.weight")
"""Keys of which every SuDoRM-RF has one."""


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
    if "sm.0.TAC.TAC_norm.gamma" in shapes:
        variant, block = "groupcomm", "sm.0.UBlock."
    elif "sm.0.skipinit_gain" in shapes:
        variant, block = "causal", "sm.0."
    elif "sm.0.proj_1x1.conv.weight" in shapes:
        variant, block = ("original" if "l1.weight" in shapes else "improved"), "sm.0."
    else:
        return None
    if variant == "original":
        encoder, outer, stems = shapes["encoder.0.weight"], shapes["l1.weight"][0], shapes["m.weight"][0]
    else:
        encoder, outer, stems = shapes["encoder.weight"], shapes["bottleneck.weight"][0], shapes["decoder.weight"][1]
    basis, audio, kernel = encoder
    d_in, d_out = shapes[f"{block}proj_1x1.conv.weight"][:2]
    groups = outer // d_out
    inferred = {
        "variant": variant,
        "out_channels": outer,
        "in_channels": d_in * groups,
        "num_blocks": count(shapes, "sm."),
        "upsampling_depth": count(shapes, f"{block}spp_dw."),
        # The causal encoder's filters have 2 k - 1 taps, of which those in the future are held at zero.
        "enc_kernel_size": (kernel + 1) // 2 if variant == "causal" else kernel,
        "enc_num_basis": basis,
        "in_audio_channels": audio,
        "num_sources": stems // audio,
    }
    if variant == "groupcomm":
        inferred["group_size"] = groups
    return inferred, {"normalize": True, "mixture_consistency": False}

"""Small networks of every published variant of the RoFormers, with weights that hide no part of them."""

from typing import Any

import torch

from stemsplit.models import build
from stemsplit.models.roformer import RoFormer
from tests.models.test_contract import BANDS, FORMER, MEL

BS = {**FORMER, **BANDS, "num_stems": 2}
REFINER = {"variant": "large_inst_v2", "refiner_depth": 2, "refiner_heads": 3, "refiner_dim_head": 2}
IMAGE = {**BS, "hyperace_channels": (4, 16, 8, 8, 8), "hyperace_depth": 1, "hyperace_num_heads": 2}
MIXING = {**BS, "variant": "value_residual"}
WINDOWED = {**FORMER, **MEL, "num_stems": 1, "variant": "windowed"}

VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "refiner": ("bs_roformer", {**BS, **REFINER}),
    "refiner, one band": ("bs_roformer", {**BS, **REFINER, "freqs_per_bands": (33,)}),
    "value residual": ("bs_roformer", {**MIXING, "depth": 3, "stereo": True}),
    "value residual, several layers, skips": (
        "bs_roformer",
        {**MIXING, "skip_connection": True, "time_transformer_depth": 3, "freq_transformer_depth": 2},
    ),
    "value residual, one block": ("bs_roformer", {**MIXING, "depth": 1}),
    "HyperACE 1": ("bs_roformer", {**IMAGE, "variant": "hyperace_v1"}),
    "HyperACE 2, stereo": ("bs_roformer", {**IMAGE, "variant": "hyperace_v2", "stereo": True}),
    "Fourier operators": ("bs_roformer", {**BS, "variant": "fno", "n_modes": 16}),
    "Fourier operators, one band": ("bs_roformer", {**BS, "variant": "fno", "freqs_per_bands": (33,), "stereo": True}),
    "shared biases": ("bs_roformer", {**BS, "variant": "shared_bias"}),
    "shared biases, mel": ("mel_band_roformer", {**FORMER, **MEL, "variant": "shared_bias"}),
    "windowed": ("mel_band_roformer", {**WINDOWED, "stereo": True}),
    "windowed, one sink, skips": (
        "mel_band_roformer",
        {**WINDOWED, "num_sink_tokens": 1, "wsa_window_len": 7, "skip_connection": True},
    ),
    "windowed, many sinks": ("mel_band_roformer", {**WINDOWED, "num_sink_tokens": 40, "wsa_window_len": 1}),
    "windowed, a wide window": ("mel_band_roformer", {**WINDOWED, "wsa_window_len": 150}),
}


def network(architecture: str, settings: dict[str, Any]) -> RoFormer:
    """Build a network with peaked attention and with gains and biases that differ, like a trained one."""
    torch.manual_seed(0)
    model = build(architecture, settings).eval().requires_grad_(False)
    assert isinstance(model, RoFormer)
    for name, value in model.named_parameters():
        if name.endswith("to_qkv.weight"):
            value[: 2 * len(value) // 3] *= 2.5
        elif name.endswith("gamma"):
            value.copy_(1 + 0.2 * torch.randn_like(value))
        elif name.endswith(("bias", "bias_0", "mix.weight")):
            value.add_(0.3 * torch.randn_like(value))
        elif name.endswith(("sink_tokens", "mlp_skips.0.weight", "weight.tensor")):
            value.copy_(torch.randn_like(value))
    return model

"""Published configurations with weights that are random, but not too kind, and something to separate."""

from typing import Any

import torch
from torch import Tensor, nn

from stemsplit.engine import work
from stemsplit.models import build

STEREO = {
    "stereo": True,
    "num_stems": 1,
    "time_transformer_depth": 1,
    "freq_transformer_depth": 1,
    "stft_n_fft": 2048,
    "stft_hop_length": 441,
    "mask_estimator_depth": 2,
}
CONFIGS: dict[str, tuple[str, dict[str, Any]]] = {
    "Mel": ("mel_band_roformer", {**STEREO, "dim": 384, "depth": 6, "num_bands": 60}),
    "BS": ("bs_roformer", {**STEREO, "dim": 512, "depth": 12}),
    "SuDoRM-RF": (
        "sudormrf",
        {
            "variant": "improved",
            "out_channels": 256,
            "in_channels": 512,
            "num_blocks": 16,
            "upsampling_depth": 5,
            "enc_kernel_size": 21,
            "enc_num_basis": 512,
            "num_sources": 4,
        },
    ),
}


def network(name: str, **changes: Any) -> nn.Module:
    """One of the configurations; see `trained_like`."""
    architecture, config = CONFIGS[name]
    return trained_like(architecture, {**config, **changes})


def trained_like(architecture: str, config: dict[str, Any]) -> nn.Module:
    """A network with peaked attention and gains that differ, as training makes them."""
    torch.manual_seed(0)
    made = build(architecture, config).eval().requires_grad_(False)
    for key, value in made.named_parameters():
        if key.endswith("to_qkv.weight"):
            value[: 2 * len(value) // 3] *= 2.5
        elif key.endswith("gamma"):
            value.copy_(1 + 0.2 * torch.randn_like(value))
        elif key.endswith("beta"):
            value.copy_(0.1 * torch.randn_like(value))
    return made


def flops(name: str, shape: tuple[int, ...], **changes: Any) -> int:
    """Floating-point operations of one of the configurations for a mixture (b, c, t)."""
    architecture, config = CONFIGS[name]
    return flops_of(architecture, {**config, **changes}, shape)


def flops_of(architecture: str, config: dict[str, Any], shape: tuple[int, ...]) -> int:
    """Floating-point operations of a network for a mixture (b, c, t)."""
    with torch.device("meta"):
        made = build(architecture, config).to("meta")
    return work.flops_of(made, shape)


def music(seconds: float, rate: int = 44_100) -> Tensor:
    """Tones that swell over noise, in stereo: (1, 2, t)."""
    torch.manual_seed(1)
    time = torch.arange(round(seconds * rate)) / rate
    levels = {110: 0.2, 221: 0.1, 441: 0.1, 1_330: 0.05, 4_000: 0.02}
    tones = sum(
        (level * torch.sin(2 * torch.pi * pitch * time) for pitch, level in levels.items()), torch.zeros_like(time)
    )
    stereo = torch.stack([tones, tones.roll(100)]) + 0.02 * torch.randn(2, len(time))
    return (stereo * (0.5 + 0.5 * torch.sin(6 * time)))[None]

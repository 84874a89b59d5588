"""Fourier neural operators as mask estimators: filters along time of a RoFormer's tokens."""

import math

import pytest
import torch
from torch import Tensor

from stemsplit.models import build, infer
from stemsplit.models.roformer_fno import Blocks, FourierMaskEstimator, FourierOperator, Spectral
from tests.models.test_contract import BANDS, FORMER


def spectral(channels: int, gains: Tensor) -> Spectral:
    """Make a filter of the same gains in all channels."""
    layer = Spectral(channels, len(gains)).requires_grad_(False)
    layer.weight.tensor.copy_(gains)
    return layer


@pytest.mark.parametrize("frames", [1, 2, 9, 10, 63])
@pytest.mark.parametrize("stored", [32, 40])
def test_gains_of_one_keep_a_signal_however_many_are_stored(frames: int, stored: int) -> None:
    x = torch.randn(2, frames, 3)
    assert torch.allclose(spectral(3, torch.ones(stored))(x), x, atol=1e-6)


@pytest.mark.parametrize("frames", [20, 21])
@pytest.mark.parametrize("delay", [0, 1, 7])
def test_gains_that_turn_with_the_bin_delay_a_signal(frames: int, delay: int) -> None:
    """The chunk is taken for a period. Only the first gains are used of more than the signal has bins."""
    turns = torch.polar(torch.ones(33), -2 * math.pi * delay / frames * torch.arange(33.0))
    # Half the frame rate is left out: a delay by half of its period is not a real gain.
    x = torch.fft.irfft(torch.fft.rfft(torch.randn(1, frames, 2), dim=1)[:, : (frames - 1) // 2 + 1], frames, dim=1)
    assert torch.allclose(spectral(2, turns)(x), x.roll(delay, 1), atol=1e-5)


@pytest.mark.parametrize("frames", [60, 61])
def test_bins_without_a_gain_are_removed(frames: int) -> None:
    time = torch.arange(float(frames))
    tones = torch.stack([torch.cos(2 * math.pi * f / frames * time + 0.3) for f in (0, 5, 11, 12, 29)], 1)
    filtered = spectral(5, torch.full((12,), 2))(tones[None])[0]
    assert torch.allclose(filtered[:, :3], 2 * tones[:, :3], atol=1e-5)
    assert filtered[:, 3:].abs().max() < 1e-5


@pytest.mark.parametrize("frames", [1, 2, 8, 9])
def test_a_constant_and_half_the_frame_rate_have_real_gains(frames: int) -> None:
    x = torch.ones(1, frames, 2)
    x[..., 1] = torch.cos(math.pi * torch.arange(frames))
    real, turned = (spectral(2, torch.full((5,), gain)) for gain in (0.5, 0.5 + 3j))
    ends = 2 if frames % 2 == 0 else 1
    assert torch.allclose(real(x)[..., :ends], turned(x)[..., :ends], atol=1e-6)


def test_filters_are_in_float32_even_under_autocast() -> None:
    layer, x = spectral(3, torch.randn(9, dtype=torch.complex64)), torch.randn(1, 30, 3)
    with torch.autocast("cpu", torch.bfloat16):
        half = layer(x)
    assert half.dtype == torch.float32
    assert torch.equal(half, layer(x))


@torch.inference_mode()
def test_the_last_layer_has_no_gelu_and_skips_its_own_filter() -> None:
    """With inner weights of zero, a layer only scales its input; GELU follows in all but the last."""
    blocks, x = Blocks(4, 5, 2), torch.randn(1, 12, 4)
    for key, parameter in blocks.named_parameters():
        parameter.fill_(-1.5) if "channel_mlp_skips" in key else parameter.zero_()
    assert torch.allclose(blocks(x), -1.5 * torch.nn.functional.gelu(-1.5 * x))


def test_each_frame_is_told_its_place_in_the_chunk() -> None:
    operator, seen = FourierOperator(3, 4, 5, 1), list[Tensor]()
    operator.lifting.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    tokens = torch.randn(2, 8, 3)
    operator(tokens)
    assert torch.equal(seen[0][..., :3], tokens)
    assert torch.equal(seen[0][..., 3], torch.tensor([0, 0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875]).expand(2, -1))


@torch.inference_mode()
def test_bands_and_chunks_are_separate() -> None:
    estimator, tokens = FourierMaskEstimator([4, 6], 8, 10, 2), torch.randn(2, 9, 2, 8)
    masks = estimator(tokens)
    assert [mask.shape for mask in masks] == [(2, 9, 4), (2, 9, 6)]
    changed = tokens.clone()
    changed[0, :, 0] += 1
    again = estimator(changed)
    assert torch.allclose(again[1], masks[1])
    assert torch.allclose(again[0][1], masks[0][1])
    assert not torch.allclose(again[0][0], masks[0][0])


@pytest.mark.parametrize(("modes", "bins"), [(1, 1), (2, 2), (64, 33), (65, 33)])
def test_modes_and_layers_are_inferred_from_a_checkpoint(modes: int, bins: int) -> None:
    """An odd number of modes stores as many bins as the even number below it."""
    config = {**FORMER, **BANDS, "variant": "fno", "n_modes": modes, "fno_layers": 2}
    weights = build("bs_roformer", config).state_dict()
    stored = [value for key, value in weights.items() if key.endswith(".weight.tensor")]
    assert {(value.dtype, value.shape) for value in stored} == {(torch.complex64, (8, bins))}
    result = infer(weights)
    assert {name: result.inferred[name] for name in ("variant", "n_modes", "fno_layers")} == {
        "variant": "fno",
        "n_modes": 2 * (bins - 1) or 1,
        "fno_layers": 2,
    }
    assert build("bs_roformer", {**result.defaults, **result.inferred}).state_dict().keys() == weights.keys()

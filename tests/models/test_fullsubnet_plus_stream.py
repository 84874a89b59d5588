"""FullSubNet gives the same result block by block as at once."""

from typing import Any

import pytest
import torch
from torch import Tensor

from stemsplit.models import build
from stemsplit.models.fullsubnet_plus import FullSubNet
from tests import golden
from tests.models.test_contract import SMALL

BASE = {**SMALL, "variant": "base", "fb_model_hidden_size": 8, "norm_type": "cumulative_laplace_norm"}
SHAPES: dict[str, dict[str, Any]] = {
    "as published, but small": {},
    "no look-ahead": {"look_ahead": 0},
    "a long look-ahead": {"look_ahead": 5},
    "four frames at a time": {"hop_length": 8},
    "a hop that does not divide the transform": {"hop_length": 5},
    "GRUs with other activations": {
        "sequence_model": "GRU",
        "fb_output_activate_function": "ReLU6",
        "sb_output_activate_function": "Tanh",
    },
    "the other causal norm": {"norm_type": "cumulative_layer_norm", "fb_num_neighbors": 2},
    "a window shorter than the transform": {"win_length": 20, "hop_length": 9, "fb_num_neighbors": 1},
}


def network(**changes: Any) -> FullSubNet:
    torch.manual_seed(0)
    model = build("fullsubnet_plus", {**BASE, **changes}).eval()
    assert isinstance(model, FullSubNet)
    # The masks of a new network are nearly zero.
    torch.nn.init.constant_(model.sb_model.fc_output_layer.bias, 0.4)
    return model


@torch.inference_mode()
def streamed(model: FullSubNet, blocks: list[Tensor]) -> Tensor:
    """Return the whole streamed estimate, (1, c, t)."""
    stream = model.stream()
    return torch.cat([*map(stream.put, blocks), stream.end()], -1)


@torch.inference_mode()
def check(model: FullSubNet, mixture: Tensor, block: int) -> None:
    at_once, estimate = model(mixture[None])[0], streamed(model, list(mixture.split(block, -1)))
    assert estimate.shape == at_once.shape
    assert golden.relative_error(estimate, at_once) <= 1e-6


@pytest.mark.parametrize("length", [1, 2, 16, 17, 24, 25, 80, 81, 500, 617])
@pytest.mark.parametrize("shape", SHAPES)
def test_any_length_in_any_blocks_gives_the_network_s_estimate(shape: str, length: int) -> None:
    """Lengths include some below a frame, and some with a partial last frame. Both channels are separate."""
    model, mixture = network(**SHAPES[shape]), torch.randn(2, length)
    for block in (1, 33) if length < 80 else (7, 100, 1_000):
        check(model, mixture, block)


def test_published_sizes_of_spectrograms_stream_too() -> None:
    model = network(n_fft=512, win_length=512, hop_length=256, num_freqs=257, sb_num_neighbors=15)
    check(model, torch.randn(1, 30_000), 7_777)


def test_blocks_may_be_empty_and_of_any_length() -> None:
    model, mixture = network(), torch.randn(2, 700)
    blocks = mixture.split([0, 1, 300, 0, 0, 15, 384, 0], -1)
    assert golden.relative_error(streamed(model, list(blocks)), model(mixture[None])[0].detach()) <= 1e-6
    assert streamed(model, [mixture[:, :0]]).shape == (1, 2, 0)


def test_silence_does_not_disturb_a_stream() -> None:
    model, mixture = network(), torch.randn(1, 1_500)
    mixture[:, :400] = mixture[:, 700:1_200] = 0
    check(model, mixture, 64)
    assert not streamed(model, [torch.zeros(1, 300)] * 2).any()


@torch.inference_mode()
def test_samples_are_returned_as_soon_as_possible() -> None:
    """A sample is final `look_ahead` frames after the last frame that covers it, and nothing more is kept back."""
    model = network()
    config, stream, returned, most = model.config, model.stream(), 0, 0
    late = config.n_fft + config.look_ahead * config.hop_length
    for number in range(1, 501):
        returned += stream.put(torch.randn(1, 1)).shape[-1]
        most = max(most, number - returned)
    assert most <= late
    kept = [value for value in vars(stream).values() if isinstance(value, Tensor)]
    assert sum(value.numel() for value in kept) <= 10 * late


@pytest.mark.parametrize(
    ("changes", "streamable"),
    [
        ({}, True),
        ({"norm_type": "cumulative_layer_norm", "sequence_model": "GRU"}, True),
        ({"variant": "plus"}, False),
        ({"norm_type": "offline_laplace_norm"}, False),
        ({"norm_type": "offline_gaussian_norm"}, False),
    ],
)
def test_only_a_causal_network_is_streamable(changes: dict[str, str], streamable: bool) -> None:
    model = network(**changes)
    assert model.streamable is streamable

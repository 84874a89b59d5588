"""Ensembles on a CPU give what the plain ensemble gives, for any length, channels and number of threads."""

from typing import Any

import pytest
import torch

from stemsplit.fast import Pool, accelerated
from stemsplit.fast.cpu.wiener import WienerFilter, fourier_of
from stemsplit.models import build
from stemsplit.models.ensemble import Ensemble
from tests import golden
from tests.fast.conftest import magnified
from tests.models.test_contract import CONFIGS

CPU, POOL = torch.device("cpu"), Pool(2)
CONFIG = {**CONFIGS["ensemble"][1], "wiener": 0.6, "wiener_n_fft": 64}
FOUR, THREE = CONFIG["members"]


@pytest.fixture(autouse=True)
def several_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemsplit.fast.cpu.ensemble.SAMPLES", 1_000)


def network(*turned: bool) -> Ensemble:
    """Build an ensemble of two networks, each of which takes mid and side or not."""
    torch.manual_seed(0)
    members: list[dict[str, Any]] = [{**FOUR, "mid_side": turned[0]}, {**THREE, "mid_side": turned[1]}]
    model = build("ensemble", {**CONFIG, "members": members}).eval().requires_grad_(False)
    assert isinstance(model, Ensemble)
    return model


@pytest.mark.parametrize("turned", [(True, True), (True, False), (False, False)])
@pytest.mark.parametrize("shape", [(1, 2, 1), (1, 2, 33), (2, 4, 2_345)])
@torch.inference_mode()
def test_any_shape_gives_the_plain_ensemble_s_result(turned: tuple[bool, bool], shape: tuple[int, ...]) -> None:
    model, mixture = network(*turned), torch.randn(shape)
    estimates = accelerated(model, torch.float32, CPU, POOL)(mixture)
    assert golden.relative_error(estimates, model(mixture)) <= 1e-5 * magnified(model, mixture)


def test_the_number_of_threads_changes_no_bit() -> None:
    model, mixture = network(True, True), torch.randn(1, 2, 3_000)
    one, three = (accelerated(model, torch.float32, CPU, Pool(threads))(mixture) for threads in (1, 3))
    assert torch.equal(one, three)


def test_equal_channels_stay_equal() -> None:
    """What is in the middle stays there to the bit, if the networks are given mid and side."""
    mixture = torch.randn(1, 1, 3_000).expand(-1, 2, -1)
    estimates = accelerated(network(True, True), torch.float32, CPU, POOL)(mixture)
    assert torch.equal(estimates[:, :, 0], estimates[:, :, 1])
    assert estimates.any()


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
def test_what_is_not_a_number_does_not_become_one(broken: float) -> None:
    mixture = torch.randn(1, 2, 3_000)
    mixture[0, 0, 1_500] = broken
    assert not accelerated(network(True, True), torch.float32, CPU, POOL)(mixture).isfinite().all()


def test_silence_stays_silent() -> None:
    assert not accelerated(network(True, True), torch.float32, CPU, POOL)(torch.zeros(1, 2, 3_000)).any()


@torch.inference_mode()
def test_the_filter_makes_nothing_louder_however_faint_it_is() -> None:
    """Squares of such samples are too small for float32, where they are not zero anyway."""
    torch.set_flush_denormal(True)
    try:
        for exponent in range(-24, -8):
            fourier, sources = fourier_of(256), 10.0**exponent * torch.randn(3, 2, 1_000)
            refined = WienerFilter(*map(fourier.padded, (sources.sum(0), sources)), fourier.size, POOL)
            for tile in refined.tiles():
                assert refined.take(tile)[1].abs().max() <= 20 * sources.abs().max(), exponent
    finally:
        torch.set_flush_denormal(False)

"""RoFormers on a CPU give what the plain network gives, in every precision that the machine supports."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemsplit.fast import Pool
from stemsplit.fast.cpu import attended as fast
from stemsplit.fast.cpu.roformer import FastRoFormer
from stemsplit.fast.device import native_bfloat16
from stemsplit.models import build
from stemsplit.models.roformer import RoFormer
from tests import golden
from tests.conftest import SHARED
from tests.fast.conftest import in_bfloat16, magnified
from tests.models.test_contract import CONFIGS
from tests.models.test_roformers import FULL, OWN, SHARED_RUNS, check, config

POOL = Pool(2)
FORMERS = {name: made for name, made in CONFIGS.items() if "roformer" in name and "variant" not in made[1]}


def network(architecture: str, **settings: Any) -> RoFormer:
    """Build a network with peaked attention and varied gains, like a trained one; fresh weights would hide errors."""
    torch.manual_seed(0)
    model = build(architecture, settings).eval().requires_grad_(False)
    assert isinstance(model, RoFormer)
    for name, value in model.named_parameters():
        if name.endswith("to_qkv.weight"):
            value[: 2 * len(value) // 3] *= 2.5
        if name.endswith("gamma"):
            value.copy_(1 + 0.2 * torch.randn_like(value))
    return model


def error(model: RoFormer, mixture: Tensor, dtype: torch.dtype = torch.float32, pool: Pool = POOL) -> float:
    """How far the fast result is from the plain one, without what the network itself makes of small errors."""
    with torch.inference_mode():
        difference = golden.relative_error(FastRoFormer(model, dtype, pool)(mixture), model(mixture))
        return difference / magnified(model, mixture)


def recorded(path: Path) -> tuple[RoFormer, golden.Recording]:
    recording = golden.load(path)
    if SHARED in path.parents:
        recording.weights = golden.parity_tools(SHARED).load_fixture(str(path))[2]
    with torch.device("meta"):
        model = build(recording.facts["architecture"], config(recording)).eval()
    model.load_state_dict(recording.weights, strict=True, assign=True)
    assert isinstance(model, RoFormer)
    return model, recording


SMALL = [path for path in OWN + SHARED_RUNS if path not in FULL]


@pytest.mark.parametrize("path", SMALL, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_recordings_give_the_plain_network_s_result(path: Path) -> None:
    model, recording = recorded(path)
    assert error(model, recording.tensors["input"]) <= 1e-5


@pytest.mark.parametrize("name", [path.stem for path in FULL] or ["none"])
def test_published_sizes_give_what_the_reference_computes_and_the_plain_network_s_result(
    shared: Path, name: str
) -> None:
    path = shared / "golden" / f"{name}.safetensors"
    recording = golden.load(path)
    recording.weights = golden.parity_tools(shared).load_fixture(str(path))[2]
    model, expected = check(recording)
    assert isinstance(model, RoFormer)
    with torch.inference_mode():
        estimates = FastRoFormer(model, torch.float32, POOL)(recording.tensors["input"])
    assert golden.relative_error(estimates, expected) <= 1e-5


@in_bfloat16
@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_small_networks_are_close_in_bfloat16(path: Path) -> None:
    """With few features, rounding errors hardly average out, and rounding to eight bits leaves 36 dB."""
    model, recording = recorded(path)
    assert error(model, recording.tensors["input"], torch.bfloat16) <= 10 ** (-36 / 20)


@pytest.mark.parametrize("name", FORMERS)
@pytest.mark.parametrize("length", [1, 33, 500, 4_321])
@pytest.mark.parametrize("channels", [2, 4])
def test_any_shape_gives_the_plain_network_s_result(name: str, length: int, channels: int) -> None:
    architecture, settings = FORMERS[name]
    model = network(architecture, **settings)
    assert error(model, torch.randn(1, channels, length)) <= 1e-5


@pytest.mark.parametrize("batch", [1, 3])
def test_batch_items_are_independent(batch: int) -> None:
    architecture, settings = FORMERS["mel_band_roformer"]
    assert error(network(architecture, **settings), torch.randn(batch, 2, 999)) <= 1e-5


def test_one_band_is_enough() -> None:
    _, settings = FORMERS["bs_roformer"]
    model = network("bs_roformer", **{**settings, "freqs_per_bands": (33,)})
    assert error(model, torch.randn(1, 2, 700)) <= 1e-5


WIDE = {"stereo": True, "time_transformer_depth": 1, "freq_transformer_depth": 1, "depth": 2, "heads": 8}


@pytest.mark.parametrize(("dim", "decibels"), [(64, 42), (128, 42), (192, 44), (384, 44)])
@pytest.mark.parametrize("architecture", ["bs_roformer", "mel_band_roformer"])
def test_published_widths_keep_44_decibels_in_bfloat16(architecture: str, dim: int, decibels: float) -> None:
    """Two blocks, over enough frames for attention by heads; in small networks, errors average out less."""
    model = network(architecture, dim=dim, **WIDE)
    time = torch.arange(512 * fast.LONG) / 44_100
    tones = torch.stack([torch.sin(2 * torch.pi * f * time) for f in (110, 441)]) * torch.sin(6 * time)
    mixture = (0.3 * tones + 0.02 * torch.randn_like(tones))[None]
    with torch.inference_mode():
        expected = model(mixture)
        exact = FastRoFormer(model, torch.float32, POOL)(mixture)
        assert golden.relative_error(exact, expected) <= 1e-5
        if native_bfloat16():
            rounded = FastRoFormer(model, torch.bfloat16, POOL)(mixture)
            assert golden.relative_error(rounded, expected) <= 10 ** (-decibels / 20)


@pytest.mark.parametrize("scores", [1, 1_000, 100_000])
def test_long_chunks_are_attended_in_parts(scores: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "SCORES", scores)
    _, settings = FORMERS["bs_roformer"]
    frames = fast.LONG + 3
    assert error(network("bs_roformer", **settings), torch.randn(1, 2, 16 * frames)) <= 1e-5


def test_the_number_of_threads_changes_no_bit() -> None:
    architecture, settings = FORMERS["mel_band_roformer stereo, linear"]
    model, mixture = network(architecture, **settings), torch.randn(1, 2, 3_000)
    one, three = (FastRoFormer(model, torch.float32, Pool(threads))(mixture) for threads in (1, 3))
    assert torch.equal(one, three)


def test_without_onednn_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stemsplit.fast.cpu.linear.ONEDNN", False)
    model = network("bs_roformer", dim=32, depth=1, stereo=True, mask_estimator_depth=3)
    assert error(model, torch.randn(1, 2, 512 * fast.LONG)) <= 1e-5


def test_silence_stays_silent() -> None:
    architecture, settings = FORMERS["bs_roformer"]
    assert not FastRoFormer(network(architecture, **settings), torch.float32, POOL)(torch.zeros(1, 2, 900)).any()


def test_the_network_itself_is_unchanged() -> None:
    architecture, settings = FORMERS["mel_band_roformer"]
    model, mixture = network(architecture, **settings), torch.randn(1, 2, 900)
    before = model(mixture)
    FastRoFormer(model, torch.float32, POOL)(mixture)
    assert torch.equal(model(mixture), before)


def test_channels_that_do_not_pair_are_refused() -> None:
    architecture, settings = FORMERS["bs_roformer stereo, skips"]
    with pytest.raises(ValueError, match="multiple of 2, not 3"):
        FastRoFormer(network(architecture, **settings), torch.float32, POOL)(torch.randn(1, 3, 900))

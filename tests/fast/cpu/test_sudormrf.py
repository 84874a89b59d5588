"""SuDoRM-RF on a CPU gives what the plain network gives, in every precision and with any number of threads."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemsplit.fast.cpu.pool import Pool
from stemsplit.fast.cpu.sudormrf import FastSuDoRMRF, supports
from stemsplit.fast.cpu.sudormrf_blocks import ROWS
from stemsplit.fast.cpu.tiles import Norm, Tile, normalising
from stemsplit.models import build
from stemsplit.models.sudormrf import SuDoRMRF
from stemsplit.models.sudormrf_layers import GlobalNorm
from tests import golden
from tests.conftest import DATA, SHARED
from tests.fast.conftest import in_bfloat16

POOL = Pool(2)
SMALL = {"out_channels": 16, "in_channels": 32, "num_blocks": 3, "enc_num_basis": 24, "num_sources": 3}
CONFIGS: dict[str, dict[str, Any]] = {
    "improved": SMALL,
    "improved, one scale": {**SMALL, "upsampling_depth": 1},
    "improved, more scales than frames in a tile": {**SMALL, "upsampling_depth": 11, "enc_kernel_size": 3},
    "improved, stereo": {**SMALL, "in_audio_channels": 2, "normalize": True},
    "improved, adding up": {**SMALL, "normalize": True, "mixture_consistency": True},
    "improved, long filters": {**SMALL, "enc_kernel_size": 129},
    "groupcomm": {**SMALL, "variant": "groupcomm", "group_size": 4},
    "groupcomm, stereo": {**SMALL, "variant": "groupcomm", "group_size": 8, "in_audio_channels": 2, "normalize": True},
}
OWN, SHARED_RUNS = (
    sorted(path for path in folder.glob("golden/*sudo_*.safetensors") if re.search("improved|groupcomm", path.name))
    for folder in (DATA, SHARED)
)


def network(settings: dict[str, Any]) -> SuDoRMRF:
    """Build a network whose norms shift and change signs, with all kinds of slopes; fresh weights would hide errors."""
    torch.manual_seed(0)
    model = build("sudormrf", settings).eval().requires_grad_(False)
    assert isinstance(model, SuDoRMRF)
    for name, value in model.named_parameters():
        if name.endswith("gamma"):
            value.copy_(torch.randn_like(value))
        elif name.endswith("beta"):
            value.copy_(0.5 * torch.randn_like(value))
        elif value.numel() == 1:
            value.fill_(float(torch.empty(1).uniform_(-0.3, 1.2)))
    return model


def error(model: SuDoRMRF, mixture: Tensor, dtype: torch.dtype = torch.float32, pool: Pool = POOL) -> float:
    with torch.inference_mode():
        return golden.relative_error(FastSuDoRMRF(model, dtype, pool)(mixture), model(mixture))


def decibels(signal_to_noise: float) -> float:
    """Convert a signal-to-noise ratio to a relative error."""
    return 10 ** (-signal_to_noise / 20)


def recorded(path: Path) -> tuple[SuDoRMRF, Tensor]:
    recording = golden.load(path)
    if SHARED in path.parents:
        recording.weights = golden.parity_tools(SHARED).load_fixture(str(path))[2]
    variant = recording.facts["architecture"].removeprefix("sudormrf_")
    model = build("sudormrf", {"variant": variant, **recording.facts["kwargs"]}).eval()
    model.load_state_dict(recording.weights, strict=True)
    assert isinstance(model, SuDoRMRF)
    tensors = recording.tensors
    return model, tensors["input"] if "input" in tensors else tensors["mixture"][:, None]


@pytest.mark.parametrize("path", OWN + SHARED_RUNS, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_recordings_give_the_plain_network_s_result(path: Path) -> None:
    assert error(*recorded(path)) <= 1e-5


def test_recordings_of_every_supported_variant_are_compared() -> None:
    """Every supported variant must be among the recordings of the test above."""
    assert {recorded(path)[0].config.variant for path in OWN} == {"improved", "groupcomm"}


@in_bfloat16
@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_recorded_networks_are_close_in_bfloat16(path: Path) -> None:
    """They are tiny, so rounding errors hardly average out, and rounding to eight bits leaves 36 dB."""
    model, mixture = recorded(path)
    assert error(model, mixture, torch.bfloat16) <= decibels(36)


@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize("length", [1, 2, 7, 160, 161, 1_237, 25_001])
@pytest.mark.parametrize(("batch", "channels"), [(1, 2), (3, 2), (1, 4)])
def test_any_shape_gives_the_plain_network_s_result(name: str, length: int, batch: int, channels: int) -> None:
    """The lengths include a single frame, less than a hop, and many tiles."""
    assert error(network(CONFIGS[name]), torch.randn(batch, channels, length)) <= 1e-5


@pytest.mark.parametrize("variant", ["improved", "groupcomm"])
def test_a_mono_song_gives_the_plain_network_s_result(variant: str) -> None:
    assert error(network({**SMALL, "variant": variant, "group_size": 4}), torch.randn(2, 1, 5_003)) <= 1e-5


@pytest.mark.parametrize("frames", [ROWS - 16, ROWS, ROWS + 16, 2 * ROWS + 16, 5 * ROWS])
def test_tiles_leave_no_seam(frames: int) -> None:
    """There is none either where the last tile is short."""
    model = network({**SMALL, "upsampling_depth": 4})
    mixture = torch.randn(1, 1, frames * model.config.hop)
    assert model.padded_length(mixture.shape[-1]) == mixture.shape[-1]
    with torch.inference_mode():
        difference = FastSuDoRMRF(model, torch.float32, POOL)(mixture) - (plain := model(mixture))
    assert difference.abs().max() <= 2e-5 * plain.abs().max()


@in_bfloat16
@pytest.mark.parametrize("variant", ["improved", "groupcomm"])
def test_small_networks_are_close_in_bfloat16(variant: str) -> None:
    model = network({**SMALL, "variant": variant, "group_size": 4})
    assert error(model, torch.randn(1, 2, 8_000), torch.bfloat16) <= decibels(30)


@in_bfloat16
def test_a_network_as_large_as_the_published_ones_is_accurate_in_bfloat16() -> None:
    """It has the size and depth of the published four-stem network, and gains and biases like a trained one."""
    torch.manual_seed(0)
    size = {"out_channels": 256, "num_blocks": 16, "upsampling_depth": 5, "num_sources": 4}
    model = build("sudormrf", size).eval().requires_grad_(False)
    assert isinstance(model, SuDoRMRF)
    for name, value in model.named_parameters():
        if name.endswith("gamma"):
            value.copy_(1 + 0.2 * torch.randn_like(value))
        elif name.endswith("beta"):
            value.copy_(0.1 * torch.randn_like(value))
    assert error(model, torch.randn(1, 1, 8_000), torch.bfloat16) <= decibels(44)


@pytest.mark.parametrize("groups", [1, 4])
def test_norms_keep_their_precision_far_from_zero(groups: int) -> None:
    """The means are a thousand deviations, so a difference of squares in float32 would have no correct digit."""
    x = torch.randn(2, 3 * ROWS + 5, 32) + 1_000
    tiles = [Tile(i, at, min(at + ROWS, x.shape[1])) for i in (0, 1) for at in range(0, x.shape[1], ROWS)]
    norm = GlobalNorm(32 // groups)
    scale, shift = normalising(POOL, lambda tile: tile.frames_of(x), tiles, Norm(norm, groups))
    exact = x.double().unflatten(2, (groups, -1))
    deviation, mean = torch.std_mean(exact, (1, 3), correction=0)
    assert torch.allclose(scale.double().view(2, groups, -1) * deviation[..., None], torch.ones(()).double(), atol=2e-6)
    assert torch.allclose((-shift / scale).double().view(2, groups, -1), mean[..., None], rtol=2e-7)


def test_a_call_does_not_depend_on_the_calls_before() -> None:
    """Lengths, batches and loudness may differ from call to call."""
    fast = FastSuDoRMRF(network(SMALL), torch.float32, POOL)
    mixtures = [torch.randn(shape) for shape in ((1, 2, 9_000), (1, 2, 300), (3, 1, 9_000), (1, 1, 40))]
    alone = [FastSuDoRMRF(network(SMALL), torch.float32, POOL)(mixture) for mixture in mixtures]
    for _ in range(2):
        for mixture, expected in zip(mixtures, alone, strict=True):
            fast(1e6 * torch.randn_like(mixture))
            assert torch.equal(fast(mixture), expected)


def test_a_result_is_not_changed_by_later_calls() -> None:
    fast = FastSuDoRMRF(network(SMALL), torch.float32, POOL)
    result = fast(torch.randn(1, 2, 3_000))
    kept = result.clone()
    fast(torch.randn(1, 2, 3_000))
    assert torch.equal(result, kept)


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=in_bfloat16)])
@pytest.mark.parametrize("name", ["improved", "improved, adding up", "groupcomm"])
def test_the_number_of_threads_changes_no_bit(name: str, dtype: torch.dtype) -> None:
    model, mixture = network(CONFIGS[name]), torch.randn(2, 2, 12_345)
    alone, together = (FastSuDoRMRF(model, dtype, Pool(threads))(mixture) for threads in (1, 3))
    assert torch.equal(alone, together)


@pytest.mark.parametrize("dtype", [torch.float32, pytest.param(torch.bfloat16, marks=in_bfloat16)])
@pytest.mark.parametrize("name", CONFIGS)
def test_silence_stays_silent(name: str, dtype: torch.dtype) -> None:
    """Silence is exact, as with the plain network, also in one channel while there is music in the other."""
    model = network(CONFIGS[name])
    mixture = torch.randn(1, 2 * model.config.in_audio_channels, 7_000)
    mixture[:, : model.config.in_audio_channels] = 0
    with torch.inference_mode():
        plain, fast = model(mixture), FastSuDoRMRF(model, dtype, POOL)(mixture)
    silent = slice(0, model.config.in_audio_channels)
    assert not plain[:, :, silent].any()
    assert not fast[:, :, silent].any()
    assert fast[:, :, silent.stop :].any(-1).all()


def test_consistent_stems_add_up_to_the_mixture() -> None:
    mixture = torch.randn(2, 1, 5_000)
    estimates = FastSuDoRMRF(network(CONFIGS["improved, adding up"]), torch.float32, POOL)(mixture)
    assert torch.allclose(estimates.sum(1), mixture, atol=1e-5)


@pytest.mark.parametrize("variant", ["original", "causal"])
def test_other_variants_are_left_to_the_plain_network(variant: str) -> None:
    model = network({**SMALL, "variant": variant})
    assert not supports(model)
    with pytest.raises(ValueError, match=variant):
        FastSuDoRMRF(model, torch.float32, POOL)


def test_a_wrong_number_of_channels_is_refused() -> None:
    fast = FastSuDoRMRF(network(CONFIGS["improved, stereo"]), torch.float32, POOL)
    with pytest.raises(ValueError, match="multiple of 2, not 3"):
        fast(torch.randn(1, 3, 100))

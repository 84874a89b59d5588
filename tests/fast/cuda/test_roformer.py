"""The RoFormers for GPUs compute what the plain networks do, in few operations that can be recorded."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from stemsplit.fast.cuda.bands import Bands
from stemsplit.fast.cuda.graph import Captured, recorded
from stemsplit.fast.cuda.roformer import GpuRoFormer
from stemsplit.fast.cuda.roformer_layers import Attention, direction, gain, rms_norm
from stemsplit.models import build
from stemsplit.models.mel_band_roformer import mel_bands
from stemsplit.models.roformer import RoFormer
from stemsplit.models.roformer_layers import RMSNorm
from tests import golden
from tests.models.test_contract import BANDS, CONFIGS, FORMER, MEL, SHORT
from tests.models.test_roformers import OWN, config

CPU = torch.device("cpu")
HALVES = [torch.bfloat16, torch.float16]

ROFORMERS = {name: made for name, made in CONFIGS.items() if "roformer" in made[0] and "variant" not in made[1]} | {
    "one band": ("bs_roformer", {**FORMER, **SHORT, "freqs_per_bands": (33,)}),
    "unsorted bands": ("bs_roformer", {**FORMER, **SHORT, "freqs_per_bands": (9, 1, 17, 2, 1, 3), "stereo": True}),
    "mask of one layer": ("bs_roformer", {**FORMER, **BANDS, "mask_estimator_depth": 1}),
    "masks of three layers": ("bs_roformer", {**FORMER, **BANDS, "mask_estimator_depth": 3, "num_stems": 1}),
    "several layers": ("bs_roformer", {**FORMER, **BANDS, "time_transformer_depth": 2, "freq_transformer_depth": 3}),
    "linear, skips, polar": (
        "mel_band_roformer",
        {**FORMER, **MEL, "depth": 3, "linear_transformer_depth": 2, "skip_connection": True, "use_pope": True},
    ),
    "masks of mel bands": ("mel_band_roformer", {**FORMER, **MEL, "mask_estimator_depth": 3, "zero_dc": False}),
    "short window": ("mel_band_roformer", {**FORMER, **MEL, "stft_win_length": 49, "stft_hop_length": 21}),
    "odd STFT": (
        "bs_roformer",
        {**FORMER, "freqs_per_bands": (2, 30), "stft_n_fft": 63, "stft_win_length": 50, "stft_hop_length": 13},
    ),
    "normalised STFT": ("bs_roformer", {**FORMER, **BANDS, "stft_normalized": True, "zero_dc": False, "stereo": True}),
    "three heads": ("bs_roformer", {**FORMER, **BANDS, "heads": 3}),
}


def network(architecture: str, hyperparameters: dict[str, Any], peaked: float = 1.0) -> RoFormer:
    """Build a network with varied gains, biases and temperatures, like a trained one."""
    torch.manual_seed(0)
    model = build(architecture, hyperparameters).eval()
    assert isinstance(model, RoFormer)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if name.endswith(("gamma", "freqs")):
                weight *= torch.exp(0.3 * torch.randn_like(weight))
            elif name.endswith(("bias", "temperature")):
                weight += 0.1 * torch.randn_like(weight)
            elif name.endswith("to_qkv.weight"):
                weight[: 2 * len(weight) // 3] *= peaked
    return model


def recording_network(path: Path) -> tuple[RoFormer, golden.Recording]:
    recording = golden.load(path)
    with torch.device("meta"):
        model = build(recording.facts["architecture"], config(recording)).eval()
    model.load_state_dict(recording.weights, strict=True, assign=True)
    assert isinstance(model, RoFormer)
    return model, recording


@torch.inference_mode()
def decibels(plain: RoFormer, mixture: Tensor, dtype: torch.dtype) -> float:
    """Return how far the difference from the plain network is below its output, in dB."""
    error = golden.relative_error(GpuRoFormer(plain, dtype, CPU)(mixture), plain(mixture))
    return -20 * math.log10(error)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
@torch.inference_mode()
def test_float32_is_the_plain_network_on_every_recording(path: Path) -> None:
    plain, recording = recording_network(path)
    mixture = recording.tensors["input"]
    estimates = GpuRoFormer(plain, torch.float32, CPU)(mixture)
    # If the network magnifies any rounding, the recording's tolerance says so.
    assert golden.relative_error(estimates, plain(mixture)) <= max(1e-5, recording.tolerance)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_half_precision_is_close_on_every_recording(path: Path) -> None:
    plain, recording = recording_network(path)
    mixture = recording.tensors["input"]
    magnifies = recording.tolerance > 1e-5  # any rounding, the reference's own too
    assert decibels(plain, mixture, torch.bfloat16) >= (38 if magnifies else 40)
    assert decibels(plain, mixture, torch.float16) >= 56


@pytest.mark.parametrize("name", ROFORMERS)
@pytest.mark.parametrize("length", [1, 31, 32, 33, 500, 1_237])
@torch.inference_mode()
def test_every_option_and_length_gives_what_the_plain_network_gives(name: str, length: int) -> None:
    plain = network(*ROFORMERS[name])
    mixture = torch.randn(2, 2, length)
    estimates = GpuRoFormer(plain, torch.float32, CPU)(mixture)
    assert estimates.dtype == torch.float32
    assert golden.relative_error(estimates, plain(mixture)) <= 1e-5


@pytest.mark.parametrize("dtype", HALVES)
@pytest.mark.parametrize("name", ROFORMERS)
def test_every_option_works_in_half_precision(name: str, dtype: torch.dtype) -> None:
    least = {torch.bfloat16: 42, torch.float16: 60}[dtype]
    assert decibels(network(*ROFORMERS[name]), torch.randn(1, 2, 1_237), dtype) >= least


@pytest.mark.parametrize("channels", [1, 2, 4])
@pytest.mark.parametrize("batch", [1, 3])
@torch.inference_mode()
def test_channels_and_batch_items_keep_their_order(batch: int, channels: int) -> None:
    for name in ["bs_roformer", "mel_band_roformer stereo, linear"]:
        plain = network(*ROFORMERS[name])
        if channels % plain.config.channels == 0:
            mixture = torch.randn(batch, channels, 700)
            estimates = GpuRoFormer(plain, torch.float32, CPU)(mixture)
            assert golden.relative_error(estimates, plain(mixture)) <= 1e-5


def test_channels_that_do_not_divide_are_refused() -> None:
    plain = network(*ROFORMERS["bs_roformer stereo, skips"])
    with pytest.raises(ValueError, match="multiple of 2, not 3"):
        GpuRoFormer(plain, torch.float32, CPU)(torch.zeros(1, 3, 100))


WIDE = {"dim": 384, "depth": 2, "stereo": True, "time_transformer_depth": 1, "freq_transformer_depth": 1}
SMALL_STFT = {"stft_n_fft": 512, "stft_hop_length": 128, "stft_win_length": 512}


@pytest.mark.parametrize(
    ("architecture", "bands"),
    [
        ("mel_band_roformer", {"sample_rate": 16_000, "num_bands": 16}),
        ("bs_roformer", {"freqs_per_bands": (2,) * 8 + (4,) * 8 + (12,) * 4 + (32,) * 3 + (65,)}),
    ],
)
def test_half_precision_is_close_in_a_network_of_usual_width(architecture: str, bands: dict[str, Any]) -> None:
    """Its attention is as peaked as that of a trained network."""
    plain = network(architecture, {**WIDE, **SMALL_STFT, **bands}, peaked=2.5)
    mixture = 0.1 * torch.randn(1, 2, 60 * 128)
    assert decibels(plain, mixture, torch.bfloat16) >= 44
    assert decibels(plain, mixture, torch.float16) >= 60


@pytest.mark.parametrize("level", [1e-9, 1e-13])
@torch.inference_mode()
def test_silence_and_whispers_are_exact(level: float) -> None:
    """A band's norm divides by its length, and at the lower level by the minimum length."""
    plain = network(*ROFORMERS["mel_band_roformer stereo, linear"])
    fast = GpuRoFormer(plain, torch.float32, CPU)
    assert not fast(torch.zeros(1, 2, 300)).any()
    quiet = level * torch.randn(1, 2, 300)
    assert golden.relative_error(fast(quiet), plain(quiet)) <= 1e-5


@pytest.mark.parametrize("level", [1.0, 1e-8, 0.0])
@torch.inference_mode()
def test_norms_scale_quiet_tokens_as_the_plain_one_does(level: float) -> None:
    plain = RMSNorm(24)
    plain.gamma.copy_(torch.rand(24))
    tokens = level * torch.randn(5, 24)
    assert torch.allclose(rms_norm(tokens, plain.gamma), plain(tokens), rtol=1e-5)
    assert torch.allclose(direction(tokens, torch.float32) * gain(plain.gamma), plain(tokens), rtol=1e-5)


def test_rows_are_aligned_for_tensor_cores() -> None:
    fast = GpuRoFormer(network(*ROFORMERS["three heads"]), torch.bfloat16, CPU)
    attentions = [attention for block in fast.blocks for kind in block for attention, _ in kind.layers]
    assert attentions
    for attention in attentions:
        assert isinstance(attention, Attention)
        assert len(attention.weight) % 8 == 0
    assert all(group.widest % 8 == 0 for group in Bands(fast.network.bands, 2).groups)


@torch.inference_mode()
def test_the_network_itself_is_unchanged() -> None:
    for name in ["linear, skips, polar", "bs_roformer"]:
        plain = network(*ROFORMERS[name])
        before = {key: value.clone() for key, value in plain.state_dict().items()}
        GpuRoFormer(plain, torch.float32, CPU)(torch.randn(1, 2, 500))
        after = plain.state_dict()
        assert after.keys() == before.keys()
        assert all(torch.equal(after[key], value) for key, value in before.items())


@torch.inference_mode()
def test_a_call_does_not_depend_on_the_calls_before() -> None:
    """Tables of positions are kept, and serve several lengths."""
    plain = network(*ROFORMERS["mel_band_roformer"])
    fast = GpuRoFormer(plain, torch.bfloat16, CPU)
    mixtures = [torch.randn(1, 2, length) for length in (900, 3_000, 100)]
    again = [fast(mixture) for mixture in mixtures + mixtures][3:]
    for mixture, estimates in zip(mixtures, again, strict=True):
        assert torch.equal(estimates, GpuRoFormer(plain, torch.bfloat16, CPU)(mixture))


@pytest.mark.parametrize("per_bin", [2, 4])
def test_groups_of_bands_hold_every_number_and_little_padding(per_bin: int) -> None:
    usual = mel_bands(44_100, 2_048, 60)
    bands = Bands(usual, per_bin)
    assert bands.ordered
    assert len(bands.groups) == 5
    assert bands.padded <= 1.5 * sum(bands.sizes)
    frame = torch.arange(bands.numbers + 1)  # the last stands for padding
    padded = frame[bands.sources()]
    for band, column in bands.first_columns():
        numbers = padded[column : column + bands.sizes[band]].tolist()
        assert numbers == list(range(usual[band].start * per_bin, usual[band].stop * per_bin))
    assert (padded < bands.numbers).sum() == sum(bands.sizes)
    back = torch.cat([padded, torch.tensor([-1])])[bands.targets()]
    assert ((back == frame[:-1]) | (back == -1)).all()
    assert torch.equal((back >= 0).sum(0), torch.bincount(padded, minlength=bands.numbers + 1)[:-1])


class Launches(TorchDispatchMode):
    """Counts the operations that compute something; each is about one launch on a GPU."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()
        self.devices: set[str] = set()

    def __torch_dispatch__(self, func: Any, _: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        view = any(value.alias_info and not value.alias_info.is_write for value in func._schema.returns)
        if not view and "empty" not in func.name():
            self.counts[func.name()] += 1
        tensors = [leaf for leaf in tree_leaves((args, kwargs, result)) if isinstance(leaf, Tensor)]
        self.devices |= {tensor.device.type for tensor in tensors}
        return result


@torch.inference_mode()
def launches(compute: Callable[[Tensor], Tensor]) -> int:
    mixture = torch.randn(1, 2, 4_096)
    compute(mixture)  # makes the tables
    with Launches() as counted:
        compute(mixture)
    return counted.counts.total()


LEAN = {"dim": 8, "dim_head": 4, "heads": 2, "time_transformer_depth": 1, "freq_transformer_depth": 1, "stereo": True}


@pytest.mark.parametrize("architecture", ["bs_roformer", "mel_band_roformer"])
def test_bands_cost_no_launches(architecture: str) -> None:
    """With 60 bands, the plain network needs about 750 launches around its blocks."""
    plain = [network(architecture, {**LEAN, "depth": depth}) for depth in (1, 2)]
    one, two = (launches(GpuRoFormer(model, torch.bfloat16, CPU)) for model in plain)
    assert two - one <= 45
    assert one - (two - one) <= 60


@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
@pytest.mark.parametrize("name", ROFORMERS)
def test_a_run_can_be_recorded(name: str, dtype: torch.dtype) -> None:
    """Nothing is read back from the device, and all tensors are on it, so a device without any numbers suffices."""
    meta = torch.device("meta")
    fast = GpuRoFormer(network(*ROFORMERS[name]), dtype, meta)
    with Launches() as seen:
        estimates = fast(torch.empty(2, 2, 1_237, device=meta))
    assert seen.devices == {"meta"}
    assert estimates.shape == (2, fast.config.num_stems, 2, 1_237)
    assert estimates.dtype == torch.float32


def test_an_error_of_the_computation_itself_is_raised() -> None:
    plain = network(*ROFORMERS["bs_roformer stereo, skips"])
    with pytest.raises(ValueError, match="multiple of 2, not 3"):
        Captured(GpuRoFormer(plain, torch.float32, CPU), 100)(torch.zeros(1, 3, 100))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, *HALVES])
@pytest.mark.parametrize("name", ROFORMERS)
@torch.inference_mode()
def test_a_gpu_computes_and_records_the_same(name: str, dtype: torch.dtype) -> None:
    device = torch.device("cuda")
    plain = network(*ROFORMERS[name])
    fast = GpuRoFormer(plain, dtype, device)
    first, second = torch.randn(2, 2, 2, 1_237)
    replay = recorded(fast, first.to(device))
    kept = replay(first.to(device))
    for mixture, estimates in [(second, replay(second.to(device))), (first, kept)]:
        assert golden.relative_error(estimates.cpu(), fast(mixture.to(device)).cpu()) <= 1e-6
        limit = {torch.float32: 1e-5, torch.bfloat16: 2e-2, torch.float16: 3e-3}[dtype]
        assert golden.relative_error(estimates.cpu(), plain(mixture)) <= limit

"""Files of the RoFormers' variants are described and loaded as they are published: without a word about the variant."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch import Tensor

import stemsplit
from stemsplit.checkpoints import checkpoint
from stemsplit.checkpoints.describe import describe
from stemsplit.errors import RegistryError, WeightsError
from stemsplit.models import build
from tests import golden
from tests.conftest import DATA, SHARED

OPEN: dict[str, dict[str, Any]] = {
    "bsv_hyperace1_stereo_1stem": {"hyperace_num_heads": 4},
    "bsv_hyperace2_2stem_smallvar": {"hyperace_num_heads": 2},
    "melv_windowed_sink_short": {"wsa_window_len": 6},
    "melv_windowed_sink_stereo": {},
    "bsv_fno_stereo_1stem": {"n_modes": 65},
    "bsv_large_inst_stereo_1stem": {"refiner_heads": 2, "refiner_dim_head": 8},
    "bsv_value_residual_stereo_1stem": {},
    "bsv_shared_bias_zero_6stem": {},
    "bsv_shared_bias_nonzero_2stem": {},
    "bsv_pope_stereo_1stem": {},
}
"""Recording -> settings; those that shapes leave open, or that shapes have too."""

RUNS = [
    path
    for folder in (DATA, SHARED)
    for path in sorted((folder / "golden").glob("*.safetensors"))
    if path.stem in OPEN and (folder is SHARED or not (SHARED / "golden" / path.name).exists())
]


@pytest.mark.filterwarnings("ignore:.*usual values are assumed")
@pytest.mark.parametrize("with_config", [False, True])
@pytest.mark.parametrize("path", RUNS, ids=lambda path: path.stem)
@torch.inference_mode()
def test_a_file_with_a_recordings_tensors_gives_its_output(tmp_path: Path, path: Path, with_config: bool) -> None:
    recording = golden.load(path)
    if with_config:
        file, config = tmp_path / "mine.safetensors", tmp_path / "mine.yaml"
        save_file({key: value.clone() for key, value in recording.weights.items()}, file)
        config.write_text(yaml.safe_dump({"model": recording.facts["kwargs"]}), encoding="utf-8")
    else:
        file, config = tmp_path / "mine.ckpt", None
        torch.save({"state_dict": {f"model.{key}": value for key, value in recording.weights.items()}}, file)
    network = stemsplit.load_network(file, config, OPEN[path.stem])
    expected = recording.tensors["output"]
    expected = expected if expected.ndim == 4 else expected[:, None]
    estimates = network(recording.tensors["input"])[..., : expected.shape[-1]]
    assert golden.relative_error(estimates, expected) <= recording.tolerance


BS: dict[str, Any] = {"dim": 8, "depth": 1, "stereo": True, "dim_head": 4, "heads": 2, "mlp_expansion_factor": 1}
IMAGE: dict[str, Any] = {"hyperace_channels": (4, 16, 12, 32, 10), "hyperace_depth": 1}
FEW_BANDS: dict[str, Any] = {"freqs_per_bands": (3, 10, 20), "stft_n_fft": 64, "stft_hop_length": 16}
FOURIER: dict[str, Any] = {**BS, **FEW_BANDS, "stft_win_length": 64, "variant": "fno", "n_modes": 6}


def saved(folder: Path, tensors: dict[str, Tensor] | None = None, **config: Any) -> Path:
    """Save a BS-RoFormer, or other tensors."""
    path = folder / "mine.ckpt"
    torch.save(tensors or build("bs_roformer", {**BS, **FEW_BANDS, "stft_win_length": 64, **config}).state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({"variant": "hyperace_v2", **IMAGE}, {"hyperace_num_heads": 8}),
        ({"variant": "value_residual", "depth": 2}, {"zero_dc": False}),
        ({}, {"zero_dc": True}),
    ],
)
def test_what_shapes_cannot_tell_is_assumed_and_said(
    tmp_path: Path, config: dict[str, Any], wanted: dict[str, Any]
) -> None:
    described = describe(saved(tmp_path, **config))
    assert wanted.items() <= described.defaults.items()
    assert wanted.items() <= described.entry.config.items()
    assert not {"variant", "n_modes", "hyperace_channels"} & described.defaults.keys()


@pytest.mark.parametrize("modes", [6, 7])
def test_both_numbers_of_modes_with_as_many_bins_are_accepted(tmp_path: Path, modes: int) -> None:
    path = saved(tmp_path, variant="fno", n_modes=6)
    assert describe(path, settings=[f"n_modes={modes}"]).entry.config["n_modes"] == modes


@pytest.mark.parametrize("setting", ["n_modes=4", "n_modes=8", "n_modes=5", "variant=hyperace_v2", "fno_layers=2"])
def test_a_setting_that_contradicts_the_weights_is_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting.split('=')[0]} cannot be .*: the weights have"):
        describe(saved(tmp_path, variant="fno", n_modes=6), settings=[setting])


@pytest.mark.parametrize(
    ("config", "setting", "complaint"),
    [
        ({"variant": "hyperace_v2", **IMAGE}, "hyperace_num_heads=3", "hyperace_num_heads must divide 16"),
        ({"variant": "hyperace_v2", **IMAGE}, "hyperace_num_heads=0", "hyperace_num_heads must be at least 1"),
    ],
)
def test_an_impossible_setting_is_refused(tmp_path: Path, config: dict[str, Any], setting: str, complaint: str) -> None:
    with pytest.raises(RegistryError, match=complaint):
        describe(saved(tmp_path, **config), settings=[setting])


@pytest.mark.parametrize("setting", ["wsa_window_len=4", "refiner_heads=8", "hyperace_num_heads=8", "variant=fno"])
def test_a_setting_for_another_variant_is_refused(tmp_path: Path, setting: str) -> None:
    with pytest.raises(ValueError, match=f"{setting.split('=')[0]} cannot be .*: the weights have none"):
        describe(saved(tmp_path), settings=[setting])


def test_a_configs_values_for_another_variant_are_overruled(tmp_path: Path) -> None:
    config = tmp_path / "mine.yaml"
    config.write_text("model: {dim: 8, n_modes: 32, use_shared_bias: true, mask_estimator_variant: fno}", "utf-8")
    described = describe(saved(tmp_path), config)
    assert described.overruled == {"n_modes": (32, "none")}
    assert described.entry.config["dim"] == 8


def test_biases_of_zero_are_dropped_but_tell_the_usual_hop(tmp_path: Path) -> None:
    """The plain network's hop is another one."""
    tensors = build("bs_roformer", BS).state_dict()
    zeros = {"linear_62_bias_0": torch.zeros(24), "linear_64_bias_0": torch.zeros(8)}
    described = describe(saved(tmp_path, {**tensors, **zeros}))
    assert ("variant" in described.entry.config, described.defaults["stft_hop_length"]) == (False, 512)
    assert describe(saved(tmp_path, tensors)).defaults["stft_hop_length"] == 441


def test_contradicting_copies_of_a_bias_are_refused(tmp_path: Path) -> None:
    tensors = build("bs_roformer", {**BS, "variant": "shared_bias"}).state_dict()
    with pytest.raises(WeightsError, match="copies of a shared bias contradict each other"):
        describe(saved(tmp_path, {**tensors, "linear_62_bias_0": torch.ones(24)}))


@pytest.mark.filterwarnings("ignore:ComplexHalf")
@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128, torch.complex32])
def test_complex_numbers_are_read_in_single_precision(tmp_path: Path, dtype: torch.dtype) -> None:
    network = build("bs_roformer", FOURIER)
    tensors = {key: value.to(dtype) if value.is_complex() else value for key, value in network.state_dict().items()}
    read = checkpoint.read(saved(tmp_path, tensors))
    network.requires_grad_(False)
    checkpoint.load(network, read, "mine")
    assert {value.dtype for value in network.state_dict().values()} == {torch.float32, torch.complex64}


@pytest.mark.filterwarnings("ignore:.*usual values are assumed")
@pytest.mark.parametrize("bits", [32, 16, 8, 4])
@torch.inference_mode()
def test_complex_numbers_survive_saving_in_few_bits(tmp_path: Path, bits: int) -> None:
    torch.manual_seed(0)
    network, path = build("bs_roformer", FOURIER).eval(), tmp_path / "mine.safetensors"
    checkpoint.save(network, path, bits=bits)
    song = torch.randn(1, 2, 500)
    assert golden.relative_error(stemsplit.load_network(path)(song), network(song)) < 0.1


def test_complex_numbers_instead_of_real_ones_are_refused(tmp_path: Path) -> None:
    network = build("bs_roformer", FOURIER)
    tensors = dict(network.state_dict())
    tensors["final_norm.gamma"] = tensors["final_norm.gamma"] + 1j
    with pytest.raises(WeightsError, match=r"final_norm\.gamma is torch\.complex64, not torch\.float32"):
        checkpoint.load(network, checkpoint.read(saved(tmp_path, tensors)), "mine")


def test_what_neuralop_adds_to_the_tensors_is_no_part_of_the_network(tmp_path: Path) -> None:
    """It is a table of the hyperparameters, the activation function among them."""
    tensors: dict[str, Any] = dict(build("bs_roformer", FOURIER).state_dict())
    tensors["_metadata"] = {"n_modes_height": 64, "_name": "FNO1d", "non_linearity": torch.nn.functional.gelu}
    described = describe(saved(tmp_path, tensors))
    assert (described.entry.config["n_modes"], described.remarks) == (6, ())


def test_an_unsupported_variant_is_refused_by_name(tmp_path: Path) -> None:
    tensors = dict(build("bs_roformer", BS).state_dict())
    tensors["layers.0.0.layers.0.0.ln_y_attn.gamma"] = torch.ones(8)
    with pytest.raises(WeightsError, match=r"mine\.ckpt: this is a RoFormer with two residual streams \(Siamese\)"):
        stemsplit.load_network(saved(tmp_path, tensors))

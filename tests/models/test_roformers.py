"""BS-RoFormer and Mel-Band RoFormer compared with recorded runs of the reference implementations."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import Module

from stemsplit.libraries import load_torchaudio
from stemsplit.models import adapt_keys, build, infer
from stemsplit.models.mel_band_roformer import mel_bands
from stemsplit.models.roformer_layers import PolarEmbedding, RotaryEmbedding
from tests import golden
from tests.conftest import DATA, SHARED

KINDS = ("bs_", "mel_", "full_bs_", "full_mel_")
OWN = [path for path in sorted((DATA / "golden").glob("*.safetensors")) if path.name.startswith(KINDS)]
SHARED_RUNS = [path for path in sorted((SHARED / "golden").glob("*.safetensors")) if path.name.startswith(KINDS)]
FULL = [path for path in SHARED_RUNS if path.name.startswith("full_")]
"""Those of published sizes. `tests/fast/cpu/test_roformer.py` checks them: once for the plain network and the fast one,
as it takes seconds to draw their weights and to compute them."""
LISTS = [path for folder in (DATA, SHARED) for path in sorted((folder / "golden").glob("keys_*"))]
# Variants with other tensors: see test_roformer_variants.
LISTS = [path for path in LISTS if re.match("keys_(bs|mel)_", path.name) and not golden.listing(path).get("variant")]


def config(recording: golden.Recording) -> dict[str, Any]:
    """Return the hyperparameters of a recording. One of the recorded programs never silences the DC bin."""
    audio_separator = "python-audio-separator" in recording.facts["reference"]
    return {**recording.facts["kwargs"], **({"zero_dc": False} if audio_separator else {})}


@torch.inference_mode()
def check(recording: golden.Recording) -> tuple[Module, Tensor]:
    """Check that a network computes what was recorded; gives it and its estimates."""
    with torch.device("meta"):
        model = build(recording.facts["architecture"], config(recording)).eval()
    model.load_state_dict(recording.weights, strict=True, assign=True)
    estimates = model(recording.tensors["input"])
    assert estimates.shape[-1] == recording.tensors["input"].shape[-1]
    # Some references drop the axis of a single stem, and the samples after the last whole hop.
    expected = recording.tensors["output"]
    expected = expected if expected.ndim == 4 else expected[:, None]
    assert golden.relative_error(estimates[..., : expected.shape[-1]], expected) <= recording.tolerance
    return model, estimates


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_computes_what_the_reference_computes(path: Path) -> None:
    check(golden.load(path))


def test_the_tests_own_recordings_cover_every_option() -> None:
    """Every option that a published checkpoint uses must be among the recordings of the test above."""
    configs = [config(golden.load(path)) for path in OWN]
    for option, values in {
        "stereo": {True, False},
        "skip_connection": {True},
        "linear_transformer_depth": {1},
        "mask_estimator_depth": {1, 2, 3},
        "mlp_expansion_factor": {1, 2},
        "stft_normalized": {True},
        "zero_dc": {False},
    }.items():
        assert values <= {facts.get(option) for facts in configs}, option


@pytest.mark.parametrize("name", [path.stem for path in SHARED_RUNS if path not in FULL] or ["none"])
def test_computes_what_the_reference_computes_in_every_recording(shared: Path, name: str) -> None:
    path = shared / "golden" / f"{name}.safetensors"
    recording = golden.load(path)
    recording.weights = golden.parity_tools(shared).load_fixture(str(path))[2]
    check(recording)


@pytest.mark.parametrize("path", LISTS, ids=lambda path: f"{path.parents[1].name}-{path.name}")
def test_published_checkpoints_fit_key_for_key(path: Path) -> None:
    facts = golden.listing(path)
    with torch.device("meta"):
        model = build(facts["architecture"], facts["kwargs"])
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert shapes == {key: tensor["shape"] for key, tensor in facts["tensors"].items()}


@pytest.mark.parametrize("path", LISTS, ids=lambda path: f"{path.parents[1].name}-{path.name}")
def test_hyperparameters_are_inferred_from_a_published_checkpoint(path: Path) -> None:
    facts = golden.listing(path)
    tensors = {key: torch.empty(value["shape"], device="meta") for key, value in facts["tensors"].items()}
    result = infer(tensors)
    assert result.architecture == facts["architecture"]
    inferred = {key: list(value) if isinstance(value, tuple) else value for key, value in result.inferred.items()}
    assert {key: inferred[key] for key in inferred if key in facts["kwargs"]} == {
        key: facts["kwargs"][key] for key in inferred if key in facts["kwargs"]
    }
    assert {"dim", "depth", "num_stems", "stereo", "heads", "dim_head", "mask_estimator_depth"} <= set(inferred)


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.stem)
def test_hyperparameters_are_inferred_from_a_small_checkpoint(path: Path) -> None:
    """These vary what published ones do not: mono, several layers, linear attention, other bands and STFTs."""
    recording = golden.load(path)
    result = infer(recording.weights)
    wanted = {key: tuple(value) if isinstance(value, list) else value for key, value in config(recording).items()}
    assert result.architecture == recording.facts["architecture"]
    assert {key: value for key, value in result.inferred.items() if key in wanted} == {
        key: value for key, value in wanted.items() if key in result.inferred
    }


@pytest.mark.parametrize("sample_rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize(("n_fft", "num_bands"), [(1_024, 16), (2_048, 60), (2_048, 64), (4_096, 60)])
def test_mel_bands_are_those_of_torchaudios_filter_bank(sample_rate: int, n_fft: int, num_bands: int) -> None:
    """The bands must equal those with which other programs build the same checkpoints."""
    filters = load_torchaudio().functional.melscale_fbanks
    bank = filters(n_fft // 2 + 1, 0.0, sample_rate / 2, num_bands, sample_rate, norm="slaney", mel_scale="slaney")
    inside = bank.T > 0
    inside[0, 0] = inside[-1, -1] = True
    assert [list(band) for band in mel_bands(sample_rate, n_fft, num_bands)] == [
        band.nonzero().flatten().tolist() for band in inside
    ]


def test_mel_bands_are_those_of_the_reference() -> None:
    for name, expected in json.loads((DATA / "golden" / "mel_bands.json").read_text()).items():
        bands = mel_bands(*map(int, name.split("_")))
        assert [band.start for band in bands] == expected["start"], name
        assert [len(band) for band in bands] == expected["count"], name


def test_more_mel_bands_than_bins_are_refused() -> None:
    with pytest.raises(ValueError, match="covers no bin of an STFT of 512"):
        mel_bands(44_100, 512, 200)


BS = {"dim": 8, "depth": 1, "dim_head": 4, "heads": 2, "stft_n_fft": 64, "stft_hop_length": 16, "stft_win_length": 64}


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"freqs_per_bands": (1, 2, 3)}, "freqs_per_bands must add up to the 33 bins of the STFT, not 6"),
        ({"freqs_per_bands": (33, 0)}, "freqs_per_bands must be a list of positive"),
        ({"freqs_per_bands": 33}, "freqs_per_bands must be a list of positive"),
        ({"freqs_per_bands": (33,), "dim": 0}, "dim must be at least 1"),
        ({"freqs_per_bands": (33,), "dim_head": 5}, "dim_head must be even"),
        ({"freqs_per_bands": (33,), "stft_hop_length": 48}, "at least twice stft_hop_length"),
        ({"freqs_per_bands": (33,), "stft_win_length": 128}, "at most stft_n_fft 64"),
        ({"freqs_per_bands": (33,), "depth": "many"}, "depth must be int"),
        ({"freqs_per_bands": (33,), "use_hyperace": True}, "no hyperparameter 'use_hyperace'"),
    ],
)
def test_impossible_hyperparameters_are_refused(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        build("bs_roformer", {**BS, **changes})


def test_a_config_without_its_size_is_refused() -> None:
    with pytest.raises(ValueError, match="missing 2 required keyword-only arguments: 'dim' and 'depth'"):
        build("mel_band_roformer", {})


def test_keywords_for_training_are_ignored() -> None:
    build("bs_roformer", {**BS, "freqs_per_bands": [33], "attn_dropout": 0.1, "flash_attn": True, "dim_freqs_in": 33})


@pytest.mark.parametrize(
    ("key", "variant"),
    [
        ("segm.stem.0.weight", "HyperACE"),
        ("layers.1.0.layers.0.0.learned_value_residual_mix.weight", "value residuals"),
        ("layers.0.0.layers.0.0.branch.norm.gamma", "hyper-connections"),
        ("layers.0.0.layers.0.0.cos_emb_time", "stored position tables"),
        ("layers.0.0.layers.0.conformer.weight", "a Conformer"),
        ("fno.fno_blocks.0.weight", "Fourier neural operators"),
    ],
)
def test_a_variant_with_other_modules_is_refused_by_name(key: str, variant: str) -> None:
    tensors = build("bs_roformer", {**BS, "freqs_per_bands": (33,)}).state_dict() | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=variant):
        adapt_keys("bs_roformer", tensors)
    with pytest.raises(ValueError, match=variant):
        infer(tensors)


def test_keys_that_count_an_empty_slot_are_adapted() -> None:
    """One training program keeps a slot for a linear transformer that does not exist."""
    tensors = build("bs_roformer", {**BS, "freqs_per_bands": (33,)}).state_dict()
    shifted = {
        re.sub(r"^(layers\.\d+)\.(\d)", lambda match: f"{match[1]}.{int(match[2]) + 1}", key): value
        for key, value in tensors.items()
    }
    assert shifted.keys() != tensors.keys()
    assert adapt_keys("bs_roformer", shifted).keys() == tensors.keys()


@pytest.mark.parametrize("left_out", ["band_split.", "mask_estimators.", "layers.0.1."])
def test_an_incomplete_checkpoint_is_refused(left_out: str) -> None:
    tensors = build("bs_roformer", {**BS, "freqs_per_bands": (33,)}).state_dict()
    kept = {key: value for key, value in tensors.items() if not key.startswith(left_out)}
    with pytest.raises(ValueError, match=r"its keys, such as|its bs_roformer network is incomplete"):
        infer(kept)


@torch.inference_mode()
def test_polar_positions_have_the_similarity_of_their_paper() -> None:
    """It is the sum over features of |q| |k| cos(distance * frequency + bias), whatever the absolute positions."""
    torch.manual_seed(0)
    polar = PolarEmbedding(dim_head=6, heads=2)
    polar.bias.uniform_(-math.pi, 0)
    queries, keys = torch.randn(2, 1, 2, 9, 6)
    q, k = polar(queries, keys)
    similarity = q @ k.mT
    positions = torch.arange(9.0)
    frequency = 10_000 ** (-torch.arange(6) / 6)
    angles = (positions - positions[:, None])[..., None] * frequency + polar.bias[:, None, None]
    lengths = [torch.nn.functional.softplus(x) for x in (queries, keys)]
    wanted = (lengths[0][..., :, None, :] * lengths[1][..., None, :, :] * angles.cos()).sum(-1)
    assert torch.allclose(similarity, wanted, atol=1e-5)


def test_the_gradient_through_rotary_positions_is_that_of_finite_differences() -> None:
    positions = RotaryEmbedding(6).double()
    drawn = torch.Generator().manual_seed(0)
    queries, keys = (torch.randn(1, 2, 3, 6, generator=drawn).double().requires_grad_() for _ in range(2))

    def similarities(queries: Tensor, keys: Tensor) -> Tensor:
        rotated = positions(queries, keys)
        return rotated[0] @ rotated[1].mT

    assert torch.autograd.gradcheck(similarities, (queries, keys))


@torch.inference_mode()
def test_bfloat16_positions_are_not_rounded() -> None:
    """bfloat16 cannot represent odd numbers above 256, but such positions must differ from their neighbours."""
    from stemsplit.models.roformer_layers import RotaryEmbedding

    rotary = RotaryEmbedding(4)
    ones = torch.ones(1, 1, 602, 4, dtype=torch.bfloat16)
    turned = rotary(ones, ones)[0]
    assert turned.dtype == torch.bfloat16
    assert not torch.equal(turned[0, 0, 600], turned[0, 0, 601])

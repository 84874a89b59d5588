"""The published variants of the RoFormers: recorded runs, lists of keys, and what is refused."""

import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemsplit.models import adapt_keys, build, infer
from stemsplit.models.roformer_layers import RotaryEmbedding
from stemsplit.models.roformer_shared_bias import OUTPUT, PROJECTION
from stemsplit.models.roformer_windowed import FRAMES, WindowedAttention
from tests import golden
from tests.conftest import DATA, SHARED

FILES = [path for folder in (DATA, SHARED) for path in sorted((folder / "golden").glob("*"))]
RUNS = [path for path in FILES if re.fullmatch(r"(bsv|melv)_.*\.safetensors", path.name)]
LISTS = [path for path in FILES if re.match("keys_(bs|mel)_", path.name) and golden.listing(path).get("variant")]

SMALL: dict[str, Any] = {
    "dim": 8,
    "depth": 2,
    "dim_head": 4,
    "heads": 2,
    "stft_n_fft": 64,
    "stft_hop_length": 16,
    "stft_win_length": 64,
    "mlp_expansion_factor": 1,
}
BS = {**SMALL, "freqs_per_bands": (3, 10, 20)}
MEL = {**SMALL, "sample_rate": 16_000, "num_bands": 12, "stereo": True, "stft_n_fft": 256, "stft_win_length": 256}


def open_facts(facts: dict[str, Any]) -> dict[str, Any]:
    """Return what shapes leave open of a recording's variant, under our names."""
    of_variant = facts["variant_kwargs"]
    heads = {"hyperace_num_heads": of_variant["segm"]["num_heads"]} if "segm" in of_variant else {}
    return {name: of_variant[name] for name in ("wsa_window_len",) if name in of_variant} | heads


@pytest.mark.parametrize("path", RUNS, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
@torch.inference_mode()
def test_computes_what_the_reference_computes(path: Path) -> None:
    """The hyperparameters come from the tensors, and from the recording only where these leave them open."""
    recording = golden.load(path)
    weights = recording.weights or golden.made_by_recipe(path)
    found = infer(weights)
    assert found.architecture == recording.facts["architecture"]
    with torch.device("meta"):
        config = {**found.defaults, **recording.facts["kwargs"], **found.inferred, **open_facts(recording.facts)}
        model = build(found.architecture, config).eval()
    model.load_state_dict(adapt_keys(found.architecture, weights), strict=True, assign=True)
    expected = recording.tensors["output"]
    expected = expected if expected.ndim == 4 else expected[:, None]
    # Some references drop the samples after the last whole hop.
    estimates = model(recording.tensors["input"])[..., : expected.shape[-1]]
    assert golden.relative_error(estimates, expected) <= recording.tolerance


@pytest.mark.parametrize("path", LISTS, ids=lambda path: path.name)
def test_published_checkpoints_fit_key_for_key(path: Path) -> None:
    facts = golden.listing(path)
    tensors = {
        key: torch.empty(value["shape"], dtype=getattr(torch, value["dtype"]), device="meta")
        for key, value in facts["tensors"].items()
    }
    found = infer(tensors)
    kwargs = {key: tuple(value) if isinstance(value, list) else value for key, value in facts["kwargs"].items()}
    common = found.inferred.keys() & kwargs.keys()
    assert {key: found.inferred[key] for key in common} == {key: kwargs[key] for key in common}
    assert found.architecture == facts["architecture"]
    with torch.device("meta"):
        model = build(found.architecture, {**found.defaults, **found.inferred})
    wanted = {key: (value.shape, value.dtype) for key, value in model.state_dict().items()}
    assert {key: (value.shape, value.dtype) for key, value in tensors.items()} == wanted


def biased(copies: Tensor | None = None, **top: Tensor) -> dict[str, Tensor]:
    """Return a checkpoint with biases at the top level, and a copy of the first for every attention."""
    tensors = dict(build("bs_roformer", BS).state_dict())
    keys = [key.removesuffix("weight") + "bias" for key in tensors if key.endswith("to_qkv.weight")]
    return {**tensors, **top, **({} if copies is None else dict.fromkeys(keys, copies))}


ZERO, OTHER = torch.zeros(24), torch.arange(24.0)
OUT = torch.arange(8.0)


@pytest.mark.parametrize(
    "tensors",
    [
        biased(linear_62_bias_0=OTHER, linear_64_bias_0=OUT),
        biased(shared_qkv_bias=OTHER, shared_out_bias=OUT),
        biased(OTHER, linear_64_bias_0=OUT),
        biased(OTHER.clone(), linear_62_bias_0=OTHER, linear_64_bias_0=OUT),
        {**biased(linear_64_bias_0=OUT), "layers.1.1.layers.0.0.to_qkv.bias": OTHER},
    ],
    ids=["top level", "splifft", "copies", "both", "one copy"],
)
def test_one_copy_of_each_shared_bias_is_enough(tensors: dict[str, Tensor]) -> None:
    found = infer(tensors)
    assert found.inferred["variant"] == "shared_bias"
    model = build("bs_roformer", {**BS, "variant": "shared_bias"})
    model.load_state_dict(adapt_keys("bs_roformer", tensors), strict=True)
    biases = [layer.bias for name, layer in model.named_modules() if name.endswith((".to_qkv", ".to_out.0"))]
    assert len(biases) == 16
    assert all(torch.equal(bias, OTHER if len(bias) == 24 else OUT) for bias in biases)


def test_shared_biases_of_zero_leave_the_plain_network() -> None:
    tensors = biased(ZERO, linear_62_bias_0=ZERO, linear_64_bias_0=torch.zeros(8))
    assert "variant" not in infer(tensors).inferred
    assert adapt_keys("bs_roformer", tensors).keys() == build("bs_roformer", BS).state_dict().keys()


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        (biased(OTHER + 1, linear_62_bias_0=OTHER, linear_64_bias_0=OUT), "contradict each other"),
        (biased(ZERO, linear_62_bias_0=OTHER, linear_64_bias_0=OUT), "contradict each other"),
        (biased(OTHER[:5], linear_62_bias_0=OTHER, linear_64_bias_0=OUT), "contradict each other"),
        (biased(OTHER.int(), linear_62_bias_0=OTHER, linear_64_bias_0=OUT), "contradict each other"),
        (
            biased(linear_62_bias_0=OTHER, linear_64_bias_0=OUT, **{"layers.7.0.layers.0.0.to_out.0.bias": OUT}),
            "not the weights of the same attention",
        ),
        (biased(linear_62_bias_0=OTHER), f"not the other, {OUTPUT}"),
        (biased(linear_64_bias_0=OUT), f"not the other, {PROJECTION}"),
    ],
    ids=["values", "zero", "shape", "type", "no attention", "no output", "no projection"],
)
def test_shared_biases_that_are_not_known_are_refused(tensors: dict[str, Tensor], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        infer(tensors)


@pytest.mark.parametrize("tokens", [1, 3, 4, FRAMES + 3, 2 * FRAMES + 5])
@pytest.mark.parametrize("reach", [1, 5, 1_000])
@torch.inference_mode()
def test_windowed_attention_is_attention_with_a_mask(tokens: int, reach: int) -> None:
    torch.manual_seed(0)
    layer = WindowedAttention(8, 4, 2, RotaryEmbedding(4), sinks=3, reach=reach)
    queries, keys, values = torch.randn(3, 2, 2, 3 + tokens, 4)
    places = torch.arange(3 + tokens)
    seen = (places < 3) | (places[:, None] < 3) | ((places - places[:, None]).abs() <= reach)
    scores = (queries @ keys.mT * layer.scale).masked_fill(~seen, -torch.inf)
    assert torch.allclose(layer.attended(queries, keys, values), scores.softmax(-1) @ values, atol=1e-6)


@torch.inference_mode()
def test_the_sinks_count_as_frames_before_the_first() -> None:
    """In a window over everything, they do what frames of the same tokens would do."""
    torch.manual_seed(0)
    windowed = build("mel_band_roformer", {**MEL, "variant": "windowed", "wsa_window_len": 1_000})
    plain = build("mel_band_roformer", MEL)
    tensors = dict(windowed.state_dict())
    sinks = tensors.pop("sink_tokens")
    plain.load_state_dict(tensors)
    tokens = torch.randn(2, 5, 12, 8)
    wanted = plain.transformed(torch.cat([sinks.expand(2, -1, -1, -1), tokens], 1))[:, len(sinks) :]
    assert torch.allclose(windowed.transformed(tokens), wanted, atol=1e-5)


@torch.inference_mode()
def test_values_that_are_not_mixed_make_the_plain_network() -> None:
    """A share of nothing (a very negative number before the sigmoid) leaves every value as it is."""
    mixing = build("bs_roformer", {**BS, "variant": "value_residual"}).eval()
    tensors = mixing.state_dict()
    shares = [key for key in tensors if "to_value_residual_mix" in key]
    assert {key.split(".")[1] for key in shares} == {"1"}
    for key in shares:
        tensors[key].fill_(-1e4 if key.endswith("bias") else 0)
    plain = build("bs_roformer", BS).eval()
    plain.load_state_dict({key: value for key, value in tensors.items() if key not in shares})
    song = torch.randn(1, 1, 300)
    assert torch.allclose(mixing(song), plain(song), atol=1e-6)


def test_complex_gains_may_be_stored_as_pairs() -> None:
    tensors = dict(build("bs_roformer", {**BS, "variant": "fno", "n_modes": 6}).state_dict())
    pairs = {key: torch.view_as_real(value) if value.is_complex() else value for key, value in tensors.items()}
    assert infer(pairs).inferred == infer(tensors).inferred
    adapted = adapt_keys("bs_roformer", pairs)
    assert all(torch.equal(adapted[key], value) for key, value in tensors.items())


VARIANTS = [
    ("bs_roformer", {**BS, "variant": "large_inst_v2", "refiner_depth": 3, "refiner_heads": 1, "refiner_dim_head": 2}),
    ("bs_roformer", {**BS, "variant": "value_residual"}),
    ("bs_roformer", {**BS, "variant": "shared_bias"}),
    ("bs_roformer", {**BS, "variant": "fno", "n_modes": 6, "fno_layers": 2}),
    (
        "bs_roformer",
        {
            **BS,
            "variant": "hyperace_v1",
            "hyperace_channels": (4, 16, 12, 8, 10),
            "hyperace_depth": 1,
            "hyperace_hyperedges": 3,
            "hyperace_num_heads": 2,
        },
    ),
    ("bs_roformer", {**BS, "variant": "hyperace_v2", "hyperace_channels": (4, 16, 12, 32, 10)}),
    ("mel_band_roformer", {**MEL, "variant": "windowed", "num_sink_tokens": 3}),
]
"""An architecture and a config for each variant, with unusual sizes."""


IDS = [config["variant"] for _, config in VARIANTS]


@pytest.mark.parametrize(("architecture", "config"), VARIANTS, ids=IDS)
def test_hyperparameters_are_inferred_from_a_small_checkpoint(architecture: str, config: dict[str, Any]) -> None:
    tensors = dict(build(architecture, config).state_dict())
    for key in tensors:
        if key.endswith(("to_qkv.bias", "to_out.0.bias", "_bias_0")):
            tensors[key] = torch.ones_like(tensors[key])  # zero ones are not told from a plain network
    found = infer(tensors)
    assert found.architecture == architecture
    wanted = {**config, "stereo": config.get("stereo", False)}
    assert {key: found.inferred[key] for key in found.inferred if key in wanted} == {
        key: wanted[key] for key in found.inferred if key in wanted
    }
    known = found.inferred.keys() | found.defaults.keys()
    assert {key for key in config if key not in ("stft_n_fft", "sample_rate", "num_bands")} - known <= {
        "mlp_expansion_factor"
    }


@pytest.mark.parametrize(("architecture", "config"), VARIANTS, ids=IDS)
def test_an_incomplete_checkpoint_is_refused(architecture: str, config: dict[str, Any]) -> None:
    """Whatever is left out, a message says so, or what is inferred does not fit the tensors."""
    tensors = dict(build(architecture, config).state_dict())
    for part in ("mask_estimators.0.", "band_split.", "layers.0.1."):
        kept = {key: value for key, value in tensors.items() if not key.startswith(part)}
        with pytest.raises(ValueError, match=r"its keys, such as|is incomplete|do not have the shapes"):
            infer(kept)


@pytest.mark.parametrize(
    ("key", "variant"),
    [
        ("layers.0.0.layers.0.0.ln_y_attn.gamma", "Siamese"),
        ("layers.0.0.layers.0.ln_x_mlp.weight", "Siamese"),
        ("layers.0.0.y_attn", "Siamese"),
        ("layers.0.0.layers.0.0.branch.norm.gamma", "hyper-connections"),
        ("layers.1.0.layers.0.0.branch.to_value_residual_mix.weight", "hyper-connections"),
        ("layers.1.0.layers.0.0.learned_value_residual_mix.weight", "value residuals"),
        ("layers.0.0.layers.0.ff1.net.0.gamma", "a Conformer"),
        ("layers.0.0.layers.0.conv.net.1.weight", "a Conformer"),
        ("cos_emb_time", "stored position tables"),
        ("segm.stem.0.weight", "HyperACE"),
    ],
)
def test_a_variant_that_is_not_supported_is_refused_by_name(key: str, variant: str) -> None:
    for architecture, config in (("bs_roformer", BS), ("mel_band_roformer", MEL)):
        tensors = build(architecture, config).state_dict() | {key: torch.zeros(1)}
        with pytest.raises(ValueError, match=variant):
            infer(tensors)


@pytest.mark.parametrize(
    ("architecture", "config", "key", "complaint"),
    [
        ("bs_roformer", BS, "sink_tokens", "a bs_roformer with windowed attention"),
        (
            "mel_band_roformer",
            MEL,
            "layers.1.0.layers.0.0.to_value_residual_mix.weight",
            "a mel_band_.*value residual",
        ),
        (
            "bs_roformer",
            {**BS, "variant": "large_inst_v2"},
            "mask_estimators.0.segm.x",
            "HyperACE.* at once",
        ),
    ],
)
def test_variants_that_nobody_published_are_refused(
    architecture: str, config: dict[str, Any], key: str, complaint: str
) -> None:
    tensors = build(architecture, config).state_dict() | {key: torch.zeros(1)}
    with pytest.raises(ValueError, match=complaint):
        infer(tensors)


@pytest.mark.parametrize(
    ("architecture", "changes", "complaint"),
    [
        ("bs_roformer", {"variant": "hyperace"}, "unknown variant 'hyperace'; did you mean 'hyperace_v"),
        ("bs_roformer", {"variant": "x"}, "unknown variant 'x'; choose from large_inst_v2, "),
        ("bs_roformer", {"variant": "windowed"}, "no bs_roformer of the variant 'windowed', only a mel_band_roformer"),
        ("mel_band_roformer", {"variant": "fno"}, "no mel_band_roformer of the variant 'fno', only a bs_roformer"),
        ("bs_roformer", {"variant": "fno", "use_pope": True}, "use_pope cannot be combined"),
        (
            "bs_roformer",
            {"variant": "value_residual", "linear_transformer_depth": 1},
            "linear_transformer_depth must be 0",
        ),
        ("bs_roformer", {"n_modes": 8}, "n_modes belongs to the variant 'fno', and the network is plain"),
        ("bs_roformer", {"variant": "large_inst_v2", "refiner_dim_head": 3}, "refiner_dim_head must be even"),
        ("bs_roformer", {"variant": "large_inst_v2", "refiner_depth": 1_001}, "refiner_depth must be at most 1000"),
        ("bs_roformer", {"variant": "fno", "fno_layers": 1_001}, "fno_layers must be at most 1000"),
        ("bs_roformer", {"variant": "fno", "fno_layers": 1_000}, "about 24,... tensors; the limit is 20,000"),
        ("bs_roformer", {"variant": "fno", "n_modes": 0}, "n_modes must be at least 1"),
        ("bs_roformer", {"variant": "fno", "n_modes": "many"}, "n_modes must be int"),
        (
            "bs_roformer",
            {"variant": "hyperace_v2", "hyperace_channels": 5},
            "hyperace_channels must be whole numbers",
        ),
        (
            "bs_roformer",
            {"variant": "hyperace_v2", "hyperace_channels": [64] * 4},
            "hyperace_channels must be five numbers",
        ),
        ("bs_roformer", {"variant": "hyperace_v2", "hyperace_channels": [10**6] * 5}, "whole numbers from 1 to 10000"),
        ("bs_roformer", {"variant": "hyperace_v2", "hyperace_num_heads": 7}, "hyperace_num_heads must divide 256"),
        ("mel_band_roformer", {"variant": "windowed", "num_sink_tokens": 0}, "num_sink_tokens must be at least 1"),
        ("bs_roformer", {"depth": 1_000, "time_transformer_depth": 1_000}, "tensors; the limit is 20,000"),
    ],
)
def test_impossible_hyperparameters_are_refused(architecture: str, changes: dict[str, Any], complaint: str) -> None:
    """At once, before anything is built: an entry may come from a stranger's file."""
    with pytest.raises(ValueError, match=complaint):
        build(architecture, {**(BS if architecture == "bs_roformer" else MEL), **changes})


def test_other_programs_switches_for_variants_are_ignored() -> None:
    switches = {"use_shared_bias": True, "mask_estimator_variant": "fno", "backbone_variant": "value_residual"}
    assert build("bs_roformer", {**BS, **switches}).config.variant == ""

"""SuDoRM-RF compared with recorded runs of the reference implementation."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from stemsplit.models import build
from tests import golden
from tests.conftest import DATA, SHARED

OWN = sorted((DATA / "golden").glob("sudo_*.safetensors"))
PLAIN = [path for path in OWN if "pipeline" not in path.name]
SHARED_RUNS = sorted((SHARED / "golden").glob("*sudo_*.safetensors"))
KEY_LISTS = sorted((SHARED / "golden").glob("keys_sudo_*.json.gz"))


def network(facts: dict[str, Any], **more: bool) -> torch.nn.Module:
    variant = facts["architecture"].removeprefix("sudormrf_")
    return build("sudormrf", {"variant": variant, **facts["kwargs"], **more}).eval()


@torch.inference_mode()
def check(recording: golden.Recording) -> None:
    model = network(recording.facts)
    model.load_state_dict(recording.weights, strict=True)
    estimates = model(recording.tensors["input"])
    # The reference lays stems and channels out along one axis.
    assert golden.relative_error(estimates.flatten(1, 2), recording.tensors["output"]) <= recording.tolerance


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_computes_what_the_reference_computes(path: Path) -> None:
    check(golden.load(path))


@pytest.mark.parametrize("path", PLAIN, ids=lambda path: path.stem)
def test_the_code_for_the_compiler_computes_the_same(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    check(golden.load(path))


def test_every_variant_is_compared_with_its_reference() -> None:
    """Every variant must be among the recordings of the test above."""
    seen = {golden.load(path).facts["architecture"] for path in PLAIN}
    assert seen == {f"sudormrf_{variant}" for variant in ("original", "improved", "groupcomm", "causal")}


@pytest.mark.parametrize("name", [path.stem for path in SHARED_RUNS if "pipeline" not in path.name] or ["none"])
def test_computes_what_the_reference_computes_in_every_recording(shared: Path, name: str) -> None:
    path = shared / "golden" / f"{name}.safetensors"
    recording = golden.load(path)
    recording.weights = golden.parity_tools(shared).load_fixture(str(path))[2]
    check(recording)


PIPELINES = [path for path in OWN + SHARED_RUNS if "pipeline" in path.name]


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: f"{path.parent.parent.name}-{path.stem}")
@pytest.mark.parametrize(
    ("options", "given", "expected"),
    [
        ({}, "normalised_input", "model_output"),
        ({"normalize": True}, "mixture", "rescaled"),
        ({"mixture_consistency": True}, "normalised_input", "consistent_normalised"),
        ({"normalize": True, "mixture_consistency": True}, "mixture", "consistent_rescaled_raw_mix"),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
@torch.inference_mode()
def test_inference_around_the_network(path: Path, options: dict[str, bool], given: str, expected: str) -> None:
    """Scaling and mixture consistency give what the reference pipeline gives."""
    recording = golden.load(path)
    model = network(recording.facts, **options)
    model.load_state_dict(recording.weights, strict=True)
    estimates = model(recording.tensors[given][:, None])[:, :, 0]
    assert golden.relative_error(estimates, recording.tensors[expected]) <= 5e-6


@pytest.mark.parametrize("name", [path.name for path in KEY_LISTS] or ["none"])
def test_published_checkpoints_fit_key_for_key(shared: Path, name: str) -> None:
    listing = json.loads(gzip.decompress((shared / "golden" / name).read_bytes()))
    with torch.device("meta"):
        model = network(listing)
    shapes = {key: list(value.shape) for key, value in model.state_dict().items()}
    assert shapes == {key: tensor["shape"] for key, tensor in listing["tensors"].items()}


@torch.inference_mode()
def test_consistent_stems_add_up_to_the_mixture() -> None:
    model = build("sudormrf", {"num_blocks": 1, "enc_num_basis": 16, "num_sources": 3, "mixture_consistency": True})
    mixture = torch.randn(2, 1, 1_000)
    assert torch.allclose(model(mixture).sum(1), mixture, atol=1e-6)


@torch.inference_mode()
def test_the_causal_variant_is_causal() -> None:
    """Changing the end of a song changes nothing that is more than a filter's length before it."""
    model = build("sudormrf", {"variant": "causal", "num_blocks": 2, "enc_num_basis": 16, "upsampling_depth": 2})
    for name, parameter in model.named_parameters():
        if name.endswith("skipinit_gain"):
            parameter.fill_(0.5)
    song = torch.randn(1, 1, 4_000)
    changed = song.clone()
    changed[..., 3_000:] = torch.randn(1_000)
    # The coarser of two scales holds a value for two frames, the decoder reaches one hop back.
    before = 3_000 - 2 * 10 - 2 * 10
    assert torch.equal(model(song)[..., :before], model(changed)[..., :before])
    assert not torch.equal(model(song)[..., 3_000:], model(changed)[..., 3_000:])


@pytest.mark.parametrize(
    "config",
    [
        {"variant": "newest"},
        {"enc_kernel_size": 20},
        {"num_blocks": 0},
        {"variant": "groupcomm", "group_size": 7},
        {"variant": "original", "enc_num_basis": 31},
    ],
)
def test_impossible_hyperparameters_are_refused(config: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(key for key in reversed(config))):
        build("sudormrf", config)

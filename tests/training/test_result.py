"""What a run leaves: weights that say which model they are of, and an entry for a registry."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stemsplit import registry
from stemsplit.checkpoints import checkpoint
from stemsplit.checkpoints.describe import ABOUT, describe, own_entry
from stemsplit.checkpoints.loading import load_network
from stemsplit.cli import choose
from stemsplit.engine.separator import Separator
from stemsplit.errors import RegistryError, WeightsError
from stemsplit.registry import ModelEntry
from stemsplit.training import result
from tests.training.conftest import ENTRIES, ROFORMER, TINY, network

FULL = replace(
    TINY,
    description='says "all" \\ there is: ä, \t, \x7f, \x01 and 1\n2',
    author="Jo O'Neil",
    license="CC-BY-4.0",
    license_note="of the songs' authors",
    license_url="https://example.org/licence",
    page="https://example.org",
    window="linear",
    training_data="three tones",
    score={"measure": "SDR", "mean": 1e-05, "songs": 3},
)


def told(entry: ModelEntry) -> ModelEntry:
    """An entry without where its weights are, and with its lists as a file has them."""
    config = {key: list(value) if isinstance(value, tuple) else value for key, value in entry.config.items()}
    return replace(entry, sources=(), config=config)


@pytest.mark.parametrize("entry", [*ENTRIES.values(), FULL, replace(TINY, residual="rest", mixture_consistency=False)])
def test_a_registry_reads_the_entry_that_was_written(tmp_path: Path, entry: ModelEntry) -> None:
    written = result.save(network(entry), entry, tmp_path / "mine.safetensors")
    (name, read), *_ = registry.read(tmp_path / "mine.toml").items()
    assert told(read) == told(written) == told(replace(entry, name=name, sha256=read.sha256, size=read.size))
    assert (name, read.sources) == ("mine", (f"file:{tmp_path / 'mine.safetensors'}",))
    data = (tmp_path / "mine.safetensors").read_bytes()
    assert (read.size, read.sha256) == (len(data), hashlib.sha256(data).hexdigest())


def test_what_recommended_a_model_does_not_recommend_what_was_trained_from_it(tmp_path: Path) -> None:
    written = result.save(network(), replace(TINY, recommended="highest score"), tmp_path / "mine.safetensors")
    assert written.recommended == registry.read(tmp_path / "mine.toml")["mine"].recommended == ""


def test_what_was_measured_of_a_model_does_not_hold_for_what_is_trained_from_it() -> None:
    entry = result.entry_of(replace(FULL, bfloat16=True), True, "songs", "", "")
    assert (entry.score, entry.bfloat16) == ({}, False)


@pytest.mark.parametrize("entry", [*ENTRIES.values(), FULL])
def test_the_weights_tell_the_same_entry_wherever_they_are(tmp_path: Path, entry: ModelEntry) -> None:
    written = result.save(network(entry), entry, tmp_path / "mine.safetensors")
    moved = (tmp_path / "mine.safetensors").rename(tmp_path / "other name.safetensors")
    read = own_entry(moved)
    assert read is not None
    assert told(read) == told(replace(written, name="other name", sha256="", size=0))
    assert read.sources == (f"file:{moved}",)


@pytest.mark.parametrize("name", ["mine", "my model", "a.b", "x[1]", "größe"])
@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_a_model_is_at_hand_at_once(tmp_path: Path, name: str, entry: ModelEntry) -> None:
    """By the file's name, and by the entry's in a registry: with the weights that were saved."""
    made, path = network(entry, seed=3), tmp_path / f"{name}.safetensors"
    result.save(made, entry, path)
    found, described = choose.look_up(str(path), None, None, None)
    assert described is not None
    assert (described.defaults, described.overruled) == ({}, {})
    named = choose.model(name, tmp_path / f"{name}.toml")
    for chosen in (found, named):
        tensors = load_network(chosen).state_dict()
        assert all(torch.equal(value, tensors[key]) for key, value in made.state_dict().items())
        assert Separator(chosen, "cpu").stems == ("low", "high")


def test_half_precision_takes_half_the_room(tmp_path: Path) -> None:
    made = network()
    result.save(made, TINY, tmp_path / "whole.safetensors")
    result.save(made, TINY, tmp_path / "half.safetensors", bits=16)
    whole, half = (checkpoint.read(tmp_path / f"{name}.safetensors") for name in ("whole", "half"))
    assert all(torch.equal(half[key], value.half().float()) for key, value in whole.items())
    sizes = [(tmp_path / f"{name}.safetensors").stat().st_size for name in ("whole", "half")]
    assert sizes[1] < 0.75 * sizes[0]


def test_a_later_result_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    for seed in range(2):
        result.save(network(seed=seed), TINY, tmp_path / "mine.safetensors")
        entry = registry.read(tmp_path / "mine.toml")["mine"]
        weights = load_network(entry).state_dict()
        assert all(torch.equal(value, weights[key]) for key, value in network(seed=seed).state_dict().items())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine.safetensors", "mine.toml"]


def test_what_a_config_leaves_open_is_left_out(tmp_path: Path) -> None:
    """YAML can say that something is nothing, TOML cannot."""
    entry = replace(ROFORMER, config={**ROFORMER.config, "dim_freqs_in": None})
    result.save(network(entry), entry, tmp_path / "mine.safetensors")
    assert "dim_freqs_in" not in registry.read(tmp_path / "mine.toml")["mine"].config
    assert own_entry(tmp_path / "mine.safetensors") is not None


def test_a_file_that_says_nothing_of_itself_is_no_entry(tmp_path: Path) -> None:
    checkpoint.save(network(), tmp_path / "plain.safetensors")
    assert own_entry(tmp_path / "plain.safetensors") is None
    torch.save({"a": torch.ones(1)}, tmp_path / "pickle.ckpt")
    assert own_entry(tmp_path / "pickle.ckpt") is None
    assert own_entry(tmp_path / "not there.safetensors") is None


@pytest.mark.parametrize(
    "text",
    ["{", "[]", '"text"', "{}", '{"surprise": 1}', "[" * 100_000, json.dumps({"architecture": 1})],
    ids=lambda text: text[:20],
)
def test_a_file_that_tells_nonsense_is_refused(tmp_path: Path, text: str) -> None:
    checkpoint.save(network(), tmp_path / "mine.safetensors", {ABOUT: text})
    with pytest.raises(RegistryError, match=r"mine\.safetensors"):
        own_entry(tmp_path / "mine.safetensors")


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"cannot write .*mine\.safetensors"):
        result.save(network(), TINY, tmp_path / "nowhere" / "mine.safetensors")
    (tmp_path / "mine.toml").mkdir()
    with pytest.raises(WeightsError, match=r"cannot write .*mine\.toml: Is a directory$"):
        result.save(network(), TINY, tmp_path / "mine.safetensors")
    assert not [path for path in tmp_path.iterdir() if "partial" in path.name]


def test_what_the_weights_tell_stands_where_it_is_not_set_otherwise(tmp_path: Path) -> None:
    result.save(network(TINY), FULL, tmp_path / "mine.safetensors")
    described = describe(tmp_path / "mine.safetensors", settings=["hop=1000", "stems=deep, shrill"])
    entry = described.entry
    assert (entry.hop, entry.stems) == (1_000, ("deep", "shrill"))
    assert (entry.sample_rate, entry.window, entry.training_data) == (8_000, "linear", "three tones")
    assert not described.defaults
    assert Separator(entry, "cpu").separate(torch.randn(1, 5_000), 8_000).keys() == {"deep", "shrill"}
    for setting, complaint in [
        ("hop=5000", "hop must not be longer"),
        ("num_sources=3", "3 stems, but the number of stem names is 2"),
    ]:
        with pytest.raises(RegistryError, match=f"mine.safetensors: .*{complaint}"):
            describe(tmp_path / "mine.safetensors", settings=[setting])

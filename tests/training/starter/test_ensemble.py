"""Several trained models made into one, which separates as their mean does."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stemsplit import registry
from stemsplit.checkpoints.describe import own_entry
from stemsplit.checkpoints.loading import load_network
from stemsplit.engine.separator import Separator
from stemsplit.registry import ModelEntry
from stemsplit.training import result
from stemsplit.training.starter import ensemble
from tests.training.conftest import ROFORMER, TINY, network

REST = replace(
    ROFORMER,
    stems=("high",),
    residual="low",
    mixture_consistency=False,
    config={**ROFORMER.config, "num_stems": 1},
    name="rest",
)


def saved(entry: ModelEntry, path: Path) -> Path:
    """A file of weights as training leaves it."""
    result.save(network(entry), entry, path)
    return path


def test_it_separates_as_the_mean_of_its_members(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    members = [saved(TINY, tmp_path / "one.safetensors"), saved(REST, tmp_path / "two.safetensors")]
    out = tmp_path / "both.safetensors"
    assert ensemble.main([*map(str, members), "-o", str(out), "--shares", "3,1"]) == 0
    assert f"{out.stat().st_size:,} bytes" in capsys.readouterr().out
    mixture = torch.randn(2, 9_000) / 10
    apart = []
    for path in members:
        entry = own_entry(path)
        assert entry is not None
        apart.append(Separator(entry, "cpu").separate(mixture, 8_000))
    found = Separator(registry.read(tmp_path / "both.toml")["both"], "cpu").separate(mixture, 8_000)
    for stem in ("low", "high"):
        assert torch.allclose(found[stem], 0.75 * apart[0][stem] + 0.25 * apart[1][stem], atol=1e-5)
    assert torch.allclose(found["low"] + found["high"], mixture, atol=1e-6)


def test_an_ensemble_joins_with_its_members(tmp_path: Path) -> None:
    torch.manual_seed(0)
    config = {
        "num_stems": 2,
        "members": [
            {"architecture": "sudormrf", "config": TINY.config, "places": [0, 1], "mid_side": True, "share": 2.0},
            {"architecture": "bs_roformer", "config": REST.config, "places": [1]},
        ],
    }
    pair = replace(TINY, architecture="ensemble", config=config, channels=2, stems=("low", "high"))
    third = replace(ROFORMER, stems=("high", "low"), residual="", mixture_consistency=True)
    paths = [saved(third, tmp_path / "one.safetensors"), saved(pair, tmp_path / "two.safetensors")]
    out = tmp_path / "three.safetensors"
    assert ensemble.main([*map(str, paths), "-o", str(out), "--shares", "1,3"]) == 0
    entry = own_entry(out)
    assert entry is not None
    found = [(table["places"], table["share"], table.get("mid_side", False)) for table in entry.config["members"]]
    assert found == [([0, 1], 1.0, False), ([1, 0], 2.0, True), ([0], 1.0, False)]
    mixture = torch.randn(2, 9_000) / 10
    apart = [Separator(own, "cpu").separate(mixture, 8_000) for own in map(own_entry, paths) if own]
    together = Separator(entry, "cpu").separate(mixture, 8_000)
    for stem in ("low", "high"):
        assert torch.allclose(together[stem], 0.25 * apart[0][stem] + 0.75 * apart[1][stem], atol=1e-5)


def test_what_is_filtered_already_is_no_member(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = {"architecture": "sudormrf", "config": TINY.config, "places": [0, 1]}
    config = {"num_stems": 2, "members": [table], "wiener": 0.5}
    entry = replace(TINY, architecture="ensemble", config=config, channels=2)
    path = saved(entry, tmp_path / "one.safetensors")
    assert ensemble.main([str(path), str(path), "-o", str(tmp_path / "both.safetensors")]) == 1
    assert "one has a Wiener filter already" in capsys.readouterr().err


def test_the_entry_may_say_what_one_of_the_registry_says(tmp_path: Path) -> None:
    member, out = str(saved(TINY, tmp_path / "one.safetensors")), tmp_path / "both.safetensors"
    assert ensemble.main([member, member, "-o", str(out), "--facts-of", "starter"]) == 0
    entry, known = own_entry(out), registry.find("starter")
    assert entry is not None
    assert (entry.license, entry.training_data, entry.score) == (known.license, known.training_data, known.score)
    assert entry.stems == TINY.stems


def test_the_file_knows_its_entry_and_may_be_small(tmp_path: Path) -> None:
    members = [saved(TINY, tmp_path / "one.safetensors"), saved(REST, tmp_path / "two.safetensors")]
    out = tmp_path / "both.safetensors"
    assert ensemble.main([*map(str, members), "-o", str(out), "--bits", "8"]) == 0
    entry = own_entry(out)
    assert entry is not None
    assert (entry.architecture, entry.outputs, entry.channels, entry.mixture_consistency) == (
        "ensemble",
        ("low", "high"),
        2,
        True,
    )
    assert Separator(entry, "cpu").separate(torch.randn(2, 5_000), 8_000).keys() == {"low", "high"}
    json.dumps(entry.identity("digest"))


@pytest.mark.parametrize(
    ("other", "complaint"),
    [
        (replace(TINY, stems=("low", "loud")), "gives low, loud, not low, high"),
        (replace(TINY, sample_rate=16_000), "the same sample rate"),
        (replace(TINY, mixture_consistency=False), "do not add up to the mixture"),
    ],
)
def test_members_that_do_not_go_together_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], other: ModelEntry, complaint: str
) -> None:
    members = [saved(TINY, tmp_path / "one.safetensors"), saved(other, tmp_path / "two.safetensors")]
    assert ensemble.main([*map(str, members), "-o", str(tmp_path / "both.safetensors")]) == 1
    assert complaint in capsys.readouterr().err
    assert not (tmp_path / "both.safetensors").exists()


def test_weights_may_be_averaged_instead(tmp_path: Path) -> None:
    paths = [tmp_path / "one.safetensors", tmp_path / "two.safetensors"]
    weights = []
    for seed, path in enumerate(paths):
        result.save(network(TINY, seed), TINY, path)
        weights.append(network(TINY, seed).state_dict())
    out = tmp_path / "mean.safetensors"
    assert ensemble.main([*map(str, paths), "-o", str(out), "--weights", "--shares", "3,1"]) == 0
    made = own_entry(out)
    assert made is not None
    assert (made.architecture, made.outputs) == (TINY.architecture, TINY.outputs)
    for key, value in load_network(made).state_dict().items():
        assert torch.allclose(value, 0.75 * weights[0][key] + 0.25 * weights[1][key], atol=1e-6), key


def test_weights_of_different_networks_are_not_averaged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    members = [saved(TINY, tmp_path / "one.safetensors"), saved(ROFORMER, tmp_path / "two.safetensors")]
    assert ensemble.main([*map(str, members), "-o", str(tmp_path / "mean.safetensors"), "--weights"]) == 1
    assert "two and one differ in network or stems" in capsys.readouterr().err
    assert not (tmp_path / "mean.safetensors").exists()


@pytest.mark.parametrize("shares", ["1", "1,two", "1,2,3", "0,1", "1,inf", "1,nan"])
def test_each_member_has_a_share(tmp_path: Path, shares: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        ensemble.main(["a", "b", "-o", str(tmp_path / "c.safetensors"), "--shares", shares])

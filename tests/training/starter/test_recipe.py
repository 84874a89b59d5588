"""The runs that the built-in model is made in."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from stemsplit import models, registry
from stemsplit.checkpoints.describe import own_entry
from stemsplit.engine.separator import Separator
from stemsplit.training.starter import ensemble, recipe
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.training.conftest import ROFORMER, TINY, put, tone

LIKE = replace(
    TINY,
    name="starter",
    architecture="ensemble",
    stems=("vocals", "other"),
    channels=2,
    config={
        "num_stems": 2,
        "wiener": 0.25,
        "members": [
            {"architecture": "sudormrf", "config": TINY.config, "places": [0, 1], "share": 3.0},
            {
                "architecture": "bs_roformer",
                "config": {**ROFORMER.config, "num_stems": 1},
                "places": [1],
                "share": 1.0,
            },
        ],
    },
)


def first_of(stage: recipe.Stage) -> int:
    """Which member a stage is of, by the stages that came before it."""
    if isinstance(stage.begin, int):
        return stage.begin
    before = (stage.begin,) if isinstance(stage.begin, str) else stage.begin
    (number,) = {first_of(other) for other in recipe.STAGES if other.name in before}
    return number


def test_every_member_of_the_starter_comes_of_stages_in_their_order() -> None:
    names = [stage.name for stage in recipe.STAGES]
    assert len({*names}) == len(names)
    for number, stage in enumerate(recipe.STAGES):
        before = (stage.begin,) if isinstance(stage.begin, str) else stage.begin
        assert isinstance(before, int) or {*before} <= {*names[:number]}
    members = [recipe.STAGES[names.index(name)] for name in recipe.MEMBERS]
    built_in = registry.find("starter")
    assert [first_of(stage) for stage in members] == list(range(len(built_in.config["members"])))
    for entry in recipe.networks(built_in):
        models.check(entry.architecture, entry.config, len(entry.stems), entry.channels)
        assert set(entry.outputs) == set(built_in.stems)
        assert entry.adds_up


@pytest.fixture
def in_this_process(
    monkeypatch: pytest.MonkeyPatch, stemsplit: Callable[..., Result]
) -> Callable[..., "subprocess.CompletedProcess[str]"]:
    """What the recipe may use in the place of `subprocess.run`: PyTorch need not be loaded anew for each stage."""
    find = registry.find

    def run(words: Sequence[str], *, cwd: Path, check: bool) -> "subprocess.CompletedProcess[str]":
        assert (words[:3], check) == ([sys.executable, "-m", "stemsplit"], False)
        with monkeypatch.context() as there:
            there.setattr(registry, "find", find)
            there.chdir(cwd)
            result = stemsplit(*words[3:])
        sys.stderr.write(result.err)
        return subprocess.CompletedProcess(words, result.status)

    return run


def test_its_stages_make_a_model(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    in_this_process: Callable[..., object],
) -> None:
    stages = (
        recipe.Stage("one", 0, "musdb musdb free", "--steps 2"),
        recipe.Stage("two", "one", "musdb voices midi", "--steps 1 --seed 1"),
        recipe.Stage("both", ("one", "two")),
        recipe.Stage("other", 1, "voices", "--steps 2 --optimizer muon"),
    )
    monkeypatch.setattr(recipe, "STAGES", stages)
    monkeypatch.setattr(recipe, "MEMBERS", ("both", "other"))
    monkeypatch.setattr(recipe, "COMMON", "--batch-size 1 --seconds 0.2 --report-every 2")
    monkeypatch.setattr(recipe, "PRECISION", "fp32")
    monkeypatch.setattr(recipe, "subprocess", SimpleNamespace(run=in_this_process))
    for module in (recipe, ensemble):
        monkeypatch.setattr(module.registry, "find", lambda _: LIKE)
    put(tmp_path / "songs" / "a", vocals=tone(200), other=tone(1_500))
    put(tmp_path / "midi songs" / "a", other=tone(900))
    (tmp_path / "voices").mkdir()
    put(tmp_path / "voices", somebody=tone(700))
    out = tmp_path / "out"

    def rendered(arguments: list[str]) -> int:
        (tmp_path / "midi songs").rename(arguments[arguments.index("-o") + 1])
        return 1  # as where one of many files is damaged

    monkeypatch.setattr(recipe.midi, "main", rendered)
    folders = [f"--{name}={tmp_path / 'songs'}" for name in ("musdb", "free", "validation")]
    given = ["-o", str(out), *folders, f"--voices={tmp_path / 'voices'}", "--midi=none", "--sound-font=none"]
    assert recipe.main(given) == 0, capfd.readouterr().err
    made = own_entry(out / "starter.safetensors")
    assert made is not None
    assert [member["share"] for member in made.config["members"]] == [3.0, 1.0]
    stems = Separator(made, "cpu").separate(torch.randn(2, 9_000) / 10, 8_000)
    assert stems.keys() == {"vocals", "other"}
    before = {name: (out / f"{name}.safetensors").read_bytes() for name in ("one", "two", "both", "other")}
    assert recipe.main(given) == 0  # nothing is left to do
    assert before == {name: (out / f"{name}.safetensors").read_bytes() for name in before}


def test_a_stage_that_fails_ends_it(tmp_path: Path, album: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is a process of its own."""
    (tmp_path / "out" / "midi").mkdir(parents=True)
    folders = [f"--{name}={album}" for name in ("musdb", "free", "validation", "voices", "midi")]
    assert recipe.main(["-o", str(tmp_path / "out"), *folders, "--sound-font=none"]) == 1
    assert "no recording of drums" in capfd.readouterr().err
    assert (
        recipe.main(["-o", str(tmp_path / "out"), *folders[:-2], "--voices=nowhere", "--midi=no", "--sound-font=no"])
        == 1
    )
    assert "nowhere" in capfd.readouterr().err

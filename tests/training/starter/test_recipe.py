"""The runs that the built-in model is made in."""

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from stemsplit import models, registry
from stemsplit.checkpoints.describe import own_entry
from stemsplit.engine.separator import Separator
from stemsplit.training.starter import ensemble, material, recipe, scores
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.training.conftest import ROFORMER, TINY, put, tone
from tests.training.starter.test_material import audio as audio

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
    (before,) = (other for other in recipe.STAGES if other.name == stage.begin)
    return first_of(before)


def test_every_member_of_the_starter_comes_of_stages_in_their_order() -> None:
    names = [stage.name for stage in recipe.STAGES]
    assert len({*names}) == len(names)
    for number, stage in enumerate(recipe.STAGES):
        assert isinstance(stage.begin, int) or stage.begin in names[:number]
    members = [recipe.STAGES[names.index(name)] for name in recipe.MEMBERS]
    built_in = registry.find("starter")
    assert [first_of(stage) for stage in members] == list(range(len(built_in.config["members"])))
    for entry in recipe.networks(built_in):
        models.check(entry.architecture, entry.config, len(entry.stems), entry.channels)
        assert set(entry.outputs) == set(built_in.stems)
        assert entry.adds_up


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch, stemsplit: Callable[..., Result]) -> None:
    """The stages run in this process, so that PyTorch is not loaded anew for each."""
    find = registry.find

    def run(arguments: Sequence[str], folder: Path) -> int:
        with monkeypatch.context() as there:
            there.setattr(registry, "find", find)
            there.chdir(folder)
            result = stemsplit(*arguments)
        sys.stderr.write(result.err)
        return result.status

    monkeypatch.setattr(recipe, "run", run)


class Interrupted(subprocess.Popen[bytes]):
    """A process during which Ctrl-C is pressed once."""

    pressed = False

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end, but not the first time."""
        if not self.pressed:
            self.pressed = True
            raise KeyboardInterrupt
        return super().wait(timeout)


@pytest.mark.parametrize("status", [0, 1, 130])
def test_ctrl_c_waits_for_a_run_that_saves_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    command = tmp_path / "command"
    command.write_text(f"#!/bin/sh\nsleep 0.6\ntouch saved\nexit {status}\n")  # subprocess.run waits for 0.25 s
    command.chmod(0o755)
    monkeypatch.setattr(recipe.sys, "executable", str(command))
    monkeypatch.setattr(recipe.subprocess, "Popen", Interrupted)
    assert recipe.run(["train"], tmp_path) == (status or 130)
    assert (tmp_path / "saved").exists()


@pytest.mark.usefixtures("in_this_process")
def test_its_stages_make_a_model(
    tmp_path: Path,
    audio: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    stages = (
        recipe.Stage("one", 0, "musdb*2 free", "--steps 2"),
        recipe.Stage("two", "one", "musdb singers midi", "--steps 1 --seed 1"),
        recipe.Stage("other", 1, "free loops", "--steps 2 --optimizer muon"),
    )
    monkeypatch.setattr(recipe, "STAGES", stages)
    monkeypatch.setattr(recipe, "MEMBERS", ("two", "other"))
    monkeypatch.setattr(recipe, "COMMON", "--batch-size 1 --seconds 0.2 --report-every 2")
    monkeypatch.setattr(recipe, "PRECISION", "fp32")
    for module in (recipe, ensemble):
        monkeypatch.setattr(module.registry, "find", lambda _: LIKE)
    put(tmp_path / "midi songs" / "a", other=tone(900))
    out = tmp_path / "out"

    def rendered(arguments: list[str]) -> int:
        (tmp_path / "midi songs").rename(arguments[arguments.index("-o") + 1])
        return 1  # as where one of many files is damaged

    monkeypatch.setattr(recipe.midi, "main", rendered)
    given = [str(audio), "-o", str(out), "--fold=1/2", "--midi=none", "--sound-font=none"]
    assert recipe.main(given) == 0, capfd.readouterr().err
    made = own_entry(out / "starter.safetensors")
    assert made is not None
    assert [member["share"] for member in made.config["members"]] == [3.0, 1.0]
    stems = Separator(made, "cpu").separate(torch.randn(2, 9_000) / 10, 8_000)
    assert stems.keys() == {"vocals", "other"}
    assert {score.fold for score in scores.read(out / recipe.SCORES)} == {"1/2"}
    before = {name: (out / f"{name}.safetensors").read_bytes() for name in ("one", "two", "other")}
    assert recipe.main([argument.replace("1/2", "2/2") for argument in given]) == 1
    assert "was begun with all folds but 1/2, not with all folds but 2/2" in capfd.readouterr().err
    assert recipe.main(given) == 0  # nothing is left to do
    assert before == {name: (out / f"{name}.safetensors").read_bytes() for name in before}


def test_a_stage_that_fails_ends_it(tmp_path: Path, audio: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It is a process of its own."""
    (tmp_path / "out" / "midi").mkdir(parents=True)
    given = ["-o", str(tmp_path / "out"), "--midi=none", "--sound-font=none"]
    (audio / "musdb18-7s" / "band-a" / "drums.wav").write_text("not audio")
    assert recipe.main([str(audio), *given]) == 1
    assert "cannot read" in capfd.readouterr().err
    assert recipe.main([str(tmp_path / "nowhere"), *given]) == 1
    assert "nowhere" in capfd.readouterr().err


def test_midi_songs_are_asked_for_only_where_a_stage_needs_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(tmp_path), "-o", str(tmp_path / "out")]
    with pytest.raises(SystemExit):
        recipe.main(given)
    assert "--midi" in capsys.readouterr().err
    monkeypatch.setattr(recipe, "STAGES", (recipe.Stage("one", 0, "musdb*2 free", ""),))
    assert recipe.main(given) == 1
    assert "musdb18-7s" in capsys.readouterr().err


def test_every_stage_draws_from_collections_that_exist() -> None:
    known = {*material.COLLECTIONS, "midi"}
    assert all({*recipe.repeated(stage.songs)} <= known for stage in recipe.STAGES)
    assert recipe.repeated("musdb*3 free") == ["musdb", "musdb", "musdb", "free"]

"""What each addition to the training of the built-in model is worth."""

from dataclasses import replace
from pathlib import Path

import pytest

from stemsplit import models, registry
from stemsplit.evaluation.multitracks import multitracks
from stemsplit.training.plan import AUGMENTATION_NAMES
from stemsplit.training.starter import additions, material, recipe
from stemsplit.training.starter.scores import Score
from tests.cli.conftest import stemsplit as stemsplit
from tests.training.conftest import TINY
from tests.training.starter.test_material import audio as audio
from tests.training.starter.test_recipe import in_this_process as in_this_process


def test_every_run_can_be_made() -> None:
    names = [addition.file_name for addition in additions.ADDITIONS]
    assert len({*names}) == len(names)
    assert additions.ADDITIONS[0] == additions.BASE
    for addition in additions.ADDITIONS:
        stage = additions.stage_of(addition, 600)
        known = {*material.COLLECTIONS, additions.list_of(addition.every)}
        assert {*recipe.repeated(stage.songs)} <= known
        _, augmentations = stage.options.partition("--augment ")[::2]
        assert {*augmentations.split()[0].split(",")} <= {*AUGMENTATION_NAMES}
    small = {"num_stems": 4, "members": [dict(additions.SMALL)]}
    models.check("ensemble", small, 4, 2)


def test_gains_are_differences_on_the_same_songs() -> None:
    def scores(*figures: float) -> list[Score]:
        places = [("a", "drums"), ("a", "bass"), ("b", "drums"), ("c", "drums")]
        return [Score("1/2", "musdb", *place, sdr) for place, sdr in zip(places, figures, strict=True)]

    table = additions.compared({"base": scores(1, 2, 3, -14), "pitch": scores(1.6, 1.0, 4.8, -30)})
    assert table.splitlines() == [
        "| SDR in dB | drums | bass | mean | songs that gain |",
        "|---|---|---|---|---|",
        "| base | 1.00 | 2.00 | 1.50 | |",
        "| pitch | +0.60 | -1.00 | -0.20 | 1 of 3 |",
    ]


@pytest.mark.usefixtures("in_this_process")
def test_runs_are_made_measured_and_resumed(
    tmp_path: Path,
    audio: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    like = replace(TINY, name="starter", architecture="ensemble", stems=("vocals", "other"), channels=2, config={})
    member = {"architecture": "sudormrf", "config": TINY.config, "places": [0, 1], "share": 1.0}
    runs = (additions.BASE, additions.Addition("half, at most", every=2), additions.Addition("free", "free"))
    monkeypatch.setattr(additions, "ADDITIONS", runs)
    monkeypatch.setattr(additions, "SMALL", member)
    monkeypatch.setattr(additions.registry, "find", lambda _, find=registry.find: like if _ == "starter" else find(_))
    monkeypatch.setattr(recipe, "COMMON", "--batch-size 1 --seconds 0.2")
    monkeypatch.setattr(recipe, "PRECISION", "fp32")
    out = tmp_path / "out"
    given = [str(audio), "-o", str(out), "--fold=1/2", "--steps=1"]
    assert additions.main(given) == 0, capfd.readouterr().err
    table = capfd.readouterr().out
    assert [line.split("|")[1].strip() for line in table.splitlines()[-3:]] == ["base", "half, at most", "free"]
    assert len(multitracks(out / "musdb-2.csv")) == (len(multitracks(out / "musdb.csv")) + 1) // 2
    before = (out / "with-base.safetensors").read_bytes()
    assert additions.main([*given, "--only=base;free"]) == 0
    again = capfd.readouterr().out.splitlines()
    assert again[-1] == table.splitlines()[-1]
    assert (out / "with-base.safetensors").read_bytes() == before
    with pytest.raises(SystemExit):
        additions.main([*given, "--only=colour"])
    assert "no addition colour" in capfd.readouterr().err


def test_what_cannot_be_measured_is_refused_before_any_run(
    tmp_path: Path, audio: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = [str(audio), "-o", str(tmp_path / "out")]
    assert additions.main([*given, "--fold=99/99"]) == 1
    assert "no song with stems in" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        additions.main([*given, "--fold=1/2", "--jobs=0"])
    assert "--jobs must be at least 1" in capsys.readouterr().err

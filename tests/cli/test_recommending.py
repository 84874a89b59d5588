"""Stems are asked for without a model: which one is recommended, named and taken."""

import hashlib
import json
import os
import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

import stemsplit as package
from stemsplit import registry
from tests.cli.conftest import Result
from tests.cli.processes import light as light
from tests.cli.test_download import registry_file as registry_file
from tests.cli.test_download import table
from tests.cli.test_download import weights as weights
from tests.fetch.hub import Hub

Command = Callable[..., Result]
Song = Callable[..., Path]

WISH = """
[wish.guitar]
stems = ["guitar"]
model = "tiny"
reason = "tests say so"
"""


@pytest.fixture
def tiny(hub: Hub, registry_file: Callable[..., Path], weights: bytes) -> None:
    """A model with a guitar stem, on a hub, which a wish recommends."""
    hub.put("some/repo/w.safetensors", weights)
    digest = hashlib.sha256(weights).hexdigest()
    stems = '"guitar", "rest"'
    registry_file(table("tiny", "hf://some/repo/w.safetensors", digest, stems, size=len(weights), license=""), WISH)


@pytest.mark.usefixtures("tiny")
def test_just_the_guitar_takes_two_commands(stemsplit: Command, song: Song) -> None:
    """The first one names the second one."""
    song("a song.wav")
    first = stemsplit("a song.wav", "--stems", "guitar", "--threads", "1")
    assert (first.status, first.out) == (2, "")
    assert "recommended is tiny (0.0 MB, licence not stated)" in first.err
    (again,) = re.findall("the whole command: (.+)$", first.err.strip())
    second = stemsplit(*shlex.split(again)[1:])
    assert second.status == 0, second.err
    assert second.paths == [Path("stems/a song/guitar.wav")]


@pytest.mark.usefixtures("tiny")
def test_auto_takes_the_recommended_model_and_the_record_names_it(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    taken = stemsplit("a.wav", "--stems", "guitar", "--model", "auto", "--threads", "1")
    assert taken.status == 0
    assert "--model auto takes tiny (tests say so): 0.0 MB to download, licence not stated" in taken.err
    assert json.loads(Path("stems/a/stemsplit.json").read_bytes())["model"]["name"] == "tiny"
    before = Path("stems/a/guitar.wav").stat().st_mtime_ns
    again = stemsplit("a.wav", "--stems", "guitar", "--model", "tiny", "--threads", "1")
    assert (again.status, Path("stems/a/guitar.wav").stat().st_mtime_ns) == (0, before)
    told: list[str] = []
    paths = package.split("a.wav", model="auto", stems="guitar", registry="more.toml", tell=told.append)
    assert [*paths] == ["guitar"]
    assert Path("stems/a/guitar.wav").stat().st_mtime_ns == before
    assert told[0].startswith("auto means tiny (tests say so)")


def taken(stemsplit: Command, *words: str) -> str:
    result = stemsplit("a.wav", *words, "--model", "auto", "--dry-run")
    assert result.status == 0, result.err
    return re.findall("--model auto takes (\\S+)", result.err)[0]


def test_stems_are_asked_for_in_many_ways(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    all_four = taken(stemsplit)
    assert registry.find(all_four).outputs == registry.find("starter").outputs
    assert taken(stemsplit, "--stems", "Drums,bass") == all_four
    guitar = taken(stemsplit, "--stems", "guitar")
    assert "guitar" in registry.find(guitar).stems
    assert taken(stemsplit, "--two-stems", "guitar") == guitar
    vocals = taken(stemsplit, "--stems", "vocals")
    assert taken(stemsplit, "--mix", "karaoke=mixture-vocals") == vocals
    assert taken(stemsplit, "--stems", "none", "--mix", "karaoke=mixture-vocals") == vocals
    assert stemsplit("a.wav", "--model", "auto", "--quiet", "--dry-run").err.count("auto") == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("--stems guitar,vocals --model auto", "no model gives all of guitar, vocals; split the song once for each"),
        ("--stems gitar --model auto", "no model has a stem 'gitar'; did you mean 'guitar'?"),
        ("--stems karaoke --model auto", "for karaoke, ask for lead_vocals"),
        ("--stems karaoke", "for karaoke, recommended is "),
        ("--mix a=b+c --model auto", "cannot understand 'b+c'"),
        ("--model auto --then mel-roformer-denoise", "with --then, name the first model"),
        ("--model auto --set stft_hop_length=1", "need a checkpoint file"),
    ],
)
def test_what_cannot_be_chosen_is_a_usage_error(stemsplit: Command, song: Song, words: str, complaint: str) -> None:
    song("a.wav")
    result = stemsplit("a.wav", *words.split())
    assert (result.status, result.out) == (2, "")
    assert complaint in result.err


def test_a_model_may_be_called_auto(
    stemsplit: Command, song: Song, registry_file: Callable[..., Path], tmp_path: Path
) -> None:
    registry_file(table("auto", f"file:{tmp_path / 'w.ckpt'}"))
    song("a.wav")
    assert "auto" not in stemsplit("a.wav", "--model", "auto", "--dry-run").err


@pytest.mark.usefixtures("tiny")
def test_a_list_of_a_wish_shows_its_candidates(stemsplit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stemsplit("list", "karaoke").out == stemsplit("list", "lead_vocals").out
    assert stemsplit("list", "four-stems").out == stemsplit("list", "drums,bass,other,vocals").out
    for module in ("tables", "models"):
        monkeypatch.setattr(f"stemsplit.terminal.{module}.is_terminal", lambda: True)
    lines = stemsplit("list", "guitar").out.splitlines()
    assert lines[0] == "recommended: tiny (tests say so)"
    names = [line[3:].split()[0] for line in lines if line[:3].strip(" *+") == "" and line[3:].strip()]
    assert {"tiny", "mel-roformer-guitar", "mel-roformer-guitar-chencfd"} <= {*names}


@pytest.mark.usefixtures("light")
def test_the_built_in_model_points_at_the_recommended_one(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    hint = stemsplit("a.wav").err
    assert "hint: for better sound, add --model bs-roformer: a download of 527.4 MB, licence not stated" in hint
    with Path(os.environ["STEMSPLIT_REGISTRY"]).open("a", encoding="utf-8") as file:
        stems = '["drums", "bass", "other", "vocals"]'
        file.write(f'[wish.four-stems]\nstems = {stems}\nmodel = "gone"\nreason = "a mistake"\n')
    again = stemsplit("a.wav", "--force")
    assert (again.status, "better sound" in again.err) == (0, False), "a mistake in a wish is no reason not to split"

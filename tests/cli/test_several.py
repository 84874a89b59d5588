"""Several models for one song: `--model a+b`, `--ensemble`, `--route`, presets, passes, and the records of them."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemsplit import RegistryError, Separator, api, load_splitter
from stemsplit.checkpoints.checkpoint import save
from stemsplit.models import build
from tests.cli.conftest import Result
from tests.cli.processes import STEMS, TABLE, read_lines

Command = Callable[..., Result]
Song = Callable[..., Path]

VOICE = (
    (f"stems = {json.dumps(STEMS)}", 'stems = ["vocals"]'),
    ("complete = true", 'residual = "instrumental"'),
    ("num_sources = 4", "num_sources = 1"),
)
GONE = (
    ("file:weights.safetensors", "http://127.0.0.1:9/gone.ckpt"),
    ("hop = 5512", f'hop = 5512\nsha256 = "{"0" * 64}"'),
)
MODELS = {"one": (), "two": (), "voice": VOICE, "gone": (*GONE, ("hop = 5512", "hop = 5512\nsize = 1000000"))}
PRESETS = """
[preset.both]
description = "Both of them"
members = ["one", "two"]
weights = [3, 1]

[preset.mixed]
description = "Vocals by another"
route = { vocals = "voice", rest = "both" }

[preset.lost]
description = "One that is not here"
members = ["one", "gone"]

[preset.broken]
description = "One that there is not"
members = ["one", "three"]
"""


def table(name: str) -> str:
    text = TABLE.replace("NAME", name)
    for old, new in MODELS[name]:
        assert old in text
        text = text.replace(old, new)
    return text.replace("weights.safetensors", f"{name}.safetensors")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of small networks of no training, and of presets."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "models.toml").write_text("".join(map(table, MODELS)) + PRESETS)
    for seed, name in enumerate(("one", "two", "voice")):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            save(build("sudormrf", tomllib.loads(table(name))[name]["config"]), folder / f"{name}.safetensors")
    return folder / "models.toml"


@pytest.fixture
def split(stemsplit: Command, models: Path, song: Song) -> Command:
    song("a.wav", frames=12_000)
    return lambda *arguments: stemsplit("a.wav", "--registry", models, "--device", "cpu", "--threads", "1", *arguments)


def heard(result: Result) -> dict[str, "np.ndarray[tuple[int, ...], np.dtype[np.float64]]"]:
    assert result.status == 0, result.err
    return {path.stem: soundfile.read(path)[0] for path in result.paths}


def record(folder: str = "stems") -> dict[str, dict[str, object]]:
    return json.loads((Path(folder) / "a" / "stemsplit.json").read_text())


def test_an_ensemble_is_the_mean_of_its_models_however_it_is_typed(split: Command) -> None:
    one, two = (heard(split("-m", name, "-o", name)) for name in ("one", "two"))
    both = split("-m", "one:3+two:1", "-o", "both")
    assert "sum of the stems differs from the song by -1" in both.err
    for stem, samples in heard(both).items():
        assert np.abs(samples - 0.75 * one[stem] - 0.25 * two[stem]).max() < 1e-6
    written = [path.read_bytes() for path in both.paths]
    for place, options in enumerate(
        (["--ensemble", "one:3,two:1"], ["--ensemble", "one:3", "--ensemble", "two:1"], ["-m", "both"])
    ):
        again = split(*options, "-o", str(place))
        assert [path.read_bytes() for path in again.paths] == written


def test_a_route_takes_each_stem_from_its_model(split: Command) -> None:
    found = heard(split("--route", "vocals=voice,rest=one"))
    assert [*found] == list(STEMS)
    assert np.abs(sum(found.values()) - soundfile.read("a.wav")[0]).max() < 1e-6
    assert heard(split("--route", "vocals=voice", "-o", "alone")).keys() == {"vocals", "instrumental"}


def test_a_song_is_split_again_only_if_something_about_its_models_changed(split: Command) -> None:
    """Each of these is another; the same again is skipped, a preset too."""
    kinds = [
        ["-m", "one"],
        ["-m", "one", "--shifts", "2"],
        ["-m", "one", "--tta"],
        ["-m", "one+two"],
        ["-m", "one:1+two:2"],
        ["-m", "one+two", "--combine", "min-magnitude"],
        ["-m", "both"],
        ["--route", "vocals=voice,rest=one"],
        ["--route", "vocals=voice,rest=one+two"],
    ]
    identities = []
    for options in kinds:
        assert "already split" not in split(*options).err
        assert "already split" in split(*options).err
        identities.append(record()["model"])
    assert all(first != second for place, first in enumerate(identities) for second in identities[:place])


def test_the_name_of_an_ensemble_in_files_is_not_that_of_a_chain(split: Command) -> None:
    name = ["--name", "{stem} by {model}", "--dry-run", "--json", "-s", "drums"]
    ways = (["-m", "one+two"], ["-m", "one", "--then", "vocals:two"], ["-m", "mixed"])
    shown = [json.loads(split(*options, *name).out.splitlines()[0])["stems"] for options in ways]
    names = ["drums by (one+two)", "drums by one+two", "drums by mixed"]
    assert [Path(stems["drums"]["path"]).stem for stems in shown] == names


def test_a_chain_may_have_ensembles_in_every_place(split: Command) -> None:
    found = heard(split("-m", "one+two", "--then", "vocals:one:2+two:1"))
    assert [*found] == ["drums", "bass", "other", *(f"vocals-{stem}" for stem in STEMS)]
    assert np.abs(sum(found.values()) - soundfile.read("a.wav")[0]).max() < 1e-6


def test_raw_estimates_of_an_ensemble_do_not_add_up(split: Command) -> None:
    found = heard(result := split("-m", "one+two", "--estimates", "raw"))
    assert "sum of the stems" not in result.err
    assert np.abs(sum(found.values()) - soundfile.read("a.wav")[0]).max() > 1e-3


def test_a_network_at_a_time_gives_the_same(split: Command) -> None:
    free, tight = (
        split("-m", "one+two", "-o", str(size), *(["--fit-memory", size] if size else [])) for size in ("", "40k")
    )
    assert [path.read_bytes() for path in free.paths] == [path.read_bytes() for path in tight.paths]


def test_what_is_missing_of_an_ensemble_is_planned_and_downloaded_before_any_song(split: Command) -> None:
    _, summary = read_lines(split("-m", "lost", "--dry-run", "--json").out)
    assert summary["download_bytes"] == 1_000_000
    result = split("-m", "lost")
    assert (result.status, result.out) == (3, "")
    assert "gone" in result.err
    assert not Path("stems").exists()


WRONG = {
    "two ways": (["-m", "one", "--ensemble", "one,two"], 2, "--model and --ensemble both choose the models"),
    "three ways": (["--route", "vocals=one", "--ensemble", "one,two"], 2, "--ensemble and --route both choose"),
    "nothing to combine": (["-m", "one", "--combine", "median"], 2, "--combine needs several models"),
    "nor in a route": (["--route", "vocals=one", "--combine", "median"], 2, "--combine needs several models"),
    "weights of no mean": (["-m", "one:1+two:2", "--combine", "median"], 2, "weights have a meaning only for the mean"),
    "weights of a preset": (["-m", "both", "--combine", "median"], 2, "weights have a meaning only for the mean"),
    "whose setting": (["-m", "one+two", "--set", "stems=a"], 2, "--set is about one checkpoint"),
    "no size": (["--fit-memory", "6X"], 2, "'6X' is not a size; write 6G"),
    "too small": (["-m", "one+two", "--fit-memory", "1k"], 2, "the weights of one take"),
    "no shift": (["--shifts", "0"], 2, "at least 1, not 0"),
    "empty member": (["-m", "one+"], 2, "without a model beside it"),
    "one of one": (["--ensemble", "one"], 2, "at least two models"),
    "unknown": (["-m", "one+tow"], 3, "no model named 'tow'; did you mean 'two'?"),
    "unknown preset": (["-m", "bothh"], 3, "no model named 'bothh'; did you mean 'both'?"),
    "broken preset": (["-m", "broken"], 3, "[preset.broken] names 'three'"),
    "stem of none": (["--route", "vcals=voice"], 2, "voice does not give 'vcals', only vocals, instrumental"),
    "then": (["-m", "one", "--then", "vocals:one+"], 2, "without a model beside it"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_meant_is_said_in_a_line(split: Command, kind: str) -> None:
    options, status, complaint = WRONG[kind]
    result = split(*options)
    assert (result.status, result.out) == (status, "")
    assert complaint in result.err
    assert result.err.count("\n") == 1
    assert not Path("stems").exists()


def test_presets_are_listed_with_the_licences_of_their_models(stemsplit: Command, models: Path) -> None:
    listed = stemsplit("list", "--registry", models)
    lines = {line.split()[0]: line for line in listed.out.splitlines()}
    assert "GPL-3.0, not stated" in lines["karaoke"]
    assert {"best-vocals", "best-instrumental", "best-4-stems", "both", "mixed", "lost"} <= lines.keys()
    assert "broken" not in lines
    assert "[preset.broken] names 'three'" in listed.err
    about = stemsplit("info", "mixed", "--registry", models).out
    for text in ("Vocals by another", "not stated", "on this machine", "nobody has published"):
        assert text in about
    assert "mean of one:1, two:3" in stemsplit("info", "one:1+two:3", "--registry", models).out


def test_the_models_of_a_preset_are_downloaded_and_not_removed(stemsplit: Command, models: Path) -> None:
    result = stemsplit("download", "both", "one", "--registry", models)
    assert [path.name for path in result.paths] == ["one.safetensors", "two.safetensors"]
    removed = stemsplit("remove", "both", "--registry", models)
    assert removed.status == 2
    assert "remove them by name: one two" in removed.err
    assert "several models" in stemsplit("bench", "one+two", "--registry", models).err


def test_candidates_of_a_comparison_may_be_several_models(stemsplit: Command, models: Path, song: Song) -> None:
    song("a.wav", frames=12_000)
    options = ["--registry", models, "--duration", "0.1s", "--device", "cpu", "--threads", "1", "--json"]
    names = ["--models", "one,one+two:combine=max-magnitude,one:tta=true,shifts=2", "--route", "vocals=voice,rest=one"]
    found = json.loads(stemsplit("compare", "a.wav", *names, *options).out)
    labels = ["one", "one+two combine=max-magnitude", "one tta=true shifts=2", "vocals=voice,rest=one"]
    assert [model["model"] for model in found["models"]] == labels
    assert len(found["stems"]["vocals"]["clips"]) == 4
    for text, complaint in {"one:combine=mean": "needs several models", "one:tta=2": "must be true or false"}.items():
        assert complaint in stemsplit("compare", "a.wav", "--models", text, *options).err


def test_several_models_are_scored(stemsplit: Command, models: Path, song: Song, tmp_path: Path) -> None:
    (tmp_path / "references" / "a").mkdir(parents=True)
    for stem in STEMS:
        song(f"references/a/{stem}.wav", frames=12_000)
    for options in (
        ["-m", "one+two"],
        ["--ensemble", "one,two"],
        ["--route", "vocals=voice,rest=one", "--shifts", "2"],
    ):
        found = json.loads(stemsplit("eval", "references", "--registry", models, "--json", *options).out)
        assert {*found["songs"][0]["stems"]} == {*STEMS}
    assert "--shifts needs --model" in stemsplit("eval", "references", "references", "--shifts", "2").err


def test_python_does_what_the_command_does(split: Command, models: Path) -> None:
    written = [path.read_bytes() for path in split("-m", "one:3+two:1", "--shifts", "2").paths]
    ways = ({"model": "one:3+two:1"}, {"ensemble": {"one": 3, "two": 1}}, {"ensemble": ["one:3", "two:1"]})
    for place, way in enumerate(ways):
        found = api.split("a.wav", f"python-{place}", **way, shifts=2, device="cpu", registry=models)  # type: ignore[arg-type]
        assert [path.read_bytes() for path in found.values()] == written
    loaded = load_splitter(route={"vocals": "voice", "rest": "one"}, fit_memory="1M", device="cpu", registry=models)
    assert {*loaded.separate(np.zeros((2, 9_000), np.float32), 44_100)} == {*STEMS}


MISTAKES = {
    "two ways": ({"model": "one", "route": {"vocals": "one"}}, "model and route both choose the models"),
    "combine": ({"model": "one+two", "combine": "sum"}, "combine must be one of mean"),
    "nothing to combine": ({"combine": "median"}, "combine needs several models"),
    "whose settings": ({"model": "one+two", "settings": {"stems": "a"}}, "about one checkpoint"),
    "weight": ({"ensemble": {"one": 1, "two": float("nan")}}, "above 0 and finite"),
    "one": ({"ensemble": ["one"]}, "at least two models"),
    "shifts": ({"shifts": 99}, "shifts must be from 1 to 64"),
    "size": ({"fit_memory": "6X"}, "is not a size"),
    "no such stem": ({"model": "one+two", "then": [("piano", "one")]}, "no stem 'piano'"),
}


@pytest.mark.parametrize("kind", MISTAKES)
def test_slips_in_python_are_value_errors(models: Path, song: Song, tmp_path: Path, kind: str) -> None:
    arguments, complaint = MISTAKES[kind]
    with pytest.raises(ValueError, match=complaint):
        api.split(song("a.wav"), tmp_path / "stems", **arguments, registry=models)
    assert not (tmp_path / "stems").exists()


def test_one_model_is_not_several(models: Path) -> None:
    for name in ("one+two", "both"):
        with pytest.raises(RegistryError, match="several models, and this needs one"):
            Separator(name, registry=models)


def test_the_time_of_an_ensemble_is_known_once_it_has_run(split: Command) -> None:
    plan = ["-m", "one+two", "-o", "other", "--dry-run", "--json"]
    assert read_lines(split(*plan).out)[1]["estimated_seconds"] is None
    assert split("-m", "one+two").status == 0
    assert read_lines(split(*plan).out)[1]["estimated_seconds"] is not None
    assert read_lines(split(*plan[2:], "-m", "one:2+two:1").out)[1]["estimated_seconds"] is None


def test_the_shell_completes_the_last_of_several() -> None:
    from stemsplit.cli import choose

    assert ("starter+starter", choose.complete_model("starter")[0][1]) in choose.complete_model("starter+star")
    assert [name for name, _ in choose.complete_model("best-v")] == ["best-vocals"]
    assert "vocals=starter" in [name for name, _ in choose.complete_route("vocals=star")]
    assert choose.complete_then("vocals:starter+star")[0][0] == "vocals:starter+starter"

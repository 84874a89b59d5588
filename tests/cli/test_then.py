"""`stemsplit SONG --then STEM:MODEL`."""

import json
import tomllib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemsplit import registry
from stemsplit.checkpoints.checkpoint import save
from stemsplit.cli import choose
from stemsplit.fetch import digests, failures
from stemsplit.models import build
from tests.cli.conftest import Result
from tests.cli.processes import TABLE, read_lines

Command = Callable[..., Result]
Song = Callable[..., Path]

FOUR, ONE = "four.safetensors", "one.safetensors"
SOME = 'stems = ["drums", "bass", "other", "vocals"]'
MISSING = f'"http://127.0.0.1:9/{ONE}"]\nsha256 = "{"0" * 64}"\nsize = '


def table(name: str, *changes: tuple[str, str]) -> str:
    text = TABLE.replace("NAME", name).replace("weights.safetensors", FOUR)
    for old, new in changes:
        assert old in text
        text = text.replace(old, new)
    return text


DRY = (
    (SOME, 'stems = ["dry"]'),
    ("complete = true", 'residual = "noise"'),
    (FOUR, ONE),
    ("sources = 4", "sources = 1"),
)
BARE = (*DRY, ('residual = "noise"', "complete = false"))
MODELS = {
    "tiny": (),
    "clean": DRY,
    "bare": BARE,
    "large": (*DRY, (f'"file:{ONE}"]', f"{MISSING}1000000")),
    "larger": (*DRY, (f'"file:{ONE}"]', f"{MISSING}2000000")),
    "unknown": (*DRY, (f'"file:{ONE}"]', f"{MISSING}0")),
}
"""Four stems; one and its residual; one alone; and such whose weights are nowhere."""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry of small networks of no training."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "models.toml").write_text("".join(table(name, *changes) for name, changes in MODELS.items()))
    for name, file in (("tiny", FOUR), ("clean", ONE)):
        with torch.random.fork_rng():
            torch.manual_seed(0)
            save(build("sudormrf", tomllib.loads(table(name, *MODELS[name]))[name]["config"]), folder / file)
    return folder / "models.toml"


@pytest.fixture
def split(stemsplit: Command, models: Path, song: Song) -> Command:
    """Split a short song, or other songs, with the small model of four stems."""
    song("a.wav", frames=12_000)

    def call(*arguments: str | Path, songs: tuple[str, ...] = ("a.wav",)) -> Result:
        return stemsplit(*songs, "--registry", models, "--model", "tiny", *arguments)

    return call


def names(result: Result) -> list[str]:
    return [path.stem for path in result.paths]


def read(path: Path) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    return soundfile.read(path)[0]


def record() -> dict[str, dict[str, object]]:
    return json.loads(Path("stems/a/stemsplit.json").read_text())


def test_a_stem_gives_way_to_its_parts_and_all_add_up(split: Command) -> None:
    result = split("--then", "vocals:clean")
    assert result.status == 0, result.err
    assert names(result) == ["drums", "bass", "other", "vocals-dry", "vocals-noise"]
    assert np.abs(sum(map(read, result.paths)) - read(Path("a.wav"))).max() < 1e-6
    assert "sum of the stems differs from the song by -1" in result.err


def test_raw_stems_do_not_add_up_but_what_parts_leave_of_their_stem_is_kept(split: Command) -> None:
    """All models give their estimates as they are; a residual stays one."""
    result = split("--then", "vocals:tiny", "--then", "drums:clean", "--estimates", "raw")
    parts = [f"vocals-{stem}" for stem in ("drums", "bass", "other", "vocals", "rest")]
    assert names(result) == ["drums-dry", "drums-noise", "bass", "other", *parts], result.err
    whole = dict(zip(names(raw := split("-o", "whole", "--estimates", "raw")), map(read, raw.paths), strict=True))
    found = dict(zip(names(result), map(read, result.paths), strict=True))
    assert np.abs(sum(found[part] for part in parts) - whole["vocals"]).max() < 1e-6
    assert np.abs(found["drums-dry"] + found["drums-noise"] - whole["drums"]).max() < 1e-6
    assert np.abs(sum(whole.values()) - read(Path("a.wav"))).max() > 1e-3
    assert "sum of the stems" not in raw.err
    assert record()["figures"]["sum_error"] is None


def test_estimates_change_nothing_where_stems_are_not_meant_to_add_up(split: Command) -> None:
    """Nor is anything said of it, nor split again."""
    for name in ("bare", "clean"):
        assert split("--model", name, "-o", name).status == 0
        (line,) = split("--model", name, "-o", name, "--estimates", "raw").err.splitlines()
        assert "already split" in line


def test_the_parts_are_those_of_the_stem(split: Command) -> None:
    """As if it had been written, and split by itself."""
    whole = split("-s", "drums,vocals", "-o", "whole", "-q").paths
    parts = split("--then", "vocals:clean", "-s", "drums,vocals-dry,vocals-noise", "-q").paths
    by_hand = split("-m", "clean", "-q", songs=(str(whole[1]),)).paths
    assert names(Result(0, "\n".join(map(str, by_hand)), "")) == ["dry", "noise"]
    assert whole[0].read_bytes() == parts[0].read_bytes()
    for part, other in zip(parts[1:], by_hand, strict=True):
        assert np.abs(read(part) - read(other)).max() < 1e-6


def test_what_a_model_gives_no_name_to_is_kept(split: Command) -> None:
    result = split("--then", "bass:bare", "--then", "bass-rest:clean")
    assert names(result) == ["drums", "bass-dry", "bass-rest-dry", "bass-rest-noise", "other", "vocals"]
    assert np.abs(sum(map(read, result.paths)) - read(Path("a.wav"))).max() < 1e-6


def test_without_a_stem_the_vocals_are_meant(split: Command) -> None:
    """Then what is left of them when they were cleaned; in any letter case where one is named."""
    once, twice = split("--then", "clean"), split("--then", "clean", "--then", "bare")
    assert names(once) == ["drums", "bass", "other", "vocals-dry", "vocals-noise"]
    assert names(twice) == ["drums", "bass", "other", "vocals-dry-dry", "vocals-dry-rest", "vocals-noise"]
    assert names(split("--then", "Vocals:clean")) == names(once)


def test_without_vocals_what_the_model_is_for_is_meant(split: Command) -> None:
    assert names(split("-m", "clean", "--then", "bare")) == ["dry-dry", "dry-rest", "noise"]


def test_a_checkpoint_of_ones_own_can_come_second(split: Command, models: Path) -> None:
    """Its path may have a colon, and begin like no stem."""
    odd = Path("C:mine.ckpt")
    odd.write_bytes((models.parent / ONE).read_bytes())
    for argument in (f"vocals:{odd}", str(odd)):
        result = split("--then", argument)
        assert names(result)[:3] == ["drums", "bass", "other"], result.err
        assert all(name.startswith("vocals-") for name in names(result)[3:])
    assert "hint: the weights of C:mine do not say, so usual values are assumed: " in result.err
    assert "--set" not in result.err


def test_a_chain_that_changed_splits_again_and_one_that_did_not_is_skipped(split: Command) -> None:
    def told(*arguments: str) -> str:
        return read_lines(split("--json", "--stems", "drums", *arguments).out)[0][0]["status"]

    steps = [(), ("--then", "clean"), ("--then", "bass:clean"), ("--then", "clean", "--then", "bass:clean"), ()]
    for step in steps:
        assert [told(*step), told(*step)] == ["done", "skipped"]


def test_the_record_tells_of_all_models_and_of_one_alone_what_it_always_did(split: Command, models: Path) -> None:
    split()
    alone = registry.find("tiny", models)
    assert record()["model"] == json.loads(json.dumps(alone.identity(digests.identity(alone))))
    split("--then", "clean", "--precision", "fp32")
    told = record()["model"]
    (then,) = told.pop("then")  # type: ignore[misc]
    assert (told["name"], then["stem"], then["name"], then["precision"]) == ("tiny", "vocals", "clean", "fp32")
    assert then["weights"] == digests.identity(registry.find("clean", models))


def test_parts_can_be_chosen_and_mixed_and_so_can_what_they_are_parts_of(split: Command) -> None:
    """A stem that was split on is the sum of its parts."""
    then = ("--then", "clean", "-o")
    whole = {path.stem: read(path) for path in split("-o", "whole").paths}
    chosen = split(*then, "a", "--stems", "vocals-noise,Vocals", "--mix", "band=mixture-vocals").paths
    assert [path.stem for path in chosen] == ["vocals-noise", "vocals", "band"]
    assert np.abs(read(chosen[1]) - whole["vocals"]).max() < 1e-6
    assert np.abs(read(chosen[2]) - whole["drums"] - whole["bass"] - whole["other"]).max() < 1e-6
    two = split(*then, "b", "--two-stems", "vocals-dry").paths
    assert [path.stem for path in two] == ["vocals-dry", "no_vocals-dry"]
    assert np.abs(sum(map(read, two)) - read(Path("a.wav"))).max() < 1e-6
    mixed = split(*then, "c", "--stems", "none", "--mix", "x=drums+vocals-dry-vocals-noise").paths
    noise = read(chosen[0])
    assert np.abs(read(mixed[0]) - whole["drums"] - whole["vocals"] + 2 * noise).max() < 1e-6


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (
            ["vocal:clean"],
            2,
            "no stem 'vocal' to split further, only drums, bass, other, vocals; did you mean 'vocals'?",
        ),
        (["vocal:nothere.ckpt"], 2, "no stem 'vocal' to split further, only drums, bass, other, vocals; did you mean"),
        (
            ["clean", "--then", "vocals:clean"],
            2,
            "no stem 'vocals' to split further, only drums, bass, other, vocals-dry",
        ),
        (["vocals:claen"], 3, "no model named 'claen'; did you mean 'clean'?"),
        (["claen"], 3, "no model named 'claen'; did you mean 'clean'?"),
        (
            ["tiny", "--then", "clean"],
            2,
            "name the stem to split further, STEM:clean; there are drums, bass, other, vocals-",
        ),
        (["clean", "--stems", "dry"], 2, "no stem 'dry'; this model has drums, bass, other, vocals-dry"),
        (["clean", "--mix", "vocals-dry=mixture-drums"], 2, "two files would have the name 'vocals-dry'"),
        (["no-such.ckpt"], 3, "no-such.ckpt"),
        (
            ["clean", "--set", "dim=8"],
            2,
            "config and settings (--config, --set) need a checkpoint file, and 'tiny' is not one",
        ),
    ],
)
def test_a_slip_is_told_and_nothing_is_done(split: Command, arguments: list[str], status: int, complaint: str) -> None:
    result = split("--then", *arguments)
    assert (result.status, result.out) == (status, "")
    assert complaint in result.err
    assert not Path("stems").exists()


def test_a_later_model_that_cannot_be_had_is_known_at_the_start(
    split: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(failures, "PAUSES", (0.0,) * 5)
    result = split("--then", "large", "--progress", "json")
    assert (result.status, result.out) == (3, "")
    assert "large" in result.err
    assert '"progress"' not in result.err
    assert not Path("stems").exists()


def test_a_bad_song_is_named_and_the_others_are_split(split: Command, song: Song) -> None:
    song("b.wav", frames=9_000)
    Path("bad.wav").write_bytes(Path("a.wav").read_bytes()[:20])
    result = split("--then", "clean", "-s", "vocals-noise", songs=("a.wav", "bad.wav", "b.wav"))
    assert result.status == 1
    assert result.paths == [Path(f"stems/{track}/vocals-noise.wav") for track in "ab"]
    assert [soundfile.info(path).frames for path in result.paths] == [12_000, 9_000]
    (error,) = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert error.startswith("error: cannot read bad.wav")


def test_the_name_of_a_chain_is_that_of_all_its_models(split: Command) -> None:
    result = split("--then", "clean", "-s", "vocals-dry", "--name", "{model}/{track} {stem}")
    assert result.paths == [Path("stems/tiny+clean/a vocals-dry.wav")]


@pytest.mark.parametrize(
    ("then", "size"),
    [
        (["clean"], None),
        (["large"], 1_000_000),
        (["large", "drums:larger"], 3_000_000),
        (["large", "drums:large"], 1_000_000),
        (["large", "drums:unknown"], 0),
    ],
)
def test_a_dry_run_counts_all_that_is_to_be_downloaded(split: Command, then: list[str], size: int | None) -> None:
    told = split("--dry-run", "--json", *(word for name in then for word in ("--then", name)))
    assert told.status == 0
    (plan,), summary = read_lines(told.out)
    assert summary["download_bytes"] == size
    assert "vocals" not in plan["stems"]


def test_how_fast_a_chain_was_says_nothing_of_its_model_alone(split: Command) -> None:
    split("--then", "clean", "--device", "cpu")
    estimates = [
        split("--force", "--dry-run", "--json", "--device", "cpu", *then) for then in ([], ["--then", "clean"])
    ]
    assert [read_lines(told.out)[1]["estimated_seconds"] is None for told in estimates] == [True, False]


def test_the_shell_completes_models_after_their_stem() -> None:
    assert [name for name, _ in choose.complete_then("start")] == ["starter"]
    assert [name for name, _ in choose.complete_then("vocals:start")] == ["vocals:starter"]

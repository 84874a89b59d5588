"""Packs for training on another machine."""

import shutil
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from stemsplit import registry
from stemsplit.checkpoints.describe import own_entry
from stemsplit.evaluation.multitracks import Multitrack, multitracks
from stemsplit.registry import as_toml
from stemsplit.training.data import Recording
from stemsplit.training.starter import material, pack, packed, recipe
from stemsplit.training.starter.folds import Fold
from tests.cli.conftest import stemsplit as stemsplit
from tests.training.conftest import RATE, put
from tests.training.starter.test_material import audio as audio
from tests.training.starter.test_recipe import LIKE
from tests.training.starter.test_recipe import in_this_process as in_this_process

SONGS = "musdb*2 free singers"


def size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def samples(song: Multitrack, stem: str) -> np.ndarray:
    return Recording(song, stem, RATE).read().numpy()


@pytest.fixture
def noisy(audio: Path) -> Path:
    """The collections, with a song of noise, a second long."""
    noise = np.random.default_rng(0).normal(0, 0.1, (3, RATE + 1, 2)).astype(np.float32)
    put(audio / "musdb18-7s" / "band-a", drums=noise[0], bass=noise[1][:, :1], vocals=noise[2, :RATE])
    return audio


def test_a_pack_holds_every_stem_in_time_and_to_the_sample(noisy: Path, tmp_path: Path) -> None:
    assert pack.main([str(noisy), "-o", str(tmp_path / "made"), "--songs", SONGS, "--megabytes", "5"]) == 0
    before = {name: material.collection(name, noisy) for name in ("musdb", "free", "singers")}
    truth = {
        song.name: {stem: samples(song, stem) for stem in song.stems} for group in before.values() for song in group
    }
    there = tmp_path / "elsewhere"
    (tmp_path / "made").rename(there)
    shutil.rmtree(noisy)
    songs = {song.name: song for name in before for song in multitracks(there / f"{name}.csv")}
    assert {name: {*song.stems} for name, song in songs.items()} == {name: {*stems} for name, stems in truth.items()}
    for name, stems in truth.items():
        for stem, true in stems.items():
            coded = samples(songs[name], stem)
            assert coded.shape == true.shape
            error = np.square(coded - true).sum() / np.square(true).sum()
            # A sample too early or too late, the error of noise is twice the noise.
            assert error < (0.1 if "band-a" in name else 0.01), (name, stem)
    assert (there / ".gitignore").read_text() == "*\n"


def test_it_is_as_small_as_is_asked_for(noisy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = [str(noisy), "--songs", "musdb", "-o"]
    assert pack.main([*given, str(tmp_path / "whole"), "--megabytes", "5"]) == 0
    limit = size(tmp_path / "whole") * 0.7
    assert pack.main([*given, str(tmp_path / "small"), "--megabytes", str(limit / 1e6)]) == 0
    assert 0.7 * limit < size(tmp_path / "small") <= limit
    assert pack.main([*given, str(tmp_path / "none"), "--megabytes", "0.001"]) == 1
    assert "do not fit into 0.0 MB at 8 kbit/s a channel; raise --megabytes" in capsys.readouterr().err
    assert pack.main([*given, str(tmp_path / "small"), "--megabytes", "5"]) == 1
    assert "small exists" in capsys.readouterr().err
    # A little less than it takes at the highest bitrate of MUSDB18, which others would have half of.
    assert pack.main([*given, str(tmp_path / "less"), "--megabytes", str(limit / 0.7 * 0.97 / 1e6)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"audio", "whole", "small", "less"}


@pytest.mark.usefixtures("in_this_process")
def test_networks_learn_from_a_copy_and_go_on(
    audio: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """First from scratch, within a time; then on from its checkpoint; then on from the weights, in another pack."""
    monkeypatch.setattr(recipe, "PRECISION", "fp32")
    monkeypatch.setattr(packed, "OPTIONS", "--seconds 0.1 --cooldown 0.9 --augment swap --threads 1")
    monkeypatch.setattr(packed, "TRIAL_REPORTS", 2)
    (tmp_path / "small.toml").write_text(as_toml(recipe.networks(LIKE)[0]))
    given = ["--songs", SONGS, "--fold", "1/2", "-o", str(tmp_path / "made")]
    assert pack.main([str(audio), *given, "--networks", str(tmp_path / "small.toml")]) == 0
    material.write_lists(audio, tmp_path / "lists", Fold(1, 2))
    apart = [[song.name for song in multitracks(tmp_path / folder / "fold.csv")] for folder in ("lists", "made")]
    assert apart[0] == apart[1]
    away = (tmp_path / "made").rename(tmp_path / "copy")
    audio.rename(tmp_path / "gone")

    def run(*more: str) -> list[list[str]]:
        given = [str(away), "--songs", SONGS, "-o", str(tmp_path / "out"), "--device=cpu", "--batch-size=2", *more]
        assert packed.main(given) == 0, capfd.readouterr().err
        return [line.split(",") for line in (tmp_path / "out" / "member-0.csv").read_text().splitlines()]

    heading, *rows = run("--minutes", "0.05")
    assert heading[-1] == "mean"
    assert all(rows[-1][-3:])  # scores of the fold
    assert float(rows[-1][2]) < float(rows[0][2])  # the learning rate fell
    _, *after = run("--minutes=1", f"--steps={int(rows[-1][0]) + 3}")
    assert after[: len(rows)] == rows
    assert int(after[-1][0]) == int(rows[-1][0]) + 3
    weights = tmp_path / "out" / "member-0.safetensors"
    entry = own_entry(weights)
    assert entry is not None
    assert entry.config == recipe.networks(LIKE)[0].config
    again = ["--songs", SONGS, "-o", str(tmp_path / "next"), "--from", str(weights)]
    assert pack.main([str(tmp_path / "gone"), *again]) == 0
    assert {path.name for path in (tmp_path / "next" / "weights").iterdir()} == {
        "member-0.safetensors",
        "member-0.toml",
    }
    shutil.rmtree(away)
    (tmp_path / "next").rename(away)
    refused = [str(away), "--songs", SONGS, "-o", str(tmp_path / "out"), "--device=cpu", "--minutes=1"]
    assert packed.main(refused) == 1
    assert "was begun with the pack" in (error := capfd.readouterr().err)
    assert "or another --work" in error
    assert [row[0] for row in run("--minutes=1", "--steps=1", "--bits=8", "--work", str(tmp_path / "other"))[1:]] == [
        "1"
    ]


def test_a_step_is_timed_without_what_comes_before_the_first() -> None:
    """Of a hundred steps of half a second, the first began a minute late, and the run was started twice."""
    reports = [(1, 60.5), (25, 95.2), (50, 107.7), (75, 120.2), (76, 120.8), (100, 158.0)]
    assert packed.seconds_per_step(reports) == pytest.approx(0.5)
    assert packed.seconds_per_step(reports[-3:-1]) == pytest.approx(0.6)


def test_the_script_in_a_pack_calls_the_module(audio: Path, tmp_path: Path) -> None:
    folder = tmp_path / "it's made"
    assert pack.main([str(audio), "-o", str(folder), "--songs", "singers"]) == 0
    ran = subprocess.run(
        ["sh", str(folder / "train.sh"), "--minutes", "1"],
        env={"PYTHON": shutil.which("echo") or "echo"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout == f"-m {packed.__name__} {folder} --songs singers --minutes 1\n"
    assert [*packed.networks(folder)] == [entry.name for entry in recipe.networks(registry.find("starter"))]


def test_recordings_are_decoded_beside_links_and_for_git_to_ignore(audio: Path, tmp_path: Path) -> None:
    """The folder may be anybody's: what a link in it points to is not changed."""
    assert pack.main([str(audio), "-o", str(tmp_path / "made"), "--songs", "singers"]) == 0
    kept, work = tmp_path / "kept", tmp_path / "work"
    kept.write_text("kept")
    (work / "audio").mkdir(parents=True)
    (work / "audio" / "0.wav").symlink_to(kept)
    lists = [tmp_path / "made" / "singers.csv"]
    (song,) = multitracks(*packed.unpack(lists, work))
    assert samples(song, "vocals").shape == (2, 400)
    assert kept.read_text() == "kept"
    assert {path.name for path in work.iterdir()} == {".gitignore", "audio", "singers.csv"}
    (work / "audio").rename(tmp_path / "elsewhere")
    (work / "audio").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="audio"):
        packed.unpack(lists, work)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--songs", "electronic", "--fold", "1/3"], "all songs of electronic are in the fold 1/3; name other --songs"),
        (["--songs", "singers", "--fold", "99/99"], "no song is in the fold 99/99"),
        (["--songs", "singers", "--networks", "none.toml"], "none.toml has no networks"),
    ],
)
def test_a_pack_that_could_not_be_trained_on_is_not_made(
    given: list[str],
    told: str,
    audio: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("none.toml").touch()
    shutil.rmtree(audio / "songs" / "lmms-somebody-tune-1")
    assert pack.main([str(audio), "-o", "made", *given]) == 1
    assert told in capsys.readouterr().err
    assert {path.name for path in tmp_path.iterdir()} == {"audio", "none.toml"}


@pytest.mark.parametrize(
    ("given", "told"),
    [(["--steps=0"], "--steps must be at least 1"), (["--options='--seed"], "is not a list of options")],
)
def test_slips_are_refused_before_anything_is_decoded(
    given: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        packed.main([str(tmp_path), "-o", str(tmp_path / "out"), "--minutes=1", *given])
    assert told in capsys.readouterr().err


def test_an_empty_recording_is_named(audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(audio / "voice" / "deeper", one=np.zeros((0, 2), np.float32))
    assert pack.main([str(audio), "-o", str(tmp_path / "made"), "--songs", "singers"]) == 1
    assert "voice/deeper/one.wav has no samples" in capsys.readouterr().err


def test_a_run_that_resumes_is_not_timed_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial without validation would lose the scores so far."""
    reports = ["25,1,1,62.5,", "50,1,1,75.0,", "75,1,1,88.0,", "99,1,1,100.0,3.5"]
    (tmp_path / "one.csv").write_text("\n".join(["step,loss,learning_rate,seconds,mean", *reports, ""]))
    (tmp_path / "one.training.pt").touch()
    monkeypatch.setattr(packed, "time", SimpleNamespace(monotonic=lambda: 1_000.0))
    steps = 99 + int(0.95 * (150 - 50) / 0.5)  # 50 seconds went before the first step
    assert packed.Training("one", [], None, tmp_path).planned(1_150.0) == (0, steps)


def test_a_report_that_was_cut_off_does_not_count(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("step,loss,learning_rate,seconds\n25,1,1,12.5\n50,1,1,25.0\n75,1")
    (tmp_path / "one.training.pt").touch()
    assert packed.Training("one", [], None, tmp_path).reports() == [(25, 12.5), (50, 25.0)]
    assert packed.Training("two", [], None, tmp_path).reports() == []


@pytest.mark.parametrize("songs", ["", "musdb*x", "nothing"])
def test_collections_that_do_not_exist_are_refused(
    songs: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        pack.main([str(tmp_path), "-o", str(tmp_path / "made"), "--songs", songs])
    assert "must name some of musdb" in capsys.readouterr().err

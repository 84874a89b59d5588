"""`stemsplit compare`."""

import html
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemsplit.comparison import clip_files, plan
from stemsplit.comparison.clips import loudness
from stemsplit.engine import separator
from stemsplit.evaluation.metrics import sdr, si_sdr
from stemsplit.models import build
from tests.cli.conftest import Result
from tests.conftest import Samples, noise

Command = Callable[..., Result]
Song = Callable[..., Path]

SIZES = {"out_channels": 8, "in_channels": 8, "num_blocks": 1, "upsampling_depth": 2, "enc_num_basis": 16}
TABLE = """
[{name}]
description = "as small as can be"
architecture = "sudormrf"
stems = [{stems}]
sample_rate = 44100
channels = 2
chunk = 8820
hop = 4410
sources = ["file:{file}"]
author = "this test"
license = "{license}"
config = {{ {config} }}
"""


def table(name: str, stems: str, file: str, licence: str = "MIT") -> str:
    config = ", ".join(f"{key} = {json.dumps(value)}" for key, value in SIZES.items())
    named = ", ".join(f'"{stem}"' for stem in stems.split())
    return TABLE.format(name=name, stems=named, file=file, license=licence, config=config)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small networks of no training."""
    folder = tmp_path_factory.mktemp("weights")
    for number in (1, 2):
        torch.manual_seed(number)
        torch.save({"state_dict": build("sudormrf", SIZES).state_dict()}, folder / f"{number}.ckpt")
    torch.save({"state_dict": build("sudormrf", SIZES | {"out_channels": 4}).state_dict()}, folder / "odd.ckpt")
    return folder


@pytest.fixture
def compare(stemsplit: Command, weights: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Compare models of these weights, of one whose weights do not fit and of one whose weights are nowhere."""
    tables = [
        table("one", "drums vocals", "1.ckpt"),
        table("two", "vocals bass", "2.ckpt", "CC-BY-NC-4.0"),
        table("odd", "vocals other", "odd.ckpt"),
        table("gone", "vocals drums", "gone.ckpt"),
    ]
    (weights / "models.toml").write_text("".join(tables))
    monkeypatch.setenv("STEMSPLIT_REGISTRY", str(weights / "models.toml"))

    def call(*arguments: str | Path) -> Result:
        return stemsplit("compare", *arguments, "--threads", "1", *(() if "-d" in arguments else ("-d", "cpu")))

    return call


def clips(names: str, folder: str = "compare/song 0.00-0.00.5") -> list[Path]:
    return [Path(folder) / f"{name}.wav" for name in names.split(", ")]


def read(path: str | Path) -> Samples:
    return soundfile.read(path, dtype="float32")[0].T


def test_clips_lie_side_by_side(compare: Command, song: Song) -> None:
    result = compare(song("song.wav"), "--models", "one,two")
    assert result.status == 0, result.err
    assert result.paths == clips("mixture, vocals - 1 one, vocals - 2 two")
    folder = result.paths[0].parent
    assert sorted(folder.parent.iterdir()) == [folder]
    assert sorted(folder.iterdir()) == sorted([*result.paths, folder / "comparison.json", folder / "report.html"])
    for path in result.paths:
        found = soundfile.info(path)
        assert (found.samplerate, found.channels, found.frames, found.subtype) == (44_100, 2, 22_050, "PCM_24")


def test_people_are_told_what_is_compared_and_what_came_of_it(compare: Command, song: Song) -> None:
    result = compare(song("song.wav"), "-m", "one", "-m", "two")
    lines = result.err.splitlines()
    assert lines[0].endswith("song.wav: 0:00-0:00.5 by one, two")
    assert lines[1] == "not compared: drums (one), bass (two); to compare others: --stems"
    assert lines[2:4] == ["1 of 2: one", "2 of 2: two"]
    assert lines[4].split() == ["model", "x", "real", "time", "whole", "song"]
    assert [line.split()[:2] for line in lines[5:7]] == [["1", "one"], ["2", "two"]]
    assert lines[8].split() == ["stem", "clip", "loudness", "gain", "vs", "1"]
    assert [line.split()[:3] for line in lines[9:11]] == [["vocals", "1", "one"], ["vocals", "2", "two"]]
    assert "LUFS  +0.0 dB" in lines[9]
    assert lines[11:] == [f"report: {result.paths[0].parent / 'report.html'}"]


def test_clips_of_a_stem_are_equally_loud(compare: Command, song: Song) -> None:
    paths = compare(song("song.wav", frames=44_100), "--models", "one,two", "--bit-depth", "32f").paths
    levels = {path.name: loudness(read(path), 44_100) for path in paths}
    vocals = [level for name, level in levels.items() if name.startswith("vocals")]
    assert len(vocals) == 2
    assert vocals == pytest.approx(vocals[:1] * 2, abs=0.1)


def test_a_script_gets_the_figures(compare: Command, song: Song) -> None:
    result = compare(song("song.wav"), "--models", "one,two", "--json", "--start", "0.1", "--duration", "0.3s")
    data = json.loads(result.out)
    folder = Path("compare/song 0.00.1-0.00.4")
    names = ["mixture.wav", "vocals - 1 one.wav", "vocals - 2 two.wav", "report.html"]
    assert json.loads((folder / "comparison.json").read_text()) == {**data, "files": names}
    assert set(data) == {"song", "start", "duration", "folder", "models", "mixture", "stems", "left_out"}
    assert (data["start"], data["duration"], data["folder"]) == (0.1, 0.3, str(folder))
    assert [set(model) for model in data["models"]] == [
        {"model", "name", "settings", "seconds", "real_time_factor"}
    ] * 2
    assert set(data["mixture"]) == {"path", "loudness", "gain", "matched"}
    assert data["left_out"] == {"drums": ["one"], "bass": ["two"]}
    (vocals,) = data["stems"].values()
    first, second = vocals["clips"]
    assert set(first) == {"model", "path", "loudness", "gain", "matched", "sdr", "si_sdr"}
    assert (first["gain"], first["sdr"], vocals["reference"]) == (0, None, None)
    assert second["loudness"] + second["gain"] == pytest.approx(first["loudness"], abs=0.002)
    (apart,) = vocals["differences"]
    assert apart["models"] == ["one", "two"]
    before = [read(clip["path"]) / 10 ** (clip["gain"] / 20) for clip in (first, second)]
    energies = [np.square(samples).sum() for samples in (*before, before[0] - before[1])]
    assert apart["decibels"] == pytest.approx(10 * np.log10(energies[2] / max(energies[:2])), abs=0.01)


def test_figures_against_references_are_those_of_the_clips_before_their_gain(
    compare: Command, song: Song, tmp_path: Path
) -> None:
    (tmp_path / "true").mkdir()
    true = 0.3 * noise(44_100, seed=7)
    soundfile.write(tmp_path / "true" / "vocals.wav", true, 44_100, subtype="FLOAT")
    options = ("--references", "true", "--start", "0.25", "--duration", "0.5", "--bit-depth", "32f")
    result = compare(
        song("song.wav", frames=44_100), "--models", "one,two", "--stems", "drums,vocals", *options, "--json"
    )
    data = json.loads(result.out)["stems"]
    assert "no true stem of drums" in result.err
    assert list(data) == ["drums", "vocals"]
    assert data["drums"]["reference"] is None
    part = true[11_025:33_075].T
    assert np.array_equal(read(data["vocals"]["reference"]["path"]), part)
    for clip in data["vocals"]["clips"]:
        pair = torch.from_numpy(read(clip["path"]) / np.float32(10 ** (clip["gain"] / 20))), torch.from_numpy(part)
        assert clip["sdr"] == pytest.approx(float(sdr(*pair)), abs=0.01)
        assert clip["si_sdr"] == pytest.approx(float(si_sdr(*pair)), abs=0.01)


def test_an_excerpt_by_default_begins_a_third_into_the_song(compare: Command, song: Song) -> None:
    result = compare(song("song.wav", frames=4 * 44_100), "--models", "one", "--duration", "0.5s", "--stems", "drums")
    assert result.paths == clips("mixture, drums - 1 one", "compare/song 0.01-0.01.5")
    assert "0:01-0:01.5 by one; another excerpt: --start" in result.err


def test_a_silent_song_gives_silent_clips(compare: Command, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", np.zeros((22_050, 2)), 44_100)
    result = compare("song.wav", "--models", "one,two")
    assert result.status == 0
    assert not any(read(path).any() for path in result.paths)
    assert result.err.count("silent") == 2


def test_a_checkpoint_s_file_can_be_compared(compare: Command, song: Song, weights: Path) -> None:
    result = compare(song("song.wav"), "--models", f"{weights / '1.ckpt'},one", "-f", "flac", "-o", "out")
    assert result.status == 0, result.err
    assert "hint: the weights of 1 do not say, so usual values are assumed: " in result.err
    folder = Path("out/song 0.00-0.00.5")
    assert result.paths == [folder / name for name in ("mixture.flac", "vocals - 1 1.flac", "vocals - 2 one.flac")]


def test_a_report_shows_what_each_model_does_and_where_they_differ(compare: Command, song: Song) -> None:
    path = song("a <b>&.wav", frames=66_150)
    result = compare(path, "--models", "one,two", "--start", "0.25", "--duration", "1.25s", "--json")
    data = json.loads(result.out)
    page = (Path(data["folder"]) / "report.html").read_text()
    assert "<b>" not in page
    assert page.count("<svg") == page.count("<figure>") == 3  # speed; loudness and difference of vocals
    (apart,) = data["stems"]["vocals"]["differences"]
    for figure in (apart["decibels"], *(clip["loudness"] for clip in data["stems"]["vocals"]["clips"])):
        assert f'<td class="number">{figure:.1f}</td>' in page
    folder = html.escape(f"'{data['folder']}'")
    for at in ("0:00.25", "0:01.25"):
        assert f"<code>stemsplit listen {folder} --at {at} --solo vocals</code>" in page


def test_quiet_leaves_only_the_paths(compare: Command, song: Song) -> None:
    result = compare(song("song.wav"), "--models", "one,two", "--quiet")
    assert (result.status, len(result.paths), result.err) == (0, 3, "")


def test_what_is_there_is_made_anew_only_by_force(compare: Command, song: Song) -> None:
    path = song("song.wav")
    assert compare(path, "--models", "one,two").status == 0
    refused = compare(path, "--models", "two,gone")
    assert (refused.status, refused.out) == (1, "")
    assert "already exists; replace it with --force" in refused.err
    forced = compare(path, "--models", "two", "--force")
    assert forced.paths == clips("mixture, vocals - 1 two, bass - 1 two")
    folder = forced.paths[0].parent
    assert sorted(folder.iterdir()) == sorted([*forced.paths, folder / "comparison.json", folder / "report.html"])


@pytest.mark.parametrize("name", ["notes.txt", "vocals - 3 mine.wav"])
def test_what_somebody_put_there_is_never_taken_away(compare: Command, song: Song, name: str) -> None:
    path = song("song.wav")
    folder = compare(path, "--models", "one").paths[0].parent
    (folder / name).touch()
    result = compare(path, "--models", "one", "--force")
    assert (result.status, result.out) == (1, "")
    assert f"{name} is not a clip of a comparison" in result.err
    (folder / "comparison.json").unlink()
    assert "is not a comparison; move it away" in compare(path, "--models", "one", "--force").err
    assert len(list(folder.iterdir())) == 5


def test_a_model_is_compared_with_itself_under_other_settings(compare: Command, song: Song) -> None:
    """Each clip is what those settings give; file, figures and table say which is which."""
    path = song("song.wav", frames=44_100)
    models = "one,one:overlap=0.75,window=hann,two:chunk-seconds=0.5,batch-size=1,precision=fp32"
    result = compare(path, "--models", models, "--json", "--bit-depth", "32f", "-s", "vocals")
    assert result.status == 0, result.err
    data = json.loads(result.out)
    labels = ["one", "one overlap=0.75 window=hann", "two chunk-seconds=0.5 batch-size=1 precision=fp32"]
    assert [model["model"] for model in data["models"]] == labels
    assert [model["name"] for model in data["models"]] == ["one", "one", "two"]
    own = [{}, {"overlap": 0.75, "window": "hann"}, {"chunk_seconds": 0.5, "batch_size": 1, "precision": "fp32"}]
    assert [model["settings"] for model in data["models"]] == own
    clips_ = data["stems"]["vocals"]["clips"]
    assert [clip["model"] for clip in clips_] == labels
    paths = [Path(clip["path"]) for clip in clips_]
    assert [path.name for path in paths] == [f"vocals - {number} {label}.wav" for number, label in enumerate(labels, 1)]
    assert all(path.is_file() for path in paths)
    assert [apart["models"] for apart in data["stems"]["vocals"]["differences"]] == [
        [labels[0], labels[1]],
        [labels[0], labels[2]],
        [labels[1], labels[2]],
    ]
    table = [line for line in result.err.splitlines() if " of 3: " not in line]
    for number, label in enumerate(labels, 1):
        assert sum(f"{number} {label}  " in line for line in table) == 2, "one line on speed, one on the clip"
    common = compare(path, "--models", "one", "--overlap", "0.75", "--window", "hann", "-o", "b", "--bit-depth", "32f")
    (vocals,) = (found for found in common.paths if found.name.startswith("vocals"))
    before = read(paths[1]) / np.float32(10 ** (clips_[1]["gain"] / 20))
    assert np.allclose(read(vocals), before, rtol=1e-3), "the gain is rounded"
    assert not np.allclose(read(paths[0]), before, rtol=1e-2, atol=1e-4)


def test_settings_of_all_models_are_those_of_one_that_has_none(compare: Command, song: Song) -> None:
    path, models = song("song.wav"), "one:overlap=0,one"
    data = json.loads(compare(path, "--models", models, "--overlap", "0.75", "--json", "-s", "vocals").out)
    apart = json.loads(compare(path, "--models", models, "--json", "-s", "vocals", "-o", "b").out)
    assert data["models"][0]["settings"] == {"overlap": 0.0}
    found, other = (each["stems"]["vocals"]["clips"] for each in (data, apart))
    assert found[0]["loudness"] == other[0]["loudness"]
    assert found[1]["loudness"] != other[1]["loudness"]


def test_raw_and_consistent_stems_are_compared(compare: Command, song: Song, weights: Path) -> None:
    """A model's own choice goes before that of all models."""
    own = table("whole", "vocals bass", f"{weights}/1.ckpt") + "mixture_consistency = true\n"
    Path("own.toml").write_text(own)
    models = "whole:estimates=consistent,whole,whole:estimates=raw"
    options = ("--registry", "own.toml", "--estimates", "raw", "--json", "-q", "-s", "vocals")
    data = json.loads(compare(song("song.wav"), "--models", models, *options).out)
    assert [model["settings"] for model in data["models"]] == [{"estimates": "consistent"}, {}, {"estimates": "raw"}]
    consistent, raw, too = (clip["loudness"] for clip in data["stems"]["vocals"]["clips"])
    assert consistent != raw == too


def test_a_file_s_name_may_look_like_a_setting(compare: Command, song: Song, weights: Path) -> None:
    for name in ("overlap=0.5.ckpt", "a:window=hann.ckpt"):
        Path(name).write_bytes((weights / "1.ckpt").read_bytes())
    result = compare(song("song.wav"), "--models", "overlap=0.5.ckpt,a:window=hann.ckpt:overlap=0.25", "--json", "-q")
    assert result.status == 0, result.err
    assert [model["settings"] for model in json.loads(result.out)["models"]] == [{}, {"overlap": 0.25}]


WRONG: dict[str, tuple[tuple[str, ...], int, str]] = {
    "no such model": (("--models", "one,tow"), 3, "no model named 'tow'; did you mean 'two'?"),
    "twice the same": (("--models", "one,gone,one"), 2, "one is named twice; give it other settings, e.g. one:overlap"),
    "twice the same settings": (("--models", "one:overlap=0.5,one:overlap=.50"), 2, "one is named twice"),
    "no such setting": (("--models", "gone:overlp=0.5"), 2, "no setting 'overlp'; did you mean 'overlap'?"),
    "no setting at all": (("--models", "gone:x=1"), 2, "a model has chunk-seconds, overlap, window, estimates, batch"),
    "no overlap": (("--models", "gone:overlap=1"), 2, "'overlap=1' is impossible: it must be from 0 to 0.99"),
    "no number": (("--models", "gone:window=mean,overlap=nan"), 2, "'overlap=nan' is impossible"),
    "no window": (("--models", "gone:window=bay"), 2, "window must be one of hann, linear, mean, not 'bay'"),
    "no estimates": (("--models", "gone:estimates=bad"), 2, "estimates must be one of raw, consistent, not 'bad'"),
    "no combine": (("--models", "gone:combine=sum"), 2, "combine must be one of mean, median, max-magnitude"),
    "two colons": (("--models", "gone:tta=true:shifts=2"), 2, "has a colon between two settings; write a comma"),
    "no batch": (("--models", "gone:batch-size=0"), 2, "'batch-size=0' is impossible"),
    "no chunk": (("--models", "gone:chunk_seconds="), 2, "'chunk_seconds=' is impossible"),
    "setting of nothing": (("--models", "overlap=0.5,gone"), 2, "'overlap=0.5' belongs to a model; write NAME:overlap"),
    "precision of one": (("--models", "one,gone:precision=fp16"), 2, "fp16 is for CUDA devices"),
    "no model": (("--models", ","), 2, "name at least one model"),
    "models left out": ((), 2, "missing option '--models'"),
    "no such stem": (("--models", "gone", "--stems", "banjo"), 2, "there is no stem 'banjo'"),
    "nothing in common": (("--models", "one,gone,starter", "--stems", "bass"), 2, "none of which is compared"),
    "start behind the end": (("--models", "gone", "--start", "0:01"), 1, "nothing to compare from 0:01"),
    "no time": (("--models", "gone", "--start", "later"), 2, "'later' is not a time"),
    "nothing": (("--models", "gone", "--duration", "0"), 2, "longer than 0 s and at most 10:00"),
    "too much": (("--models", "gone", "--duration", "11m"), 2, "longer than 0 s and at most 10:00"),
    "format": (("--models", "gone", "-f", "flac", "--bit-depth", "32f"), 2, "flac holds 16 or 24 bits"),
    "no references": (("--models", "gone", "--references", "nowhere"), 1, "cannot look into nowhere"),
    "no folder": (("--models", "gone", "-o", "song.wav"), 1, "cannot write into song.wav"),
    "device": (("--models", "gone", "-d", "abacus"), 2, "no device 'abacus'"),
    "precision": (("--models", "gone", "--precision", "fp16"), 2, "fp16 is for CUDA devices"),
    "weights": (("--models", "one,gone"), 3, "gone.ckpt"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_can_be_known_is_known_before_any_model_is_loaded(
    compare: Command, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """And before any download, but for the last: these weights are nowhere."""
    monkeypatch.setattr(separator, "load_network", pytest.fail)
    options, status, complaint = WRONG[kind]
    song("song.wav")
    result = compare("song.wav", *options)
    assert (result.status, result.out) == (status, "")
    assert complaint in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]


def test_a_song_that_is_not_there(compare: Command) -> None:
    result = compare("song.wav", "--models", "gone")
    assert (result.status, result.err) == (1, "error: cannot read song.wav (there is no such file)\n")


def test_a_model_that_fails_leaves_nothing(compare: Command, song: Song, tmp_path: Path) -> None:
    result = compare(song("song.wav"), "--models", "one,odd")
    assert (result.status, result.out) == (3, "")
    assert "odd" in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["song.wav"]


@pytest.mark.parametrize("before", [False, True])
def test_an_interrupt_while_clips_are_written_leaves_what_was_there(
    compare: Command, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: bool
) -> None:
    path = song("song.wav")
    if before:
        compare(path, "--models", "one", "-s", "drums")
    there = {found: found.stat().st_mtime_ns for found in tmp_path.rglob("*.*")}

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(clip_files.Writer, "close", interrupted)
    result = compare(path, "--models", "one", "--force")
    assert (result.status, result.out) == (130, "")
    assert result.err.endswith("error: interrupted; no clip was left half-written\n")
    assert {found: found.stat().st_mtime_ns for found in tmp_path.rglob("*.*")} == there
    assert (tmp_path / "compare").exists() == before


def test_a_clip_that_is_too_large_for_the_disk_leaves_nothing(
    compare: Command, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan, "check_space", lambda *_: None)
    resource = pytest.importorskip("resource", reason="limits on files are Unix's")
    path = song("song.wav")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        result = compare(path, "--models", "one", "-o", tmp_path / "a" / "b")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert (result.status, result.out) == (1, "")
    assert "it is larger than the disk, or `ulimit -f`, allows" in result.err
    assert list(tmp_path.iterdir()) == [path]


def test_neither_help_nor_a_missing_song_wait_for_pytorch() -> None:
    for arguments in (["--help"], ["no-such-song.flac", "--models", "starter"]):
        run = f"sys.argv = ['stemsplit', 'compare', *{arguments!r}]; from stemsplit.cli import main; main()"
        ask = f"import sys, atexit; atexit.register(lambda: print('torch' in sys.modules, file=sys.stderr)); {run}"
        found = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=False)
        assert found.returncode == int(arguments != ["--help"])
        assert found.stderr.endswith("False\n")

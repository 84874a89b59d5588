"""`stemsplit SONG...` from outside: files, messages, exit statuses."""

import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
import soundfile
import torch

from stemsplit.models import build
from tests.cli.conftest import Result
from tests.cli.processes import light as light
from tests.cli.processes import registry
from tests.conftest import DATA, noise, unix

pytestmark = pytest.mark.usefixtures("light")

Command = Callable[..., Result]
Song = Callable[..., Path]
STEMS = ["drums", "bass", "other", "vocals"]
SHORT = ["--set", "chunk=22050", "--set", "hop=11025"]
"""Chunks no longer than the songs here: a checkpoint's usual ones take a second."""


def left_over(folder: Path) -> list[str]:
    """Everything that a folder holds, songs' folders aside, as paths below it."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def test_a_song_becomes_four_stems_that_add_up(stemsplit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first seconds of the README's song; `.ci/run` splits all of it."""
    monkeypatch.delenv("STEMSPLIT_REGISTRY")  # the built-in model itself
    song, rate = soundfile.read(DATA / "lithium.flac", 3 * 44_100, dtype="float32")
    soundfile.write("lithium.flac", song, rate)
    result = stemsplit("lithium.flac")
    assert result.status == 0
    assert result.paths == [Path("stems/lithium") / f"{stem}.wav" for stem in STEMS]
    stems = [soundfile.read(path, dtype="float32") for path in result.paths]
    assert all(stem_rate == rate and stem.shape == song.shape for stem, stem_rate in stems)
    assert soundfile.info(result.paths[0]).subtype == "FLOAT"
    assert np.abs(sum(stem for stem, _ in stems) - song).max() <= 1e-6
    assert "sum of the stems differs from the song by -1" in result.err
    assert "real time" in result.err
    hint = next(line for line in result.err.splitlines() if line.startswith("hint: "))
    assert re.search(r"--model bs-roformer: .*\d MB.*; other models: stemsplit list$", hint)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--duration", "9s"], "splitting only the first 9 s of each song"),
        (["--duration", "1:30"], "splitting only the first 1:30 of each song"),
        (["--duration", "0.2", "--start", "0.1"], "splitting only 0.2 s of each song, from 0:00.1 on"),
        (["--start", "0.1"], "splitting each song from 0:00.1 to its end"),
    ],
)
def test_an_excerpt_is_said_to_be_one(stemsplit: Command, song: Song, options: list[str], told: str) -> None:
    result = stemsplit(song("a.wav"), "--dry-run", *options)
    assert (result.status, result.err.splitlines()[0]) == (0, told)


def test_a_duration_of_nothing_is_refused(stemsplit: Command, song: Song) -> None:
    result = stemsplit(song("a.wav"), "--duration", "0")
    assert result.status == 2
    assert "--duration must be longer than 0 s" in result.err


def test_where_there_is_no_audio_the_places_are_named(stemsplit: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert stemsplit("empty").err.startswith("error: no audio found in empty; ")
    (tmp_path / "empty" / "cover.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    assert stemsplit("empty").err.startswith("error: no audio found in empty (other files: 1); ")
    places = [f"place {number}" for number in range(7)]
    for place in places:
        (tmp_path / place).mkdir()
    assert ", place 4 and 2 more; " in stemsplit(*places).err


def test_the_word_split_may_be_said(stemsplit: Command, song: Song) -> None:
    """Then even a song called `list` is one."""
    result = stemsplit("split", song("list", format="WAV"))
    assert (result.status, len(result.paths)) == (0, 4)


def test_options_may_come_first(stemsplit: Command, song: Song) -> None:
    result = stemsplit("--stems", "vocals", song("a.wav"))
    assert (result.status, result.paths) == (0, [Path("stems/a/vocals.wav")])


@pytest.mark.parametrize(
    ("rate", "channels", "options", "subtype"),
    [
        (8_000, 1, [], "FLOAT"),
        (96_000, 6, ["--format", "flac"], "PCM_24"),
        (48_000, 2, ["--format", "flac", "--bit-depth", "16"], "PCM_16"),
        (22_050, 1, ["--format", "mp3"], "MPEG_LAYER_III"),
        (44_100, 2, ["-f", "ogg"], "VORBIS"),
        (44_100, 3, ["--bit-depth", "24"], "PCM_24"),
    ],
)
def test_stems_are_as_the_song(
    stemsplit: Command, song: Song, rate: int, channels: int, options: list[str], subtype: str
) -> None:
    """Rate, channels and number of samples; in the format asked for."""
    result = stemsplit(song("a.wav", frames=rate // 2 + 7, channels=channels, rate=rate), *options)
    assert result.status == 0
    for path in result.paths:
        found = soundfile.info(path)
        assert (found.samplerate, found.channels, found.frames) == (rate, channels, rate // 2 + 7)
        assert found.subtype == subtype


def test_one_sample_is_split(stemsplit: Command, song: Song) -> None:
    result = stemsplit(song("a.wav", frames=1))
    assert result.status == 0
    assert [soundfile.info(path).frames for path in result.paths] == [1] * 4


@pytest.mark.parametrize("name", ["[live] 100%.wav", "with space.wav", "дуетñ 音.wav", "[red]bold.wav"])
def test_any_name_will_do(stemsplit: Command, song: Song, name: str) -> None:
    path = song(name)
    result = stemsplit(path, "--stems", "bass")
    assert (result.status, result.paths) == (0, [Path("stems") / path.stem / "bass.wav"])
    assert name in result.err
    assert result.paths[0].is_file()


def nan_song(path: Path) -> None:
    samples = noise(1_000)
    samples[500] = np.nan
    soundfile.write(path, samples, 44_100, subtype="FLOAT")


BAD = {
    "missing": (lambda _: None, "there is no such file"),
    "empty": (lambda path: path.touch(), "the file is empty"),
    "text": (lambda path: path.write_text("no song"), "it is not audio: it begins with 'no song'"),
    "truncated": (lambda path: path.write_bytes((DATA / "lithium.flac").read_bytes()[:300_000]), "cut off"),
    "nan": (nan_song, "not a number or infinite"),
    "no samples": (lambda path: soundfile.write(path, noise(0), 44_100, format="WAV"), "it has no samples"),
}


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("kind", BAD)
def test_a_bad_song_is_named_and_the_others_are_split(
    stemsplit: Command, song: Song, tmp_path: Path, kind: str
) -> None:
    make, complaint = BAD[kind]
    bad = tmp_path / ("bad.wav" if kind == "nan" else "bad.flac")
    make(bad)
    result = stemsplit(bad, song("good.wav"), "--stems", "drums")
    assert result.status == 1
    assert result.paths == [Path("stems/good/drums.wav")]
    errors = [line for line in result.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert f"cannot read {bad} (" in errors[0]
    assert complaint in errors[0]
    assert not (tmp_path / "stems" / "bad").exists()
    assert left_over(tmp_path / "stems") == ["good/drums.wav", "good/stemsplit.json"]


def test_nothing_is_left_when_nothing_could_be_done(stemsplit: Command, tmp_path: Path) -> None:
    (tmp_path / "bad.flac").touch()
    assert stemsplit("bad.flac").status == 1
    assert [path.name for path in tmp_path.iterdir()] == ["bad.flac"]


@unix
@pytest.mark.parametrize("closed", ["stdout", "stderr", "full stdout", "full stderr"])
def test_songs_are_split_though_nobody_listens(song: Song, tmp_path: Path, closed: str) -> None:
    """Closed or full standard files: the work is done all the same."""
    song("a.wav")
    number = 1 if "stdout" in closed else 2
    redirection = f"{number}>/dev/full" if "full" in closed else f"{number}>&-"
    command = f"{shlex.quote(sys.executable)} -m stemsplit a.wav missing.wav -s bass {redirection}"
    done = subprocess.run(["sh", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert (tmp_path / "stems/a/bass.wav").is_file()


@pytest.fixture
def _reachable(light: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:  # noqa: ARG001  # it comes after
    """A model and settings that other users reach, too: those of other tests lie in a folder of this user's own."""
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        monkeypatch.setenv("STEMSPLIT_REGISTRY", str(registry(Path(folder, "models"), "starter")))
        monkeypatch.setenv("STEMSPLIT_CONFIG", str(Path(folder, "config")))
        yield


@unix
@pytest.mark.usefixtures("_reachable")
def test_one_song_that_may_not_be_read_does_not_stop_the_others(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    stemsplit(song("a.wav"), "-s", "drums")
    tmp_path.chmod(0o777)
    song("b.wav").chmod(0o000)
    Path("out").mkdir()
    Path("out").chmod(0o777)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)
    try:
        result = stemsplit("b.wav", "a.wav", "-s", "drums", "-o", "out")
    finally:
        if root:
            os.seteuid(0)
    assert result.status == 1
    assert "error: cannot read b.wav (permission denied)" in result.err
    assert result.paths == [Path("out/a/drums.wav")], result.err


def test_stems_that_are_there_are_kept(stemsplit: Command, song: Song) -> None:
    path = song("a.wav")
    assert stemsplit(path, "-s", "vocals").status == 0
    Path("stems/a/vocals.wav").write_bytes(b"mine")
    result = stemsplit(path)
    assert result.status == 1
    complaint = "is already there, and not as stemsplit left it; --force writes over it"
    assert f"error: {Path('stems/a/vocals.wav')} {complaint}" in result.err
    assert left_over(Path("stems")) == ["a/stemsplit.json", "a/vocals.wav"]
    assert Path("stems/a/vocals.wav").read_bytes() == b"mine"
    assert stemsplit(path, "--force").status == 0
    assert Path("stems/a/vocals.wav").read_bytes() != b"mine"


def test_stems_that_are_there_survive_a_failure(stemsplit: Command, song: Song) -> None:
    """Also under --force: they are replaced only when all new ones are whole."""
    path = song("a.wav", frames=100_000)
    assert stemsplit(path).status == 0
    before = {file: file.read_bytes() for file in Path("stems/a").iterdir()}
    resource = pytest.importorskip("resource", reason="limits on files are Unix's")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        assert stemsplit(path, "--force").status == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert {file: file.read_bytes() for file in Path("stems/a").iterdir()} == before
    assert [path.name for path in Path("stems").iterdir()] == ["a"]


def test_a_song_is_never_written_over(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    (tmp_path / "drums").mkdir()
    path = song("drums/drums.wav")
    before = path.read_bytes()
    result = stemsplit("drums/drums.wav", "-o", ".", "--force")
    assert result.status == 1
    assert "is itself one of the songs" in result.err
    assert path.read_bytes() == before


def test_a_folder_where_a_stem_should_be(stemsplit: Command, song: Song) -> None:
    """Known before any of the stems is written."""
    Path("stems/a/other.wav").mkdir(parents=True)
    result = stemsplit(song("a.wav"), "--force")
    assert result.status == 1
    assert "other.wav is already there, and is not a file; choose another folder" in result.err
    assert [path.name for path in Path("stems/a").iterdir()] == ["other.wav"]


@pytest.mark.parametrize("name", ["...flac", "..flac"])
def test_a_name_of_dots_is_no_way_out_of_the_folder(stemsplit: Command, song: Song, name: str) -> None:
    result = stemsplit(song(name, format="FLAC"), "-s", "bass")
    assert (result.status, result.paths) == (0, [Path("stems") / f"_{name[1:]}" / "bass.wav"])


def test_a_folder_name_that_is_too_long(stemsplit: Command, song: Song) -> None:
    result = stemsplit(song("a.wav"), "-o", "x" * 300)
    assert result.status == 1
    assert result.err.count("error: ") == 1
    assert "Traceback" not in result.err


def test_two_songs_for_one_folder_are_found_before_the_work(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    for folder in ("x", "y"):
        (tmp_path / folder).mkdir()
    result = stemsplit(song("x/a.wav"), song("y/a.wav"))
    assert result.status == 1
    assert result.err.count("would be written to the same files; tell them apart, with --name") == 2
    assert not Path("stems").exists()


@pytest.mark.parametrize(
    ("options", "status", "complaint"),
    [
        (["--model", "stater"], 3, "error: no model named 'stater'; did you mean 'starter'?"),
        (["--stems", "vocals,guitar"], 2, "no stem 'guitar'; this model has drums, bass, other, vocals"),
        (["--stems", ","], 2, "name at least one stem"),
        (["--format", "mp3", "--bit-depth", "16"], 2, "no bit depth"),
        (["--format", "flac", "--bit-depth", "32f"], 2, "flac holds 16 or 24 bits"),
        (["--format", "aac"], 2, "aac"),
        (["--device", "cuda:97"], 2, "error: no device 'cuda:97' on this machine"),
        (["--overlap", "1.5"], 2, "--overlap"),
        (["--overlap", "nan"], 2, "--overlap"),
        (["--chunk-seconds", "inf"], 2, "--chunk-seconds"),
        (["--chunk-seconds", "nan"], 2, "--chunk-seconds"),
        (["--device", "meta"], 2, "device 'meta'"),
        (["--device", "nonsense"], 2, "no device 'nonsense'"),
        (["--no-such-option"], 2, "--no-such-option"),
    ],
)
def test_a_slip_in_the_options_is_told(
    stemsplit: Command, song: Song, options: list[str], status: int, complaint: str
) -> None:
    result = stemsplit(song("a.wav"), *options)
    assert result.status == status
    assert complaint in result.err
    assert "Traceback" not in result.err
    assert not Path("stems").exists()


def test_a_format_that_cannot_hold_the_song_is_known_before_the_work(stemsplit: Command, song: Song) -> None:
    result = stemsplit(song("a.wav", rate=96_000, channels=6), "--format", "mp3")
    assert result.status == 1
    assert "mp3 holds at most 2 channels, not 6; use wav" in result.err
    assert not Path("stems").exists()


def test_a_file_where_the_folder_should_be(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    result = stemsplit(song("a.wav"), "-o", tmp_path / "taken")
    assert result.status == 1
    assert f"error: cannot write into {tmp_path / 'taken'}" in result.err
    assert (tmp_path / "taken").read_text() == "a file"


@unix
@pytest.mark.usefixtures("_reachable")
def test_a_read_only_folder(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    stemsplit(song("a.wav"), "-s", "drums")  # whatever is imported late is imported now
    tmp_path.chmod(0o755)
    (tmp_path / "locked").mkdir(mode=0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(65_534)  # root may write anywhere; nobody may not
    try:
        result = stemsplit("a.wav", "-o", "locked/stems")
    finally:
        if root:
            os.seteuid(0)
    assert result.status == 1
    assert "error: cannot write into locked (no permission" in result.err


def test_a_file_system_that_takes_no_files(stemsplit: Command, song: Song) -> None:
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc to try")
    result = stemsplit(song("a.wav"), "-o", "/proc/stems")
    assert result.status == 1
    assert "error: " in result.err
    assert "/proc" in result.err


def test_a_name_that_is_no_text(song: Song, tmp_path: Path) -> None:
    """File names are bytes; stdout gives back the same."""
    name = os.fsencode(song("a.wav").parent) + b"/\xff\xe9.wav"
    try:
        os.rename(tmp_path / "a.wav", name)  # noqa: PTH104  # Path has no bytes
    except OSError:
        pytest.skip("this file system takes only text")
    command = [sys.executable, "-m", "stemsplit", name, "-s", "bass"]
    done = subprocess.run(command, capture_output=True, check=False, cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout == b"stems/\xff\xe9/bass.wav\n"


def test_a_disk_too_small_is_known_before_the_work(
    stemsplit: Command, song: Song, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    usage = shutil.disk_usage(".")
    # Room for one of the songs, not for both.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=1_000_000))
    result = stemsplit(song("a.wav"), song("b.wav"))
    assert result.status == 1
    assert "MB are free" in result.err
    assert not Path("stems").exists()
    told = stemsplit("a.wav", "b.wav", "--dry-run")
    assert told.status == 1
    assert "1.0 MB is free there" in told.err
    assert "error: the stems need 1 MB in stems, where 1 MB are free; choose another disk with -o" in told.err


def test_a_stem_that_is_too_large_for_the_disk_is_known_at_the_start(stemsplit: Command, song: Song) -> None:
    resource = pytest.importorskip("resource", reason="limits on files are Unix's")
    path = song("a.wav", frames=100_000)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        result = stemsplit(path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.status == 1
    assert "but its disk, or `ulimit -f`, allows files of at most 0 MB; try --format flac" in result.err
    assert not Path("stems").exists()


def test_clipped_samples_are_told(stemsplit: Command, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "loud.wav", noise(20_000) * 40, 44_100, subtype="FLOAT")
    result = stemsplit("loud.wav", "--bit-depth", "16")
    assert result.status == 0
    assert "samples beyond full scale were clipped; 32-bit float wav keeps them" in result.err


def test_quiet_leaves_only_the_paths(stemsplit: Command, song: Song) -> None:
    result = stemsplit(song("a.wav"), "--quiet")
    assert (result.status, len(result.paths), result.err) == (0, 4, "")


def test_no_ansi_where_there_is_no_terminal(stemsplit: Command, song: Song) -> None:
    result = stemsplit(song("a.wav"), "nothing.wav")
    assert "\x1b" not in result.out + result.err


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song that takes long to split."""
    path = tmp_path_factory.mktemp("long") / "long.wav"
    with soundfile.SoundFile(path, "w", 44_100, 2) as file:
        for second in [noise(44_100)] * 600:
            file.write(second)
    return path


@unix
@pytest.mark.parametrize(("name", "status"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_stopped_in_mid_song_it_leaves_nothing_half_written(long: Path, tmp_path: Path, name: str, status: int) -> None:
    command = [sys.executable, "-m", "stemsplit", long, "-o", tmp_path / "stems"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    # Stop it once it writes: the hidden folder has grown.
    for _ in range(600):
        if any(file.stat().st_size > 100_000 for file in tmp_path.glob("stems/.stemsplit-*/*.wav")):
            break
        assert process.poll() is None
        time.sleep(0.1)
    else:
        pytest.fail("it never wrote")
    for _ in range(4):  # people press more than once
        process.send_signal(signal.Signals[name])
        time.sleep(0.02)
    out, _ = process.communicate(timeout=60)
    assert (process.returncode, out) == (status, b"")
    assert not (tmp_path / "stems").exists()


def checkpoint(folder: Path) -> Path:
    """A small network of one stem, as its training left it."""
    sizes = {"dim": 8, "depth": 1, "dim_head": 4, "heads": 2, "mlp_expansion_factor": 1, "stereo": True}
    path = folder / "mine.ckpt"
    torch.save({"state_dict": build("mel_band_roformer", sizes).state_dict()}, path)
    return path


def test_a_checkpoint_of_one_stem_gives_that_and_the_rest(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    path = song("song.wav")
    result = stemsplit(path, "--model", checkpoint(tmp_path), *SHORT)
    assert result.status == 0, result.err
    assert [path.name for path in result.paths] == ["vocals.wav", "instrumental.wav"]
    assert "usual values are assumed: stft_hop_length=441" in result.err
    mixture, _ = soundfile.read(path)
    total = sum(soundfile.read(stem)[0] for stem in result.paths)
    assert np.allclose(total, mixture, atol=1e-6)


def test_the_rest_alone_can_be_asked_for(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    """By its own name: karaoke needs no vocals."""
    result = stemsplit(song("song.wav"), "-m", checkpoint(tmp_path), "-s", "instrumental", "-q", *SHORT)
    assert result.status == 0
    assert (result.paths, result.err) == ([Path("stems/song/instrumental.wav")], "")


def test_a_yaml_of_a_checkpoint_is_used(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text(
        "model: {dim: 9, stft_hop_length: 512}\ntraining: {instruments: [Choir, band], target_instrument: Choir}"
    )
    result = stemsplit(song("song.wav"), "-m", checkpoint(tmp_path), "--config", "mine.yaml", *SHORT)
    assert [path.name for path in result.paths] == ["choir.wav", "band.wav"]
    assert "warning: the config says dim=9, but the weights have dim=8; using 8" in result.err
    assert "stft_hop_length" not in result.err

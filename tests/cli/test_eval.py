"""`stemsplit eval`."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from stemsplit import Separator, registry
from stemsplit.evaluation.metrics import sdr, si_sdr
from tests.cli.conftest import Result
from tests.cli.processes import tiny as tiny
from tests.conftest import DATA, Samples, noise

Command = Callable[..., Result]

STEMS = ("drums", "bass", "other", "vocals")
RATE = 44_100


def put(folder: Path, samples: dict[str, Samples], suffix: str = "wav") -> None:
    folder.mkdir(parents=True)
    for stem, part in samples.items():
        soundfile.write(folder / f"{stem}.{suffix}", part, RATE, subtype="FLOAT" if suffix == "wav" else "PCM_24")


@pytest.fixture
def two_songs(tmp_path: Path) -> None:
    """Estimates of the first are 10 dB above their error; those of the second 20 dB."""
    for place, name in enumerate(("one", "[two]")):
        true = {stem: noise(2_000, seed=seed) for seed, stem in enumerate(STEMS)}
        put(tmp_path / "references" / name, true, "flac")
        levels = 1 + 10 ** (-0.5 * (place + 1))
        put(tmp_path / "estimates" / name, {stem: np.float32(levels) * part for stem, part in true.items()})


@pytest.mark.usefixtures("two_songs")
def test_a_table_has_a_line_for_each_stem_of_each_song_and_of_all(stemsplit: Command) -> None:
    result = stemsplit("eval", "references", "estimates")
    assert (result.status, result.err) == (0, "")
    header, *rows = result.out.splitlines()
    assert header.split() == ["song", "stem", "SDR", "SI-SDR", "median", "SDR", "of", "1", "s"]
    assert len(rows) == 4 * (len(STEMS) + 1)
    assert {len(row) for row in rows} == {len(header)}
    assert [row.split()[:3] for row in rows if row.startswith(("one", "[two]"))] == [
        [song, stem, figure]
        for song, figure in (("[two]", "20.00"), ("one", "10.00"))
        for stem in (*sorted(STEMS), "mean")
    ]
    assert rows[-1].startswith("median of 2 songs  mean    15.00")


@pytest.mark.usefixtures("two_songs")
def test_a_script_gets_the_same_as_json(stemsplit: Command) -> None:
    data = json.loads(stemsplit("eval", "references", "estimates", "--json", "-s", "bass,drums").out)
    assert [song["song"] for song in data["songs"]] == ["[two]", "one"]
    assert all(song["error"] is None and song["unmeasured"] == [] for song in data["songs"])
    (first, second) = (song["stems"] for song in data["songs"])
    assert list(first) == ["bass", "drums"]
    assert first["bass"]["sdr"] == first["bass"]["frame_sdr"] == pytest.approx(20, abs=1e-3)
    assert first["bass"]["si_sdr"] > 80
    assert second["drums"]["sdr"] == pytest.approx(10, abs=1e-3)
    for kind in ("mean", "median"):
        assert data[kind]["stems"]["bass"]["sdr"] == pytest.approx(15, abs=1e-3)
        assert data[kind]["mean"]["sdr"] == pytest.approx(15, abs=1e-3)


@pytest.mark.usefixtures("two_songs")
def test_references_may_be_a_list(stemsplit: Command, tmp_path: Path) -> None:
    (tmp_path / "songs.csv").write_text("song,stem,path\none,bass,references/one/bass.flac\n")
    (song,) = json.loads(stemsplit("eval", "songs.csv", "estimates", "--json").out)["songs"]
    assert (song["song"], list(song["stems"]), song["unmeasured"]) == ("one", ["bass"], ["drums", "other", "vocals"])


@pytest.mark.usefixtures("two_songs")
def test_a_song_that_cannot_be_measured_is_told_of_and_the_others_are_measured(
    stemsplit: Command, tmp_path: Path
) -> None:
    (tmp_path / "estimates" / "one" / "bass.wav").unlink()
    result = stemsplit("eval", "references", "estimates", "--json")
    data = json.loads(result.out)
    assert result.status == 1
    assert result.err == "error: no estimate of bass for one; name the stems to measure with --stems\n"
    assert [song["error"] for song in data["songs"]] == [None, result.err.removeprefix("error: ").strip()]
    assert data["mean"]["stems"]["bass"]["sdr"] == pytest.approx(20, abs=1e-3)


def test_silence_has_no_figures_and_a_word(stemsplit: Command, tmp_path: Path) -> None:
    true = {stem: noise(2_000, seed=seed) for seed, stem in enumerate(STEMS)}
    silence = np.zeros_like(true["bass"])
    put(tmp_path / "references" / "song", {**true, "bass": silence})
    put(tmp_path / "estimates" / "song", {**true, "vocals": silence, "piano": silence})
    result = stemsplit("eval", "references", "estimates", "--json")
    (song,) = json.loads(result.out)["songs"]
    assert song["stems"]["bass"] == {"sdr": None, "si_sdr": None, "frame_sdr": None}
    assert song["stems"]["vocals"] == {"sdr": 0.0, "si_sdr": None, "frame_sdr": None}
    assert result.err.splitlines() == [
        "song: bass: not scored, because the true stem is silent",
        "song: vocals: only its SDR is given, because the separated stem is silent",
        "song: drums, other: no median SDR, because in every second some stem is silent or there is no error",
        "song: piano: not scored, because only the true or only the separated stem is there, or "
        "the true one only in a sum",
    ]


def test_files_that_split_wrote_score_what_the_separator_scores(
    stemsplit: Command, tiny: list[str], tmp_path: Path
) -> None:
    """So they do in training's validation, which measures the same; and a model named here is run in the same way."""
    mixture, _ = soundfile.read(DATA / "lithium.flac", dtype="float32", frames=3 * RATE + 500)
    sources = {stem: 0.3 * mixture + 0.05 * noise(len(mixture), seed=seed) for seed, stem in enumerate(STEMS)}
    sources["other"] = mixture - sum(sources[stem] for stem in ("drums", "bass", "vocals"))
    put(tmp_path / "data" / "song", {**sources, "mixture": mixture})
    arguments = ("data/song/mixture.wav", "-o", "stems/song", "--bit-depth", "24", "-d", "cpu", "-q", *tiny)
    assert stemsplit("split", *arguments).status == 0
    by_files = json.loads(stemsplit("eval", "data", "stems", "--json").out)["songs"][0]["stems"]
    by_model = json.loads(stemsplit("eval", "data", *tiny, "-d", "cpu", "--json").out)
    by_model = by_model["songs"][0]["stems"]
    separator = Separator(registry.read(Path(tiny[-1]))["tiny"], device="cpu")
    estimates = separator.separate(torch.from_numpy(mixture.T.copy()), RATE)
    for stem, source in sources.items():
        pair = estimates[stem], torch.from_numpy(source.T.copy())
        for figure, expected in (("sdr", float(sdr(*pair))), ("si_sdr", float(si_sdr(*pair)))):
            assert by_files[stem][figure] == pytest.approx(expected, abs=0.01)
            assert by_model[stem][figure] == pytest.approx(expected, abs=0.01)
        assert by_files[stem]["frame_sdr"] == pytest.approx(by_model[stem]["frame_sdr"], abs=0.01)


def test_a_model_is_scored_with_the_options_that_split_has(stemsplit: Command, tiny: list[str], tmp_path: Path) -> None:
    """They change the stems, and so the scores, of a split and of an evaluation in the same way."""
    mixture, _ = soundfile.read(DATA / "lithium.flac", dtype="float32", frames=2 * RATE)
    sources = {stem: 0.3 * mixture + 0.05 * noise(len(mixture), seed=seed) for seed, stem in enumerate(STEMS)}
    put(tmp_path / "data" / "song", {**sources, "mixture": mixture})
    options = ("--chunk-seconds", "0.7", "--window", "mean", "--overlap", "0.1", "-d", "cpu", "--threads", "1")
    assert stemsplit("split", "data/song/mixture.wav", "-o", "stems/song", *tiny, *options, "-q").status == 0
    by_files = json.loads(stemsplit("eval", "data", "stems", "--json").out)["songs"][0]["stems"]
    results = [
        json.loads(stemsplit("eval", "data", *tiny, *others, "--json").out)["songs"][0]["stems"]
        for others in (options, (*options, "--batch-size", "1"), ("-d", "cpu", "--threads", "1"))
    ]
    for found, equal in zip(results, (True, True, False), strict=True):
        assert (found["vocals"]["sdr"] == pytest.approx(by_files["vocals"]["sdr"], abs=1e-4)) == equal


@pytest.mark.usefixtures("two_songs")
@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (("references",), 2, "name either a folder of separated stems or a --model"),
        (("references", "estimates", "-m", "starter"), 2, "name either a folder of separated stems or a --model"),
        (("references", "estimates", "-d", "cpu"), 2, "--device needs --model"),
        (("references", "estimates", "--window", "hann"), 2, "--window needs --model"),
        (("references", "estimates", "--estimates", "raw"), 2, "--estimates needs --model"),
        (("references", "estimates", "--overlap", "0"), 2, "--overlap needs --model"),
        (("references", "estimates", "--chunk-seconds", "2"), 2, "--chunk-seconds needs --model"),
        (("references", "estimates", "--compile"), 2, "--compile needs --model"),
        (("references", "estimates", "--set", "a=1"), 2, "--set needs --model"),
        (("references", "nowhere"), 2, "nowhere"),
        (("nowhere", "estimates"), 2, "nowhere"),
        (
            ("references", "-m", "starter", "-s", "piano"),
            2,
            "starter has no stem 'piano'; it has drums, bass, other, vocals",
        ),
        (("references", "-m", "no-such-model"), 3, "no model named 'no-such-model'"),
        (("empty", "estimates"), 1, "error: no song with stems in empty; it should have a folder for each song"),
        (("references", "empty"), 1, "error: no estimates in empty; it should have a folder for each song"),
    ],
)
def test_what_makes_no_sense_is_refused(
    stemsplit: Command, tmp_path: Path, arguments: tuple[str, ...], status: int, complaint: str
) -> None:
    (tmp_path / "empty").mkdir()
    result = stemsplit("eval", *arguments)
    assert (result.status, result.out) == (status, "")
    assert complaint in result.err


def test_a_report_leads_to_the_worst_moments(stemsplit: Command, tmp_path: Path) -> None:
    """By a link to the page beside the stems, or by the command that plays them."""
    for name, second in (("a <b>&", 1), ("two", 2)):
        true = {stem: noise(3 * RATE, seed=seed) for seed, stem in enumerate(("bass", "vocals"))}
        put(tmp_path / "references" / name, true)
        worse = {stem: 1.01 * part for stem, part in true.items()}
        worse["vocals"][second * RATE : (second + 1) * RATE] *= 1.5
        put(tmp_path / "estimates" / name, worse)
    (tmp_path / "estimates" / "two" / "listen.html").touch()
    result = stemsplit("eval", "references", "estimates", "--json", "--report", "out/scores.html")
    assert (result.status, result.err) == (0, "report: out/scores.html\n")
    first, second_ = json.loads(result.out)["songs"]
    assert [song["worst"]["vocals"][0]["at"] for song in (first, second_)] == [1.0, 2.0]
    assert first["worst"]["vocals"][0]["sdr"] == pytest.approx(-20 * np.log10(0.515), abs=0.01)
    page = (tmp_path / "out" / "scores.html").read_text()
    assert '<a href="../estimates/two/listen.html#t=2&amp;solo=vocals">hear 0:02</a>' in page
    assert "<code>stemsplit listen &#x27;estimates/a &lt;b&gt;&amp;&#x27; --at 0:01 --solo vocals</code>" in page
    assert "<b>" not in page
    assert page.count("<circle") == 3 * 2 * 2  # metrics, stems, songs
    assert stemsplit("eval", "references", "estimates", "--report", "out/scores.html").status == 0


@pytest.mark.usefixtures("two_songs")
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("mine.html", "mine.html is already there, and not as stemsplit left it; choose another file, or move it away"),
        ("link.html", "link.html is already there, and is not a file"),
        ("report.htm", "a report is written as NAME.html, not report.htm"),
        ("mine.html/report.html", "cannot write into mine.html"),
    ],
)
def test_a_report_that_cannot_be_written_is_known_before_songs_are_measured(
    stemsplit: Command, tmp_path: Path, name: str, complaint: str
) -> None:
    (tmp_path / "mine.html").write_text("mine")
    (tmp_path / "link.html").symlink_to("mine.html")
    (tmp_path / "references" / "one" / "bass.flac").write_text("not audio")
    result = stemsplit("eval", "references", "estimates", "--report", name)
    assert (result.status, result.out) == (2, "")
    assert complaint in result.err
    assert "bass" not in result.err
    assert (tmp_path / "mine.html").read_text() == "mine"


def test_help_needs_no_network() -> None:
    code = "import sys; sys.argv = ['stemsplit', 'eval', '--help']; import stemsplit.cli as cli\n"
    code += "try: cli.main()\nexcept SystemExit: pass\nprint('torch' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "REFERENCES" in told.stdout
    assert told.stdout.splitlines()[-1] == "False"

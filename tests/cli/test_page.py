"""`split --page` and `compare --page`: which songs get a page, and when it is written anew."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.choices import PageAudio
from stemsplit.listening import standalone
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.cli.processes import light as light
from tests.cli.processes import read_lines, touched
from tests.cli.test_compare import compare as compare
from tests.cli.test_compare import weights as weights

Command = Callable[..., Result]
Song = Callable[..., Path]
FEW = ("--threads", "1", "--stems", "vocals,drums")


@pytest.mark.usefixtures("light")
def test_a_page_is_written_once_for_what_its_record_says(stemsplit: Command, song: Song) -> None:
    song("song.wav")
    stemsplit("song.wav", *FEW)
    page = Path("stems/song/listen.html")
    first = stemsplit("song.wav", *FEW, "--page")
    assert first.status == 0, first.err
    assert first.paths == [Path("stems/song/drums.wav"), Path("stems/song/vocals.wav"), page]
    assert "already split" in first.err
    assert "song.wav: listen.html will take about" in first.err.splitlines()[0]
    before, content = touched(Path("stems")), page.read_bytes()
    assert stemsplit("song.wav", *FEW, "--page").paths == first.paths
    assert touched(Path("stems")) == before
    assert stemsplit("song.wav", *FEW, "--page", "--page-audio", "flac").status == 0
    assert page.read_bytes() != content
    stemsplit("song.wav", *FEW, "--page")
    assert page.read_bytes() == content
    # Other stems, and no page asked for: the old one is not passed over in silence.
    later = stemsplit("song.wav", "--threads", "1", "--stems", "vocals,bass")
    assert "listen.html still plays the stems of an earlier run; --page renews it" in later.err
    assert page.read_bytes() == content
    stemsplit("song.wav", "--threads", "1", "--stems", "vocals,bass", "--page")
    assert standalone.holds(page, standalone.digest_of(page.with_name("stemsplit.json")).encode())


@pytest.mark.usefixtures("light")
def test_a_page_of_others_stays(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    song("song.wav")
    page, other = Path("stems/song/listen.html"), tmp_path / "other.html"
    page.parent.mkdir(parents=True)
    page.write_text("mine")
    refused = stemsplit("song.wav", *FEW, "--page")
    assert refused.status == 1
    assert "not as stemsplit left it" in refused.err
    assert [path.name for path in page.parent.iterdir()] == ["listen.html"]
    page.unlink()
    other.write_bytes(standalone.mark("0" * 64, PageAudio.opus))
    for link in (page.symlink_to, page.hardlink_to):
        link(other)
        assert stemsplit("song.wav", *FEW, "--page").status == 1
        assert other.read_bytes() == standalone.mark("0" * 64, PageAudio.opus)
        page.unlink()
    page.write_text("mine")
    assert stemsplit("song.wav", *FEW, "--page", "--force").status == 0
    assert standalone.holds(page, standalone.MARK.encode())


@pytest.mark.usefixtures("light")
def test_a_page_too_large_is_refused_before_the_song_is_split(
    stemsplit: Command, song: Song, monkeypatch: pytest.MonkeyPatch
) -> None:
    song("long.wav", frames=66_150)
    song("short.wav", frames=11_025)
    short, long = (standalone.expected_size(frames, 44_100, 2, 3, PageAudio.opus) for frames in (11_025, 66_150))
    monkeypatch.setattr(standalone, "LIMIT", (short + long) // 2)
    alone = stemsplit("long.wav", *FEW, "--page")
    assert alone.status == 2
    assert "cannot write the page of long.wav: it would take about" in alone.err
    assert not Path("stems").exists()
    planned, summary = read_lines(stemsplit("long.wav", "short.wav", *FEW, "--page", "--dry-run", "--json").out)
    assert [bool(line["page"]["error"]) for line in planned] == [True, False]
    assert [line["page"]["bytes"] for line in planned] == [long, short]
    assert summary["exit_status"] == 1
    batch = stemsplit("long.wav", "short.wav", *FEW, "--page", "--json")
    lines, summary = read_lines(batch.out)
    assert [line["status"] for line in lines] == ["done", "done"]
    assert [line["page"] for line in lines] == [None, "stems/short/listen.html"]
    assert "it would take about" in lines[0]["page_error"]
    assert (summary["without_page"], summary["exit_status"], batch.status) == (1, 1, 1)
    assert "long.wav has no page: it would take about" in batch.err
    assert stemsplit("long.wav", *FEW, "--page", "--force").status == 0


@pytest.mark.usefixtures("light")
def test_pages_in_one_folder_have_names_of_their_own(stemsplit: Command, song: Song) -> None:
    song("a.wav"), song("b.wav")
    result = stemsplit("a.wav", "b.wav", *FEW, "--page", "--name", "all/{track} - {stem}")
    assert result.status == 0, result.err
    pages = [path.name for path in result.paths if path.suffix == ".html"]
    assert pages == ["a - listen.html", "b - listen.html"]


def test_an_excerpt_is_what_its_page_plays(stemsplit: Command, song: Song, light: None) -> None:  # noqa: ARG001
    song("song.wav", frames=88_200)
    excerpt = ("--start", "0.25", "--duration", "0.5", "--page", "--page-audio", "flac")
    page = stemsplit("song.wav", *FEW, *excerpt).paths[-1]
    data = page.read_text().partition('id="piece">')[2].partition("</script>")[0]
    assert json.loads(data)["frames"] == 22_050
    assert [track["role"] for track in json.loads(data)["tracks"]] == ["song", "stem", "stem"]


def test_the_codec_of_no_page_is_a_slip(stemsplit: Command, song: Song) -> None:
    result = stemsplit(song("song.wav"), "--page-audio", "flac")
    assert result.status == 2
    assert "--page-audio needs --page" in result.err


def test_a_comparison_has_its_page_among_its_files(compare: Command, song: Song) -> None:
    command = (song("song.wav"), "--models", "one,two", "--page", "--json")
    result = compare(*command)
    assert result.status == 0, result.err
    data = json.loads(result.out)
    page = Path(data["page"])
    assert page == Path(data["folder"]) / "listen.html"
    assert page.name in json.loads((page.parent / "comparison.json").read_text())["files"]
    told = json.loads(page.read_text().partition('id="piece">')[2].partition("</script>")[0])
    assert (told["kind"], told["title"]) == ("comparison", page.parent.name)
    assert [track["role"] for track in told["tracks"]] == ["song", "candidate", "candidate"]
    again = compare(*command, "--force")
    assert again.status == 0, again.err
    assert standalone.holds(page, standalone.digest_of(page.with_name("comparison.json")).encode())


@pytest.mark.usefixtures("light")
def test_a_song_of_another_rate_than_its_stems_is_on_their_page(stemsplit: Command, song: Song) -> None:
    """Opus has 48 kHz, whatever the song has."""
    song("song.wav")
    result = stemsplit("song.wav", *FEW, "--format", "opus", "--page", "--page-audio", "flac")
    assert result.status == 0, result.err
    text = result.paths[-1].read_text()
    told = json.loads(text.partition('id="piece">')[2].partition("</script>")[0])
    assert (told["sample_rate"], told["frames"]) == (48_000, 24_000)
    assert [track["role"] for track in told["tracks"]] == ["song", "stem", "stem"]
    waveforms = [text.partition(f'id="peaks-{index}">')[2].partition("</script>")[0] for index in range(3)]
    assert {len(waveform) for waveform in waveforms} == {len(waveforms[0])}

"""What `split` writes besides wav and flac: m4a, and bitrates."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from stemsplit import split
from stemsplit.audio import examine
from tests.cli.conftest import Result
from tests.cli.processes import light as light
from tests.cli.processes import registry
from tests.conftest import noise, unix

Command = Callable[..., Result]
Song = Callable[..., Path]

MIX = ("--stems", "none", "--mix", "all=mixture", "--threads", "1", "--quiet")


def records(folder: str = "stems") -> list[dict[str, object]]:
    return [json.loads(path.read_text()) for path in Path(folder).rglob("stemsplit.json")]


@pytest.mark.usefixtures("light", "ffmpeg")
def test_m4a_has_the_length_of_the_song_and_its_tags(stemsplit: Command, tmp_path: Path) -> None:
    path = tmp_path / "a.flac"
    with soundfile.SoundFile(path, "w", 44_100, 2) as file:
        file.title, file.artist = "Song", "Somebody"
        file.write(noise(50_001))
    result = stemsplit("a.flac", *MIX, "--format", "m4a")
    assert (result.status, result.err) == (0, "")
    assert result.paths == [Path("stems/a/all.m4a")]
    found = examine(result.paths[0])
    assert 0 <= found.frames - 50_001 < 1_024
    assert (found.sample_rate, found.channels, found.tags.texts["artist"]) == (44_100, 2, ("Somebody",))
    assert sorted(path.name for path in Path("stems/a").iterdir()) == ["all.m4a", "stemsplit.json"]
    assert [path.name for path in Path("stems").iterdir()] == ["a"]


@pytest.mark.usefixtures("light", "ffmpeg")
def test_like_source_gives_m4a_for_m4a(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    made = stemsplit("a.wav", *MIX, "--format", "m4a").paths[0]
    assert stemsplit(made, *MIX, "--like-source", "-o", "more").paths == [Path("more/all/all.m4a")]


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("dry", [(), ("--dry-run",)])
def test_without_ffmpeg_m4a_is_refused_at_the_start(stemsplit: Command, song: Song, dry: tuple[str, ...]) -> None:
    song("a.wav")
    result = stemsplit("a.wav", *MIX, "--format", "m4a", *dry)
    assert (result.status, result.out) == (2, "")
    assert "m4a is written by ffmpeg, which was not found; install ffmpeg, or choose --format mp3, ogg or" in result.err
    assert not Path("stems").exists()


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("--bitrate", "192k"), "wav has no bitrate; leave out --bitrate, or choose --format mp3, ogg or m4a"),
        (("-f", "flac", "--bitrate", "V0"), "flac has no bitrate"),
        (("-f", "mp3", "--bitrate", "200"), "mp3 has no bitrate of 200 kbit/s; the nearest is 192"),
        (("-f", "ogg", "--bitrate", "V0"), "ogg has no quality V0"),
        (("-f", "mp3", "--bitrate", "loud"), "'loud' is not a bitrate; write kbit/s, such as 192k"),
        (("--like-source", "--bitrate", "192k"), "--bitrate needs --format"),
    ],
)
def test_a_bitrate_that_makes_no_sense_is_wrong_usage(
    stemsplit: Command, song: Song, options: tuple[str, ...], complaint: str
) -> None:
    song("a.wav")
    result = stemsplit("a.wav", *MIX, *options)
    assert (result.status, result.out) == (2, "")
    assert complaint in result.err


@pytest.mark.usefixtures("light")
def test_a_song_that_cannot_have_the_bitrate_is_reported_and_the_others_are_split(
    stemsplit: Command, song: Song
) -> None:
    song("a.wav", rate=22_050)
    song("b.wav")
    result = stemsplit("a.wav", "b.wav", *MIX, "-f", "mp3", "--bitrate", "192k")
    assert (result.status, result.paths) == (1, [Path("stems/b/all.mp3")])
    assert "a.wav: mp3 with 2 channels at 22050 Hz cannot have 192 kbit/s; the nearest is 160" in result.err


@pytest.mark.usefixtures("light")
def test_another_bitrate_splits_again_and_the_default_is_as_it_was(stemsplit: Command, song: Song) -> None:
    """Records of the default say nothing of bitrates, as those of versions that had none."""
    song("a.wav", frames=100_000)
    path = Path("stems/a/all.mp3")
    sizes = []
    for bitrate in ((), ("--bitrate", "128k"), ("--bitrate", "V5")):
        arguments = ("a.wav", *MIX, "-f", "mp3", *bitrate)
        assert json.loads(stemsplit(*arguments, "--json").out.splitlines()[0])["status"] == "done"
        assert json.loads(stemsplit(*arguments, "--json").out.splitlines()[0])["status"] == "skipped"
        sizes.append(path.stat().st_size)
        (record,) = records()
        assert record["options"].get("bitrate") == (bitrate[1].removesuffix("k") if bitrate else None)
        assert ("bitrate" in record["options"]) == bool(bitrate)
    assert len(set(sizes)) == 3
    assert stemsplit("a.wav", *MIX, "-f", "mp3", "--bitrate", " 128 kbps", "--json").status == 0
    assert records()[0]["options"]["bitrate"] == "128"


@pytest.mark.usefixtures("light")
def test_in_python(song: Song, tmp_path: Path) -> None:
    path = song("a.wav", frames=4_410)
    light = os.environ["STEMSPLIT_REGISTRY"]
    out = split(path, tmp_path / "out", stems="vocals", format="mp3", bitrate=64, device="cpu", registry=light)
    (made,) = out.values()
    assert made.stat().st_size < 4_000
    for wrong in ({"format": "wav", "bitrate": "64k"}, {"format": "mp3", "bitrate": 65}, {"bitrate": "much"}):
        with pytest.raises(ValueError, match="bitrate"):
            split(path, tmp_path / "out", **wrong)


@pytest.mark.usefixtures("no_ffmpeg")
def test_in_python_without_ffmpeg(song: Song, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="install ffmpeg"):
        split(song("a.wav"), tmp_path / "out", format="m4a")


@pytest.mark.usefixtures("light")
def test_clips_have_a_bitrate_too(stemsplit: Command, song: Song) -> None:
    song("a.wav", frames=20_000)
    options = ("--models", "starter", "--stems", "vocals", "-d", "cpu", "--threads", "1", "-q", "-f", "mp3")
    result = stemsplit("compare", "a.wav", *options, "--bitrate", "V0")
    assert (result.status, [path.suffix for path in result.paths]) == (0, [".mp3"] * 2)
    assert "wav has no bitrate" in stemsplit("compare", "a.wav", *options, "-f", "wav", "--bitrate", "V0").err


@unix
def test_an_ffmpeg_that_cannot_write_m4a_is_told_of_at_the_start(
    stemsplit: Command, song: Song, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    song("a.wav")
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "ffmpeg").write_text("#!/bin/sh\necho 'it has no such encoder' >&2\nexit 3\n")
    (folder / "ffmpeg").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    result = stemsplit("a.wav", *MIX, "-f", "m4a")
    assert (result.status, result.out) == (2, "")
    assert "which failed on a trial (ffmpeg failed: it has no such encoder); update it" in result.err
    assert not Path("stems").exists()


@pytest.mark.usefixtures("light", "ffmpeg")
def test_a_stem_file_is_one_path_and_what_is_converted_is_said_beforehand(stemsplit: Command, song: Song) -> None:
    song("a.wav", frames=5_000)
    song("b.wav", frames=5_000, rate=96_000)
    song("c.wav", frames=5_000, rate=96_000)
    options = ("-f", "stem.mp4", "--threads", "1")
    plan = stemsplit("a.wav", "b.wav", *options, "--dry-run", "--json").out.splitlines()
    told = "stem.mp4 is resampled from 96000 to 48000 Hz"
    assert [json.loads(line)["notes"] for line in plan[:2]] == [[], [told]]
    result = stemsplit("a.wav", "b.wav", "c.wav", *options)
    assert (result.status, result.paths) == (0, [Path(f"stems/{name}/{name}.stem.mp4") for name in "abc"])
    said = result.err.splitlines()
    assert said[0] == f"b.wav: {told}, and the same for 1 more song"
    assert "a.wav: a file with 4 stems of 0:00" in result.err
    again = [json.loads(line) for line in stemsplit("a.wav", *options, "--json").out.splitlines()]
    assert again[0]["status"] == "skipped"
    assert {each["path"] for each in again[0]["stems"].values()} == {"stems/a/a.stem.mp4"}
    assert sorted(again[0]["stems"]) == ["bass", "drums", "mixture", "other", "vocals"]


@pytest.mark.usefixtures("light", "ffmpeg")
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (("-f", "stem.mp4", "--stems", "vocals", "--mix", "a=mixture"), "four stems; leave out --stems and --mix, or"),
        (("-f", "stem.mp4", "--like-source"), "leave out --like-source"),
        (("-f", "stem.mp4", "--bit-depth", "24", "--bitrate", "256k"), "has no bitrate; leave out --bit-depth or"),
        (
            ("-f", "stem.mp4", "--model", "mel-roformer-vocals"),
            "this model has vocals, instrumental; see stemsplit list",
        ),
        (("-f", "aac"), "did you mean m4a?"),
        (("-f", "alac"), "did you mean m4a with a bit depth of 16 or 24"),
        (("-f", "aif"), "did you mean aiff?"),
        (("-f", "stems"), "did you mean stem.mp4?"),
        (("-f", "tta"), "see all options with"),
    ],
)
def test_a_format_that_cannot_be_is_wrong_usage(
    stemsplit: Command, song: Song, options: tuple[str, ...], complaint: str
) -> None:
    song("a.wav")
    result = stemsplit("a.wav", *options)
    assert (result.status, result.out) == (2, "")
    assert complaint in result.err
    assert not Path("stems").exists()


@pytest.mark.usefixtures("no_ffmpeg")
def test_without_ffmpeg_a_stem_file_is_refused_at_the_start(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    result = stemsplit("a.wav", "-f", "stem.mp4")
    assert (result.status, "stem.mp4 is written by ffmpeg, which was not found" in result.err) == (2, True)


@pytest.mark.usefixtures("ffmpeg")
def test_clips_are_not_stem_files(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    result = stemsplit("compare", "a.wav", "--models", "starter", "-f", "stem.mp4")
    assert (result.status, "stem.mp4 holds a song and its stems, not clips" in result.err) == (2, True)


@pytest.mark.usefixtures("ffmpeg")
def test_a_stem_file_in_python(song: Song, tmp_path: Path) -> None:
    told: list[str] = []
    path, models = song("a.wav", frames=4_410, channels=1), registry(tmp_path / "model")
    made = split(path, tmp_path / "out", "tiny", registry=models, format="stem.mp4", device="cpu", tell=told.append)
    assert made == dict.fromkeys(("mixture", "drums", "bass", "other", "vocals"), tmp_path / "out/a/a.stem.mp4")
    assert told == [f"{path}: stem.mp4 is made stereo from mono"]
    with pytest.raises(ValueError, match="leave out --stems"):
        split(path, tmp_path / "out", format="stem.mp4", stems="vocals")
    with pytest.raises(ValueError, match=r"not 'stems'; did you mean stem\.mp4\?"):
        split(path, tmp_path / "out", format="stems")


@pytest.mark.usefixtures("light")
def test_stems_that_are_resampled_have_a_page_of_them_and_their_song(stemsplit: Command, song: Song) -> None:
    song("a.wav", frames=3_001, rate=22_050, channels=1)
    result = stemsplit("a.wav", "-f", "opus", "--page", "--threads", "1")
    assert (result.status, Path("stems/a/listen.html").is_file()) == (0, True)
    assert result.err.splitlines()[0] == "a.wav: opus is resampled from 22050 to 48000 Hz"
    assert records()[0]["figures"]["frames"] == -(-3_001 * 48_000 // 22_050)

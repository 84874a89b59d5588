"""Songs for more than two speakers: what sounds from a speaker in the song sounds from it in the stems."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import soundfile
import torch
from torch import Tensor

from stemsplit.audio import Reader
from stemsplit.engine import batching
from tests.cli.conftest import Result
from tests.cli.processes import registry
from tests.tones import RATE, TONES, heard, layouts, made, played, tones

Command = Callable[..., Result]

MIXTURE = ["--stems", "none", "--mix", "all=mixture", "--quiet", "--threads", "1", "-o", "out"]
VORBIS = ["3.0", "quad", "5.0", "5.1", "6.1", "7.1"]
"""The layouts that Vorbis and Opus have."""

SAME = {"quad(side)": "quad", "5.0(side)": "5.0", "5.1(side)": "5.1", "6.1(back)": "6.1"}
"""Layout -> one that differs only in whether its one surround pair is at the sides or at the back."""


@pytest.fixture(autouse=True)
def _stereo(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the place of the built-in model, one that takes pairs as it does, with chunks not much longer than songs."""
    path = registry(tmp_path_factory.mktemp("model") / "starter", "starter")
    table = path.read_text(encoding="utf-8")
    for old, new in {
        "channels = 1\n": "channels = 2\n",
        "chunk = 11025\n": "chunk = 44100\n",
        "hop = 5512\n": "hop = 22050\n",
    }.items():
        assert old in table
        table = table.replace(old, new)
    path.write_text(table, encoding="utf-8")
    monkeypatch.setenv("STEMSPLIT_REGISTRY", str(path))


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the network is given, (b, c, t) each. One that returns its input stands in for it, as it takes no time."""
    found: list[Tensor] = []

    def estimated(_: object, mixtures: Tensor) -> Tensor:
        found.append(mixtures)
        return mixtures[:, None].expand(-1, 4, -1, -1) / 4

    monkeypatch.setattr(batching, "estimated", estimated)
    return found


def sorted_out(found: Mapping[str, str]) -> dict[str, str]:
    """The same, where the surround speakers at the sides and at the back are one pair."""
    return {name.replace("S", "B"): tone for name, tone in found.items()}


SONGS = {
    "a.wav": [
        *VORBIS,
        "2.1",
        "4.0",
        "3.1",
        "4.1",
        "5.0(side)",
        "5.1(side)",
        "hexagonal",
        "6.0(front)",
        "7.0",
        "octagonal",
    ],
    "a.w64": ["2.1", "5.1(side)", "7.1(wide)"],
    "a.aiff": ["2.1", "4.1", "5.1(side)", "6.1", "7.1"],
    "a.caf": ["2.1", "4.1", "5.1(side)", "6.1", "7.1"],
    "a.flac": [
        *VORBIS,
        "2.1",
        "4.0",
        "3.1",
        "4.1",
        "5.0(side)",
        "5.1(side)",
        "hexagonal",
        "6.0(front)",
        "7.0",
        "octagonal",
    ],
    "a.ogg": VORBIS,
    "a.opus": VORBIS,
    "a.m4a": ["3.0", "4.0", "5.0", "5.1", "6.1(back)", "7.1", "7.1(wide)"],
    "a.mka": VORBIS,
    "a.ac3": ["2.1", "3.0", "quad(side)", "5.0(side)", "5.1(side)"],
}
"""Song -> some of the layouts that its format has, at least one for each number of channels that it holds."""

CODECS = {"a.ogg": "libvorbis", "a.mka": "libvorbis", "a.opus": "libopus", "a.m4a": "aac"}


@pytest.mark.parametrize("name", SONGS)
def test_a_tone_comes_from_the_speaker_that_it_came_from(
    stemsplit: Command, ffmpeg: Path, tmp_path: Path, name: str
) -> None:
    """In stems as WAV, and for some songs as FLAC too."""
    (tmp_path / "songs").mkdir()
    options = ["-c:a", CODECS[name]] if name in CODECS else []
    songs = [made(ffmpeg, layout, tmp_path / "songs" / f"{layout}{name[1:]}", *options) for layout in SONGS[name]]
    forms = ("wav", "flac") if name in ("a.wav", "a.flac", "a.ogg") else ("wav",)
    for form in forms:
        assert stemsplit(*songs, "--format", form, *MIXTURE).status == 0
    for song in songs:
        expected = played(ffmpeg, song)
        assert set(expected.values()) <= set(TONES)
        for form in forms:
            assert played(ffmpeg, tmp_path / "out" / song.stem / f"all.{form}") == expected, (song.name, form)


def test_ogg_has_its_own_order(stemsplit: Command, ffmpeg: Path, tmp_path: Path) -> None:
    songs = [made(ffmpeg, layout, tmp_path / f"{layout}.wav") for layout in [*VORBIS, *SAME]]
    assert stemsplit(*songs, "--format", "ogg", *MIXTURE).status == 0
    for song in songs:
        found = played(ffmpeg, tmp_path / "out" / song.stem / "all.ogg")
        assert set(found.values()) <= set(TONES)
        assert sorted_out(found) == sorted_out(played(ffmpeg, song))


def test_where_ogg_has_no_such_speakers_nothing_is_computed(stemsplit: Command, ffmpeg: Path, tmp_path: Path) -> None:
    """Else a full channel would become a subwoofer's, which keeps nothing above 120 Hz."""
    for layout in layouts(ffmpeg).keys() - {*VORBIS, *SAME}:
        song = made(ffmpeg, layout, tmp_path / f"{layout}.wav")
        result = stemsplit(song, "--format", "ogg", *MIXTURE)
        assert result.status == 1
        assert (
            f"no layout of channels for the speakers {' '.join(layouts(ffmpeg)[layout])}; use wav or flac" in result.err
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("bits", ["16", "24", "32f"])
def test_masks_are_as_the_song_s_own_at_any_depth(stemsplit: Command, ffmpeg: Path, tmp_path: Path, bits: str) -> None:
    some = ["2.1", "4.0", "5.0(side)", "5.1", "6.1(back)", "7.1(wide)"]
    songs = [made(ffmpeg, layout, tmp_path / f"{layout}.wav") for layout in some]
    assert stemsplit(*songs, "--bit-depth", bits, *MIXTURE).status == 0
    for song in songs:
        stem = tmp_path / "out" / song.stem / "all.wav"
        assert soundfile.info(stem).format == "WAVEX"
        with Reader(song) as before, Reader(stem) as after:
            assert after.speakers == before.speakers == tuple(layouts(ffmpeg)[song.stem])


def test_a_song_in_its_own_format_keeps_its_speakers(stemsplit: Command, ffmpeg: Path, tmp_path: Path) -> None:
    songs = [made(ffmpeg, "5.1", tmp_path / f"{end}.{end}") for end in ("wav", "flac")]
    songs.append(made(ffmpeg, "5.1", tmp_path / "ogg.ogg", "-c:a", "libvorbis"))
    assert stemsplit(*songs, "--like-source", *MIXTURE).status == 0
    for song in songs:
        assert played(ffmpeg, tmp_path / "out" / song.stem / f"all{song.suffix}") == played(ffmpeg, song)


@pytest.mark.parametrize("channels", range(3, 9))
def test_a_song_that_does_not_say_is_taken_as_players_take_it(
    stemsplit: Command, ffmpeg: Path, tmp_path: Path, channels: int
) -> None:
    """Its stems do not say either; Ogg, which cannot leave it open, has the channels in the same places."""
    speakers = {3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}[channels]
    song = tmp_path / "song.wav"
    soundfile.write(song, tones(layouts(ffmpeg)[speakers]), RATE)
    for form in ("wav", "flac", "ogg"):
        assert stemsplit(song, "--format", form, *MIXTURE).status == 0
        found = list(played(ffmpeg, tmp_path / "out" / "song" / f"all.{form}").values())
        assert found == layouts(ffmpeg)[speakers]
    assert soundfile.info(tmp_path / "out" / "song" / "all.wav").format == "WAV"


@pytest.mark.parametrize("layout", ["2.1", "3.1", "5.1", "6.1", "7.1(wide)", "octagonal"])
def test_the_network_hears_left_and_right_together(
    stemsplit: Command, ffmpeg: Path, tmp_path: Path, given: list[Tensor], layout: str
) -> None:
    """And a speaker in the middle, which has no partner, on both channels."""
    song = made(ffmpeg, layout, tmp_path / "song.wav")
    assert stemsplit(song, "--quiet", "--threads", "1").status == 0
    chunk = max((chunk for mixtures in given for chunk in mixtures), key=torch.count_nonzero)
    sounding = chunk[:, chunk.any(0)].unflatten(0, (-1, 2))
    pairs = {tuple(heard(pair.numpy().T, ["left", "right"]).values()) for pair in sounding}
    speakers = layouts(ffmpeg)[layout]
    sides = {name: name[:-1] + "R" if name.endswith("L") else name for name in speakers if not name.endswith("R")}
    sides = {name: "FRC" if name == "FLC" else partner for name, partner in sides.items() if name != "FRC"}
    assert pairs == {*sides.items()}


def test_what_ogg_makes_of_six_unknown_channels_is_said(stemsplit: Command, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, tones(["FL", "FR", "FC", "LFE", "BL", "BR"]), RATE)
    assert "the fourth keeps only low frequencies" in stemsplit(song, "--format", "ogg", *MIXTURE).err
    assert "low frequencies" not in stemsplit(song, "--format", "flac", *MIXTURE).err


def test_so_does_a_network_that_splits_a_stem_further(
    stemsplit: Command, ffmpeg: Path, tmp_path: Path, given: list[Tensor]
) -> None:
    song = made(ffmpeg, "5.1", tmp_path / "song.wav")
    assert stemsplit(song, "--then", "vocals:starter", "--quiet", "--threads", "1", "-o", "out").status == 0
    assert {mixtures.shape[1] for mixtures in given} == {8}, "four pairs: front, center, subwoofer, back"
    for stem in (tmp_path / "out" / "song").glob("*.wav"):
        assert played(ffmpeg, stem).keys() == {"FL", "FR", "FC", "LFE", "BL", "BR"}


def test_so_do_the_clips_of_a_comparison(stemsplit: Command, ffmpeg: Path, tmp_path: Path, given: list[Tensor]) -> None:
    song = made(ffmpeg, "5.1(side)", tmp_path / "song.wav")
    assert stemsplit("compare", song, "-m", "starter", "--quiet", "-o", "out").status == 0
    assert {mixtures.shape[1] for mixtures in given} == {8}
    clips = list((tmp_path / "out").rglob("*.wav"))
    assert clips
    for clip in clips:
        assert played(ffmpeg, clip).keys() == {"FL", "FR", "FC", "LFE", "SL", "SR"}


def test_m4a_has_the_song_s_speakers(stemsplit: Command, ffmpeg: Path, tmp_path: Path) -> None:
    some = ["2.1", "3.1", "4.0", "5.1", "6.1(back)", "7.1", "7.1(wide)"]
    songs = [made(ffmpeg, layout, tmp_path / f"{layout}.wav") for layout in some]
    assert stemsplit(*songs, "--format", "m4a", *MIXTURE).status == 0
    for song in songs:
        assert played(ffmpeg, tmp_path / "out" / song.stem / "all.m4a") == played(ffmpeg, song)

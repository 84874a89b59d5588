"""Songs for more than two speakers: what sounds from a speaker in the song sounds from it in the stems."""

import re
import subprocess
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stemsplit.audio import Reader
from stemsplit.engine import batching
from tests.cli.conftest import Result
from tests.conftest import Samples

Command = Callable[..., Result]

RATE = 44_100
NAMES = "FL FR FC LFE BL BR FLC FRC BC SL SR".split()  # noqa: SIM905
TONES = {name: 60 if name == "LFE" else 300 + 100 * place for place, name in enumerate(NAMES)}
"""Speaker -> the tone that it plays, in Hz; a subwoofer gets a low one."""

MIXTURE = ["--stems", "none", "--mix", "all=mixture", "--quiet", "--threads", "1", "-o", "out"]
VORBIS = ["3.0", "quad", "5.0", "5.1", "6.1", "7.1"]
"""The layouts that Vorbis and Opus have."""

SAME = {"quad(side)": "quad", "5.0(side)": "5.0", "5.1(side)": "5.1", "6.1(back)": "6.1"}
"""Layout -> one that differs only in whether its one surround pair is at the sides or at the back."""


@pytest.fixture(autouse=True)
def given(monkeypatch: pytest.MonkeyPatch) -> list[Tensor]:
    """What the network is given, (b, c, t) each. One that returns its input stands in for it, as it takes no time."""
    found: list[Tensor] = []

    def estimated(_: object, mixtures: Tensor) -> Tensor:
        found.append(mixtures)
        return mixtures[:, None].expand(-1, 4, -1, -1) / 4

    monkeypatch.setattr(batching, "estimated", estimated)
    return found


@cache
def layouts(ffmpeg: Path) -> dict[str, list[str]]:
    """The layouts of 3 to 8 of our speakers that ffmpeg knows, with their speakers."""
    text = subprocess.run([ffmpeg, "-hide_banner", "-layouts"], capture_output=True, check=True, text=True).stdout
    found = {name: speakers.split("+") for name, speakers in re.findall(r"^(\S+) +([A-Z]+\+\S+)$", text, re.M)}
    return {name: those for name, those in found.items() if 3 <= len(those) <= 8 and {*those} <= {*TONES}}


def tones(speakers: list[str]) -> Samples:
    """Half a second in which each speaker plays its tone, (frames, channels)."""
    times = np.arange(RATE // 2) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * TONES[name] * times) for name in speakers], 1).astype(np.float32)


def made(ffmpeg: Path, layout: str, path: Path, *options: str) -> Path:
    """Encode the tones of a layout with ffmpeg."""
    those = layouts(ffmpeg)[layout]
    raw = ["-f", "f32le", "-ar", str(RATE), "-ac", str(len(those)), "-ch_layout", layout, "-i", "-"]
    command = [ffmpeg, "-v", "error", "-y", *raw, *options, path]
    subprocess.run(command, input=tones(those).tobytes(), check=True)
    return path


def heard(samples: Samples, speakers: list[str]) -> dict[str, str]:
    """Speaker -> the speaker whose tone it plays."""
    spectrum = np.abs(np.fft.rfft(samples[RATE // 10 : RATE // 10 + RATE // 4], axis=0))
    loud = {
        name: (peak * 4, height)
        for name, peak, height in zip(speakers, spectrum.argmax(0), spectrum.max(0), strict=True)
    }
    tone = {hertz: name for name, hertz in TONES.items()}
    return {name: tone.get(int(hertz), f"{hertz} Hz") if height > 300 else "" for name, (hertz, height) in loud.items()}


def played(ffmpeg: Path, path: Path) -> dict[str, str]:
    """Speaker -> the speaker whose tone it plays, as ffmpeg decodes a file."""
    command = [ffmpeg, "-hide_banner", "-nostdin", "-i", path, "-ar", str(RATE), "-f", "f32le", "-"]
    result = subprocess.run(command, capture_output=True, check=True)
    layout = re.search(r"Stream #0:0.* Hz, ([^,]*)", result.stderr.decode())
    assert layout
    listed = re.fullmatch(r"\d channels \((.*)\)", layout[1])
    speakers = listed[1].split("+") if listed else layouts(ffmpeg)[layout[1]]
    return heard(np.frombuffer(result.stdout, np.float32).reshape(-1, len(speakers)), speakers)


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
@pytest.mark.parametrize("form", ["wav", "flac"])
def test_a_tone_comes_from_the_speaker_that_it_came_from(
    stemsplit: Command, ffmpeg: Path, tmp_path: Path, name: str, form: str
) -> None:
    (tmp_path / "songs").mkdir()
    options = ["-c:a", CODECS[name]] if name in CODECS else []
    songs = [made(ffmpeg, layout, tmp_path / "songs" / f"{layout}{name[1:]}", *options) for layout in SONGS[name]]
    assert stemsplit(*songs, "--format", form, *MIXTURE).status == 0
    for song in songs:
        found = played(ffmpeg, tmp_path / "out" / song.stem / f"all.{form}")
        assert found == played(ffmpeg, song)
        assert all(found.values())


def test_ogg_has_its_own_order(stemsplit: Command, ffmpeg: Path, tmp_path: Path) -> None:
    songs = [made(ffmpeg, layout, tmp_path / f"{layout}.wav") for layout in [*VORBIS, *SAME]]
    assert stemsplit(*songs, "--format", "ogg", *MIXTURE).status == 0
    for song in songs:
        found = played(ffmpeg, tmp_path / "out" / song.stem / "all.ogg")
        assert all(found.values())
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
    songs = [made(ffmpeg, layout, tmp_path / f"{layout}.wav") for layout in layouts(ffmpeg)]
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
    heard_by = torch.cat([mixtures.transpose(0, 1) for mixtures in given])
    pairs = {tuple(heard(pair.numpy().T, ["left", "right"]).values()) for pair in heard_by.unflatten(0, (-1, 2))}
    speakers = layouts(ffmpeg)[layout]
    sides = {name: name[:-1] + "R" if name.endswith("L") else name for name in speakers if not name.endswith("R")}
    sides = {name: "FRC" if name == "FLC" else partner for name, partner in sides.items() if name != "FRC"}
    assert pairs == {*sides.items()}


def test_what_ogg_makes_of_six_unknown_channels_is_said(stemsplit: Command, tmp_path: Path) -> None:
    song = tmp_path / "song.wav"
    soundfile.write(song, tones(["FL", "FR", "FC", "LFE", "BL", "BR"]), RATE)
    assert "the fourth keeps only low frequencies" in stemsplit(song, "--format", "ogg", *MIXTURE).err
    assert "low frequencies" not in stemsplit(song, "--format", "flac", *MIXTURE).err

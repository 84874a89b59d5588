"""Which of several audio tracks is read, and when its sound is played."""

import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Reader
from stemsplit.errors import AudioError
from tests.conftest import noise

RATE = 48_000
PITCHES = (500, 1_000, 2_000)
Make = Callable[..., Path]


@pytest.fixture
def film(tmp_path: Path, ffmpeg: Path) -> Make:
    """Makes a video whose audio tracks each hold a tone of another pitch."""

    def make(name: str, options: Sequence[str] = (), tracks: int = 3, channels: int = 2, late: float = 0.0) -> Path:
        command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=size=32x32:rate=25:duration=2"]
        for number in range(tracks):
            tone = 0.1 * np.sin(2 * np.pi * PITCHES[number] * np.arange(RATE) / RATE)
            soundfile.write(tmp_path / f"{number}.wav", np.repeat(tone[:, None], channels, 1), RATE, "PCM_16")
            command += ["-itsoffset", str(late), "-i", tmp_path / f"{number}.wav"]
        command += [word for number in range(tracks + 1) for word in ("-map", str(number))]
        codec = "alac" if name.endswith(("mp4", "mov")) else "flac"
        subprocess.run([*command, "-c:v", "mpeg4", "-c:a", codec, *options, tmp_path / name], check=True)
        return tmp_path / name

    return make


NAMED = [
    "-metadata:s:a:0",
    "title=Microphone",
    "-metadata:s:a:0",
    "language=eng",
    "-disposition:a:0",
    "0",
    "-metadata:s:a:1",
    "title=Music",
    "-metadata:s:a:1",
    "language=deu",
    "-disposition:a:1",
    "default",
    "-metadata:s:a:2",
    "title=Game",
    "-metadata:s:a:2",
    "language=eng",
    "-disposition:a:2",
    "0",
]


def samples(path: Path, track: str = "") -> np.ndarray:
    with Reader(path, track=track) as reader:
        return np.concatenate(list(reader), 1)


def pitch(sound: np.ndarray) -> int:
    """The strongest pitch of the first channel's second half, in Hz."""
    half = sound[0, -RATE // 2 :]
    return round(np.abs(np.fft.rfft(half)).argmax() * RATE / len(half))


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
def test_of_several_tracks_the_default_one_is_read_and_that_is_said(film: Make, name: str) -> None:
    path = film(name, NAMED)
    assert pitch(samples(path)) == PITCHES[1]
    with Reader(path) as reader:
        assert any("3 audio tracks" in note and "2 (Music, deu)" in note and "--track" in note for note in reader.notes)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4"])
@pytest.mark.parametrize(
    ("track", "number"),
    [("1", 0), ("3", 2), ("Game", 2), ("microphone", 0), ("deu", 1), (" Music ", 1)],
)
def test_a_track_is_chosen_by_number_language_or_title(film: Make, name: str, track: str, number: int) -> None:
    path = film(name, NAMED)
    assert pitch(samples(path, track)) == PITCHES[number]
    with Reader(path, track=track) as reader:
        assert not reader.notes


@pytest.mark.parametrize(
    ("track", "told"),
    [("4", "no audio track '4'"), ("fra", "Microphone"), ("eng", "tracks 1 and 3"), ("0", "no audio")],
)
def test_a_track_that_is_not_there_is_refused_with_those_that_are(film: Make, track: str, told: str) -> None:
    with pytest.raises(AudioError, match=told):
        Reader(film("a.mkv", NAMED), track=track)


def test_a_file_with_one_track_has_no_second(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1_000), RATE)
    assert samples(tmp_path / "a.wav", "1").shape == (2, 1_000)
    with pytest.raises(AudioError, match="no audio track '2'; its tracks: 1"):
        Reader(tmp_path / "a.wav", track="2")


def test_two_tracks_of_one_channel_may_be_left_and_right(film: Make) -> None:
    with Reader(film("a.mov", tracks=2, channels=1)) as reader:
        assert any("left and right" in note for note in reader.notes)


def test_a_film_without_sound_says_so(film: Make) -> None:
    with pytest.raises(AudioError, match="it has no audio track"):
        Reader(film("a.mkv", tracks=0))


@pytest.mark.parametrize("late", [0.25, 0.5, 1.001])
@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov"])
def test_sound_that_starts_late_stays_there(film: Make, name: str, late: float) -> None:
    """To the sample, where the container can say it: Matroska counts milliseconds."""
    sound = samples(film(name, tracks=1, late=late))
    silent = int(np.flatnonzero(np.abs(sound[0]) > 1e-3)[0])
    assert abs(silent - late * RATE) <= (RATE // 1_000 if name == "a.mkv" else 3)
    assert abs(sound.shape[1] - (late + 1) * RATE) <= RATE // 1_000


def test_sound_before_the_picture_is_not_late(film: Make) -> None:
    assert samples(film("a.mkv", tracks=1)).shape[1] == RATE


def test_a_hole_is_silence(tmp_path: Path, ffmpeg: Path) -> None:
    """As a player plays it: what comes after the hole does not move."""
    soundfile.write(tmp_path / "a.wav", noise(2 * RATE), RATE, "PCM_16")
    for number, part in enumerate((["-t", "1"], ["-ss", "1"])):
        command = [ffmpeg, "-loglevel", "error", *part, "-i", tmp_path / "a.wav", "-c:a", "flac"]
        subprocess.run([*command, tmp_path / f"{number}.mkv"], check=True)
    (tmp_path / "list").write_text("file 0.mkv\nduration 1.5\nfile 1.mkv\n")
    command = [ffmpeg, "-loglevel", "error", "-f", "concat", "-i", tmp_path / "list", "-c", "copy"]
    subprocess.run([*command, tmp_path / "hole.mkv"], check=True)
    sound, true = samples(tmp_path / "hole.mkv"), soundfile.read(tmp_path / "a.wav", dtype="float32")[0].T
    assert abs(sound.shape[1] - 2.5 * RATE) <= RATE // 1_000
    assert np.array_equal(sound[:, : RATE - 100], true[:, : RATE - 100])
    assert not sound[:, RATE + 100 : int(1.5 * RATE) - 100].any()
    assert np.array_equal(sound[:, -RATE + 100 :], true[:, -RATE + 100 :])


def test_a_track_without_holes_is_read_as_it_is(tmp_path: Path, ffmpeg: Path) -> None:
    soundfile.write(tmp_path / "a.wav", noise(RATE), RATE, "PCM_16")
    command = [ffmpeg, "-loglevel", "error", "-i", tmp_path / "a.wav", "-c:a", "flac", tmp_path / "a.mkv"]
    subprocess.run(command, check=True)
    assert np.array_equal(samples(tmp_path / "a.mkv"), soundfile.read(tmp_path / "a.wav", dtype="float32")[0].T)

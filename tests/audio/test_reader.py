"""Reading songs: what comes out, and what is said of files that give nothing."""

import errno
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import IO

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Reader, examine
from stemsplit.errors import AudioError
from tests.conftest import DATA, noise

Song = Callable[..., Path]


def whole(path: Path) -> np.ndarray:
    with Reader(path) as reader:
        return np.concatenate(list(reader), 1)


@pytest.mark.parametrize(
    ("name", "subtype", "off_by"),
    [
        ("a.wav", "FLOAT", 0),
        ("a.wav", "PCM_24", 2**-23),
        ("a.flac", "PCM_16", 2**-15),
        ("a.aiff", "PCM_24", 2**-23),
        ("a.w64", "FLOAT", 0),
        ("a.caf", "FLOAT", 0),
        ("a.UPPER.WAV", "FLOAT", 0),
        ("a.ogg", "VORBIS", 0.5),
        ("a.mp3", "MPEG_LAYER_III", 0.5),
    ],
)
def test_reads_what_was_written(song: Song, name: str, subtype: str, off_by: float) -> None:
    path = song(name, frames=40_000, subtype=subtype)
    samples = whole(path)
    assert samples.dtype == np.float32
    assert samples.shape == (2, 40_000)
    assert np.abs(samples.T - noise(40_000)).max() <= off_by


def test_reads_opus(song: Song) -> None:
    """At the rate that opus itself has."""
    found = examine(song("a.opus", frames=48_000, rate=48_000, format="OGG", subtype="OPUS"))
    assert (found.sample_rate, found.channels, found.frames) == (48_000, 2, 48_000)


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [8_000, 44_100, 48_000, 96_000])
def test_tells_the_layout_as_it_is(song: Song, channels: int, rate: int) -> None:
    found = examine(song("a.flac", frames=1_234, channels=channels, rate=rate))
    assert (found.sample_rate, found.channels, found.frames) == (rate, channels, 1_234)
    assert found.seconds == 1_234 / rate


@pytest.mark.parametrize("name", ["with space.wav", "[live] 100%.wav", "дуетñ 音.wav", "-o.wav", "'quoted\".wav"])
def test_any_name_will_do(song: Song, name: str) -> None:
    assert examine(song(name)).frames == 22_050


def test_ffmpeg_reads_what_libsndfile_does_not(song: Song, ffmpeg: Path, tmp_path: Path) -> None:
    """An m4a comes in with its own rate and channels, and as the sound that it is."""
    source = song("a.wav", frames=44_100, rate=48_000)
    target = tmp_path / "-odd [name].m4a"
    command = [ffmpeg, "-loglevel", "error", "-i", source, "-b:a", "256k", f"file:{target}"]
    subprocess.run(command, check=True)
    found = examine(target)
    assert (found.sample_rate, found.channels) == (48_000, 2)
    assert abs(found.frames - 44_100) <= 3_000
    samples = whole(target)[:, :40_000]
    # White noise: shifted by a sample, it would be unlike.
    assert np.corrcoef(samples[0], noise(44_100)[:40_000, 0])[0, 1] > 0.8


@pytest.mark.usefixtures("no_ffmpeg")
def test_without_ffmpeg_it_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "song.m4a"
    path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    with pytest.raises(AudioError, match=r"cannot read .*song\.m4a \(format not recognised\); install ffmpeg"):
        Reader(path)


@pytest.mark.parametrize("with_ffmpeg", [True, False])
def test_text_is_no_song(tmp_path: Path, request: pytest.FixtureRequest, with_ffmpeg: bool) -> None:
    request.getfixturevalue("ffmpeg" if with_ffmpeg else "no_ffmpeg")
    path = tmp_path / "text.flac"
    path.write_text("la la la " * 100)
    with pytest.raises(AudioError, match=r"cannot read .*text\.flac"):
        Reader(path)


def test_a_video_without_sound_is_no_song(tmp_path: Path, ffmpeg: Path) -> None:
    path = tmp_path / "silent.mp4"
    command = [ffmpeg, "-loglevel", "error", "-f", "lavfi", "-i", "testsrc=duration=0.2:size=64x64:rate=10", path]
    subprocess.run(command, check=True)
    with pytest.raises(AudioError, match=r"silent\.mp4"):
        Reader(path)


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda _: None, "there is no such file"),
        (lambda path: path.touch(), "the file is empty"),
        (lambda path: path.mkdir(), "it is a folder"),
    ],
    ids=["missing", "empty", "folder"],
)
def test_nothing_to_read(tmp_path: Path, make: Callable[[Path], None], complaint: str) -> None:
    make(tmp_path / "a.flac")
    with pytest.raises(AudioError, match=complaint):
        Reader(tmp_path / "a.flac")


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize(
    "name", ["lithium.flac", "cut.wav", "cut.mp3", "cut.aiff", "cut.w64", "cut.au", "cut.caf", "cut.ogg"]
)
def test_a_cut_off_song_is_told_from_a_whole_one(song: Song, tmp_path: Path, name: str) -> None:
    path = DATA / name if name == "lithium.flac" else song(f"whole{Path(name).suffix}", frames=200_000)
    assert examine(path).frames
    half = tmp_path / name
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(AudioError, match="cut off"):
        examine(half)


def test_an_mp3_that_does_not_tell_its_length_is_read_to_its_end(tmp_path: Path, ffmpeg: Path) -> None:
    """Loud first, then quiet, at a variable rate: a guess from its first frames would be far too short."""
    loud_then_quiet = noise(400_000)
    loud_then_quiet[150_000:] *= 0.001
    soundfile.write(tmp_path / "a.wav", loud_then_quiet, 44_100, subtype="FLOAT")
    command = [ffmpeg, "-loglevel", "error", "-i", tmp_path / "a.wav", "-q:a", "2", "-write_xing", "0"]
    subprocess.run([*command, tmp_path / "a.mp3"], check=True)
    assert soundfile.info(tmp_path / "a.mp3").frames < 300_000
    assert abs(examine(tmp_path / "a.mp3").frames - 400_000) < 4_000


def test_an_mp3_with_a_large_picture(song: Song, tmp_path: Path) -> None:
    plain = song("a.mp3", frames=50_000)
    size = 400_000
    tag = b"ID3\x03\0\0" + bytes(size >> shift & 0x7F for shift in (21, 14, 7, 0)) + bytes(size)
    (tmp_path / "b.mp3").write_bytes(tag + plain.read_bytes())
    assert examine(tmp_path / "b.mp3").frames == 50_000


def test_an_mp3_with_junk_before_its_first_frame(song: Song, tmp_path: Path) -> None:
    (tmp_path / "b.mp3").write_bytes(b"ID3\x03\0\0\0\0\0\x0a" + bytes(10 + 3_000) + song("a.mp3", 400_000).read_bytes())
    assert examine(tmp_path / "b.mp3").frames == 400_000


def test_a_disk_that_fails_in_the_midst_of_an_mp3_is_noticed(song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another thread reads it, whose errors nobody would see."""
    path = song("a.mp3", frames=100_000)

    def half(file: IO[bytes], pipe: IO[bytes]) -> None:
        pipe.write(file.read(path.stat().st_size // 2))
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(shutil, "copyfileobj", half)
    with pytest.raises(AudioError, match=r"a\.mp3 \(input/output error\)"):
        examine(path)


def test_a_flac_that_does_not_tell_its_length(song: Song, tmp_path: Path) -> None:
    """As recorders write it: no total, no digest."""
    data = bytearray(song("a.flac", frames=100_000).read_bytes())
    info = data.index(b"fLaC") + 8
    data[info + 13] &= 0xF0
    data[info + 14 : info + 34] = bytes(20)
    (tmp_path / "b.flac").write_bytes(data)
    assert examine(tmp_path / "b.flac").frames == 100_000


@pytest.mark.usefixtures("no_ffmpeg")
@pytest.mark.parametrize("name", ["photo.raw", "photo.jpg", "noextension"])
def test_what_is_no_audio_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\xff\xd8\xff\xe0" + bytes(5_000))
    with pytest.raises(AudioError, match="format not recognised"):
        Reader(tmp_path / name)


def test_a_pipe_is_no_song(tmp_path: Path) -> None:
    """It could be read only once, and songs are read twice."""
    import os

    if not hasattr(os, "mkfifo"):
        pytest.skip("this system has no named pipes")
    os.mkfifo(tmp_path / "pipe.wav")
    with pytest.raises(AudioError, match="not a regular file"):
        Reader(tmp_path / "pipe.wav")


def test_a_wav_written_to_a_pipe_is_whole(song: Song, tmp_path: Path) -> None:
    """Its header promises as much as fits into 32 bits; that is no damage."""
    data = bytearray(song("a.wav", frames=5_000, subtype="PCM_16").read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = b"\xff" * 4
    data[4:8] = b"\xff" * 4
    path = tmp_path / "piped.wav"
    path.write_bytes(data)
    assert examine(path).frames == 5_000


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_a_song_that_holds_no_number_is_refused(tmp_path: Path, value: float) -> None:
    samples = noise(44_100)
    samples[22_050, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, 44_100, subtype="FLOAT")
    with pytest.raises(AudioError, match=r"a sample at 0\.500 s is not a number or infinite\); export it anew, or set"):
        examine(tmp_path / "a.wav")


def test_a_song_without_samples_is_refused(song: Song) -> None:
    with pytest.raises(AudioError, match="it has no samples"):
        examine(song("a.wav", frames=0))


def test_one_sample_is_a_song(song: Song) -> None:
    assert examine(song("a.wav", frames=1)).frames == 1

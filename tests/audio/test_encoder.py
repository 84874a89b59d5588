"""Writing m4a: the length and the place of the song, its speakers, and what happens when ffmpeg does not finish."""

import io
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stemsplit.audio import Format, Reader, Writer, examine, read_tags
from stemsplit.audio.containers.mp4 import played
from stemsplit.audio.formats import AAC_RATES
from stemsplit.errors import AudioError
from tests.conftest import Samples, noise

M4A = Format("m4a")


def written(
    path: Path, samples: Samples, rate: int = 44_100, block: int = 10_007, bitrate: str | None = None
) -> Writer:
    """Write samples (c, t)."""
    writer = Writer(path, Format("m4a", None, bitrate), rate, *samples.shape, {"title": "Дует = 1; -x"})
    try:
        for start in range(0, samples.shape[1], block):
            writer.write(samples[:, start : start + block])
        writer.close()
    finally:
        writer.abandon()
    return writer


def decoded(path: Path, ffmpeg: Path, channels: int) -> Samples:
    """Decode with ffmpeg as it is: (c, t)."""
    command = [ffmpeg, "-loglevel", "error", "-i", path, "-f", "f32le", "-"]
    data = subprocess.run(command, capture_output=True, check=True).stdout
    return np.frombuffer(data, "<f4").reshape(-1, channels).T


@pytest.mark.parametrize("frames", [1, 1_023, 1_024, 1_025, 100_001])
def test_it_plays_as_long_as_the_song_and_in_its_place(tmp_path: Path, ffmpeg: Path, frames: int) -> None:
    """A shift by a single sample of noise would leave no likeness at all."""
    samples = noise(frames).T
    path = tmp_path / "a.m4a"
    written(path, samples)
    found = decoded(path, ffmpeg, 2)
    assert 0 <= found.shape[1] - frames < 1_024, "older versions of ffmpeg decode the last frame to its end"
    found = found[:, :frames]
    with path.open("rb") as file:
        assert played(file, 44_100) == (1_024, frames)
    if frames > 100_000:
        assert 10 * np.log10(np.square(samples).sum() / np.square(samples - found).sum()) > 8


@pytest.mark.parametrize("rate", AAC_RATES)
def test_it_has_the_song_s_sample_rate(tmp_path: Path, ffmpeg: Path, rate: int) -> None:
    assert ffmpeg
    samples = noise(rate // 2, 1).T
    written(tmp_path / "a.m4a", samples, rate)
    found = examine(tmp_path / "a.m4a")
    assert (found.sample_rate, found.channels) == (rate, 1)
    assert M4A.refusal(rate, 1) == ""


SPEAKERS = ("", "FC", "FL FR", "FL FR FC", "FL FR BL BR", "FL FR FC BL BR", "FL FR FC LFE BL BR")


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 6])
def test_a_channel_comes_out_of_its_speaker(tmp_path: Path, ffmpeg: Path, channels: int) -> None:
    """Each speaker of the order in a WAV file is asked for by its name."""
    time_ = np.arange(44_100) / 44_100
    tones = [60 if SPEAKERS[channels].split()[index] == "LFE" else 300 + 100 * index for index in range(channels)]
    samples = np.stack([0.3 * np.sin(2 * np.pi * tone * time_) for tone in tones]).astype(np.float32)
    written(tmp_path / "a.m4a", samples)
    for name, tone in zip(SPEAKERS[channels].split(), tones, strict=True):
        command = [ffmpeg, "-loglevel", "error", "-i", tmp_path / "a.m4a", "-af", f"pan=mono|c0={name}"]
        data = subprocess.run([*command, "-f", "f32le", "-"], capture_output=True, check=True).stdout
        spectrum = np.abs(np.fft.rfft(np.frombuffer(data, "<f4")[:44_100]))
        assert int(spectrum.argmax()) == tone, name
        assert spectrum.max() > 4_000, name


@pytest.mark.parametrize("channels", [7, 8])
def test_no_channel_of_many_is_lost(tmp_path: Path, ffmpeg: Path, channels: int) -> None:
    time_ = np.arange(44_100) / 44_100
    tones = [60 if index == 3 else 300 + 100 * index for index in range(channels)]
    written(tmp_path / "a.m4a", np.stack([0.3 * np.sin(2 * np.pi * tone * time_) for tone in tones]).astype(np.float32))
    spectra = np.abs(np.fft.rfft(decoded(tmp_path / "a.m4a", ffmpeg, channels)[:, :44_100]))
    assert sorted(spectra.argmax(1).tolist()) == sorted(tones)
    assert spectra.argmax(1)[:4].tolist() == tones[:4]


@pytest.mark.usefixtures("ffmpeg")
def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    """At another time, in blocks of another size."""
    samples = noise(60_000).T
    path = tmp_path / "a.m4a"
    written(path, samples)
    first = path.read_bytes()
    time.sleep(1.1)
    written(path, samples, block=999)
    assert path.read_bytes() == first


@pytest.mark.usefixtures("ffmpeg")
def test_a_tag_is_kept_whatever_it_says(tmp_path: Path) -> None:
    written(tmp_path / "a.m4a", noise(5_000).T)
    assert read_tags(tmp_path / "a.m4a") == {"title": ("Дует = 1; -x",)}


@pytest.mark.usefixtures("ffmpeg")
def test_a_bitrate_is_about_kept(tmp_path: Path) -> None:
    samples = noise(5 * 44_100).T
    for kbit in (64, 128, 192):
        written(tmp_path / "a.m4a", samples, bitrate=str(kbit))
        assert (tmp_path / "a.m4a").stat().st_size * 8 / 5_000 == pytest.approx(kbit, rel=0.15)


@pytest.mark.usefixtures("ffmpeg")
def test_what_is_too_loud_is_counted(tmp_path: Path) -> None:
    samples = noise(5_000).T
    samples[1, [100, 200]] = 3, -2
    writer = written(tmp_path / "a.m4a", samples)
    assert (writer.clipped, writer.peak, writer.exact) == (2, 3, False)
    assert writer.size == (tmp_path / "a.m4a").stat().st_size


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize(
    ("bitrate", "rate", "channels", "complaint"),
    [
        (None, 44_100, 9, "m4a holds at most 8 channels, not 9; use wav"),
        (None, 192_000, 2, "m4a cannot hold a sample rate of 192000 Hz; use wav"),
        ("600", 44_100, 2, "m4a with 2 channels at 44100 Hz cannot have 600 kbit/s; the nearest is 529"),
        ("8", 44_100, 2, "the nearest is 32"),
        ("V0", 44_100, 2, "m4a has no quality V0"),
        ("256", 44_100, 2, ""),
    ],
)
def test_what_it_cannot_hold_is_known_beforehand(bitrate: str | None, rate: int, channels: int, complaint: str) -> None:
    reason = Format("m4a", None, bitrate).refusal(rate, channels)
    assert complaint in reason
    assert bool(complaint) == bool(reason)


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("bits", ["16", "24"])
@pytest.mark.parametrize("frames", [1, 4_095, 4_096, 4_097, 50_001])
def test_with_a_bit_depth_it_holds_every_bit(tmp_path: Path, bits: str, frames: int) -> None:
    """What comes out is what `write` said that the file holds."""
    path = tmp_path / "a.m4a"
    writer = Writer(path, Format("m4a", bits), 44_100, 2, frames, {"title": "a"})
    stored = writer.write(noise(frames).T)
    writer.close()
    with Reader(path) as reader:
        assert np.array_equal(np.concatenate(list(reader), 1), stored)
        assert reader.format == Format("flac", bits)
    assert writer.exact
    assert read_tags(path) == {"title": ("a",)}


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize(
    ("form", "channels", "complaint"),
    [
        (Format("m4a", "32f"), 2, "m4a holds 16 or 24 bits (as ALAC), not floating point"),
        (Format("m4a", "24", "256"), 2, "has no bitrate; leave out --bit-depth or --bitrate"),
        (Format("m4a", "24"), 6, "holds at most 2 channels, not 6; use wav or flac"),
        (Format("m4a", "24"), 1, ""),
    ],
)
def test_what_lossless_m4a_cannot_hold_is_known_beforehand(form: Format, channels: int, complaint: str) -> None:
    reason = form.refusal(44_100, channels)
    assert complaint in reason
    assert bool(complaint) == bool(reason)


@pytest.mark.usefixtures("no_ffmpeg")
def test_without_ffmpeg_it_says_what_to_do(tmp_path: Path) -> None:
    advice = "install ffmpeg, or choose --format mp3, ogg or flac"
    assert advice in M4A.contradiction
    with pytest.raises(AudioError, match="ffmpeg was not found"):
        Writer(tmp_path / "a.m4a", M4A, 44_100, 2, 100)


@pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")
@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("where", ["in the midst", "at the end"])
def test_an_ffmpeg_that_is_killed_is_noticed(tmp_path: Path, where: str) -> None:
    writer = Writer(tmp_path / "a.m4a", M4A, 44_100, 2, 300_000)
    try:
        writer.write(noise(100_000).T)
        writer.file.process.send_signal(signal.SIGSTOP if where == "at the end" else signal.SIGKILL)
        if where == "at the end":
            writer.file.process.kill()
        with pytest.raises(AudioError, match=r"ffmpeg was ended by signal 9"):  # noqa: PT012  # which does not matter
            writer.write(noise(1_000_000).T)
            writer.close()
    finally:
        writer.abandon()


@pytest.mark.usefixtures("ffmpeg")
def test_a_disk_that_fills_up_is_noticed(tmp_path: Path) -> None:
    """A limit on the size of files fails writes in mid-file, as a full disk does; ffmpeg has the limit, too."""
    resource = pytest.importorskip("resource", reason="limits on files are Unix's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(AudioError, match=r"a\.m4a \(ffmpeg (failed|was ended by signal)"):
            written(tmp_path / "a.m4a", noise(400_000).T)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("damage", ["cut off", "another length", "no edits"])
def test_a_file_that_does_not_play_as_long_is_an_error(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever happened to it: it is decoded before it counts as written."""
    path = tmp_path / "a.m4a"
    writer = Writer(path, M4A, 44_100, 2, 50_000)
    writer.write(noise(50_000).T)
    finish = writer.file._check_end

    def damaged() -> None:
        finish()
        monkeypatch.setattr(writer.file, "_check_end", finish)
        data = path.read_bytes()
        edits = data.index(b"elst")
        if damage == "cut off":
            os.truncate(path, len(data) // 2)
        elif damage == "another length":
            path.write_bytes(data[: edits + 12] + (40_000).to_bytes(4, "big") + data[edits + 16 :])
        else:
            path.write_bytes(data.replace(b"elst", b"free"))

    monkeypatch.setattr(writer.file, "_check_end", damaged)
    with pytest.raises(AudioError, match=r"holds \d+ of 50000 samples|ffmpeg failed"):
        writer.close()
    writer.abandon()


def test_a_file_that_is_no_m4a_plays_nothing() -> None:
    for data in (
        b"",
        bytes(100),
        b"\0\0\0\x08moov" * 3,
        b"\0\0\0\x01moov\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\xff" * 64,
    ):
        assert played(io.BytesIO(data), 44_100) == (0, 0)


INTERRUPTED = """
import os, signal, sys
from pathlib import Path
from stemsplit.audio import Format, Writer
from tests.conftest import noise
signal.signal(signal.SIGINT, lambda *_: None)
writer = Writer(Path(sys.argv[1]), Format("m4a"), 44_100, 2, 200_000)
writer.write(noise(100_000).T)
os.killpg(0, signal.SIGINT)
writer.write(noise(100_000).T)
writer.close()
"""


@pytest.mark.skipif(os.name != "posix", reason="this system has no process groups")
@pytest.mark.usefixtures("ffmpeg")
def test_ctrl_c_is_for_us_to_act_upon(tmp_path: Path) -> None:
    """A terminal sends it to ffmpeg too, which would end the file there."""
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path / "a.m4a")]
    subprocess.run(command, check=True, start_new_session=True)
    with (tmp_path / "a.m4a").open("rb") as file:
        assert played(file, 44_100) == (1_024, 200_000)


@pytest.mark.usefixtures("ffmpeg")
def test_an_abandoned_file_leaves_no_ffmpeg_behind(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.m4a", M4A, 44_100, 2, 100_000)
    writer.write(noise(100_000).T)
    writer.abandon()
    writer.abandon()
    assert writer.file.process.returncode is not None


@pytest.mark.usefixtures("ffmpeg")
def test_a_song_in_m4a_gives_stems_in_m4a(tmp_path: Path) -> None:
    written(tmp_path / "a.m4a", noise(30_000).T)
    with Reader(tmp_path / "a.m4a") as reader:
        assert reader.format == M4A

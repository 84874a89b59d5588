"""Files that only look like recordings: they are refused by name, and never followed."""

import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Reader, examine
from stemsplit.audio.kinds import is_audio
from stemsplit.errors import AudioError
from tests.conftest import noise


@pytest.mark.parametrize("has_ffmpeg", [True, False])
@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        (
            "a.mp3",
            b"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\nfile:///secret.ts\n#EXT-X-ENDLIST\n",
            "list of other",
        ),
        ("a.m4a", b"\xef\xbb\xbf#EXTM3U\nsong.wav\n", "list of other files"),
        ("a.pls", b"[playlist]\nFile1=song.wav\n", "list of other files"),
        ("a.wav", b"ffconcat version 1.0\nfile secret.wav\n", "list of other files"),
        ("a.mp4", b'<?xml version="1.0"?>\n<MPD xmlns="urn:mpeg:dash:schema:mpd:2011">', "list of other files"),
        ("a.cue", b'REM GENRE Rock\nPERFORMER "X"\nFILE "song.wav" WAVE\n', "cue sheet"),
        ("a.zip", b"PK\x03\x04" + bytes(100), "archive"),
        ("a.aax", b"\0\0\0\x20ftypaax " + bytes(100), "copy-protected"),
        ("a.mp3", b"<!DOCTYPE html><html><head><title>Log in</title>", "begins with '<!DOCTYPE html>"),
        ("a.flac", b"version https://git-lfs.github.com/spec/v1\noid sha256:1234\n", "begins with 'version https"),
    ],
)
def test_it_is_said_what_a_file_is_instead(
    tmp_path: Path, request: pytest.FixtureRequest, name: str, data: bytes, told: str, has_ffmpeg: bool
) -> None:
    request.getfixturevalue("ffmpeg" if has_ffmpeg else "no_ffmpeg")
    (tmp_path / name).write_bytes(data)
    with pytest.raises(AudioError, match=told):
        examine(tmp_path / name)


def test_dts_in_a_wav_is_not_split_as_noise(tmp_path: Path, ffmpeg: Path) -> None:
    """As on a DTS disc: what seem to be samples is compressed sound."""
    tone = 0.2 * np.sin(2 * np.pi * 440 * np.arange(88_200) / 44_100)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, tone], 1), 44_100)
    command = [ffmpeg, "-loglevel", "error", "-i", tmp_path / "tone.wav", "-c:a", "dca", "-strict", "-2"]
    subprocess.run([*command, "-b:a", "1411200", "-f", "dts", tmp_path / "a.dts"], check=True)
    data = np.frombuffer((tmp_path / "a.dts").read_bytes(), ">i2")
    soundfile.write(tmp_path / "disc.wav", data[: len(data) // 2 * 2].reshape(-1, 2), 44_100, "PCM_16")
    try:
        with Reader(tmp_path / "disc.wav") as reader:
            sound = np.concatenate(list(reader), 1)[0]
    except AudioError as error:
        assert "DTS" in str(error)  # noqa: PT017  # either will do, by the version of ffmpeg
        return
    spectrum = np.abs(np.fft.rfft(sound[:44_100])) ** 2
    assert spectrum[435:446].sum() > 0.9 * spectrum.sum()


@pytest.mark.usefixtures("no_ffmpeg")
def test_noise_is_not_taken_for_dts(tmp_path: Path) -> None:
    sound = np.random.default_rng(0).integers(-(1 << 15), 1 << 15, (200_000, 2), dtype=np.int16)
    soundfile.write(tmp_path / "a.wav", sound, 44_100, "PCM_16")
    assert examine(tmp_path / "a.wav").frames == 200_000


@pytest.mark.parametrize("rate", [1, 900, 4_000_000])
def test_a_rate_that_no_recording_has_is_refused(tmp_path: Path, rate: int) -> None:
    soundfile.write(tmp_path / "a.wav", noise(2_000), rate)
    with pytest.raises(AudioError, match=f"its header says {rate} Hz"):
        examine(tmp_path / "a.wav")


def test_opus_is_read_at_its_own_rate_whatever_was_encoded(tmp_path: Path, ffmpeg: Path) -> None:
    """The rate in its header is that of the sound before; a player plays all Opus at 48 kHz (RFC 7845, 5.1)."""
    tone = 0.2 * np.sin(2 * np.pi * 9_000 * np.arange(48_000) / 48_000)
    soundfile.write(tmp_path / "tone.wav", np.stack([tone, tone], 1), 48_000)
    command = [ffmpeg, "-loglevel", "error", "-i", tmp_path / "tone.wav", "-c:a", "libopus", tmp_path / "a.opus"]
    subprocess.run(command, check=True)
    data = bytearray((tmp_path / "a.opus").read_bytes())
    from stemsplit.audio.containers.ogg import checksum

    head, end = data.index(b"OpusHead"), data.index(b"OggS", 4)
    data[head + 12 : head + 16] = (8_000).to_bytes(4, "little")
    data[22:26] = bytes(4)
    data[22:26] = checksum(data[:end]).to_bytes(4, "little")
    (tmp_path / "b.opus").write_bytes(data)
    with Reader(tmp_path / "b.opus") as reader:
        assert reader.sample_rate == 48_000
        sound = np.concatenate(list(reader), 1)[0]
    assert np.abs(np.fft.rfft(sound[:40_000])).argmax() == pytest.approx(9_000 * 40_000 / 48_000, abs=2)


@pytest.mark.parametrize("name", ["a.mp3.part", "b.crdownload", "c.f140.m4a.part", "d.mp3.!qB", "e.wav.tmp"])
def test_an_unfinished_download_in_a_folder_is_not_a_song(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / "a.wav", noise(1_000), 44_100)
    (tmp_path / name).write_bytes((tmp_path / "a.wav").read_bytes())
    assert not is_audio(tmp_path / name)


def test_sound_without_an_end_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: Path) -> None:
    from stemsplit.audio import reader

    monkeypatch.setattr(reader, "LONGEST_SECONDS", 0.5)
    soundfile.write(tmp_path / "a.wav", noise(48_000), 48_000)
    command = [ffmpeg, "-loglevel", "error", "-i", tmp_path / "a.wav", "-c:a", "libopus", "-live", "1"]
    subprocess.run([*command, tmp_path / "a.webm"], check=True)
    with pytest.raises(AudioError, match="it has no end"):
        examine(tmp_path / "a.webm")
    assert examine(tmp_path / "a.webm", 0.0, 0.4).frames == 19_200

"""Writing Opus and AIFF: length, rate, speakers, bitrates, and what they cannot hold."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Format, Reader, Writer, read_tags
from stemsplit.audio.formats import LARGEST_AIFF
from stemsplit.audio.tags import read_all
from stemsplit.errors import AudioError
from tests.conftest import Samples, noise

OPUS, ART = Format("opus"), b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 300
SURROUND = ("FL", "FR", "FC", "LFE", "BL", "BR")


def written(
    path: Path, form: Format, samples: Samples, rate: int = 48_000, speakers: tuple[str, ...] = (), **tags: str
) -> Writer:
    writer = Writer(path, form, rate, *samples.shape, tags, picture=ART if tags else b"", speakers=speakers)
    for start in range(0, samples.shape[1], 10_007):
        writer.write(samples[:, start : start + 10_007])
    writer.close()
    return writer


def read(path: Path) -> tuple[Samples, int, tuple[str, ...]]:
    with Reader(path) as reader:
        return np.concatenate(list(reader), 1), reader.sample_rate, reader.speakers


@pytest.mark.parametrize("frames", [1, 311, 312, 313, 960, 48_001])
@pytest.mark.usefixtures("no_ffmpeg")
def test_an_opus_has_every_sample_in_its_place(tmp_path: Path, frames: int) -> None:
    samples = noise(frames).T
    written(tmp_path / "a.opus", OPUS, samples, title="Song", artist="A")
    found, rate, _ = read(tmp_path / "a.opus")
    assert (found.shape, rate) == (samples.shape, 48_000)
    if frames > 1_000:  # a shift by a single sample of noise would leave no likeness at all
        assert 10 * np.log10(np.square(samples).sum() / np.square(samples - found).sum()) > 5
    assert read_tags(tmp_path / "a.opus") == {"title": ("Song",), "artist": ("A",)}
    assert read_all(tmp_path / "a.opus").picture == ART


@pytest.mark.parametrize("rate", [8_000, 11_025, 44_100, 96_000])
@pytest.mark.usefixtures("no_ffmpeg")
def test_other_rates_become_48_khz_of_the_same_length_and_that_is_said(tmp_path: Path, rate: int) -> None:
    time_ = np.arange(rate + 7) / rate
    samples = np.sin(2 * np.pi * 1_000 * time_, dtype=np.float32)[None] * np.float32(0.5)
    writer = written(tmp_path / "a.opus", OPUS, samples, rate)
    found, at, _ = read(tmp_path / "a.opus")
    assert (at, found.shape[1]) == (48_000, -(-(rate + 7) * 48_000 // rate))
    wanted = 0.5 * np.sin(2 * np.pi * 1_000 * np.arange(found.shape[1]) / 48_000)
    assert np.abs(found[0] - wanted)[4_800:-4_800].max() < 0.05
    assert OPUS.conversion(rate, 1) == f"opus is resampled from {rate} to 48000 Hz"
    assert writer.energy == pytest.approx(np.square(samples).sum(), rel=1e-2)


def test_the_size_of_blocks_is_no_matter_where_a_song_is_resampled(tmp_path: Path) -> None:
    samples, made = noise(60_000).T, []
    for block in (60_000, 999):
        writer = Writer(tmp_path / "a.opus", OPUS, 44_100, 2, 60_000)
        for start in range(0, 60_000, block):
            writer.write(samples[:, start : start + block])
        writer.close()
        made.append((tmp_path / "a.opus").read_bytes())
    assert made[0] == made[1]


@pytest.mark.parametrize("form", [OPUS, Format("aiff", "24")])
def test_a_channel_stays_with_its_speaker(tmp_path: Path, form: Format) -> None:
    time_ = np.arange(48_000) / 48_000
    tones = [60 if name == "LFE" else 300 + 100 * index for index, name in enumerate(SURROUND)]
    samples = np.stack([0.3 * np.sin(2 * np.pi * tone * time_) for tone in tones]).astype(np.float32)
    written(tmp_path / "a", form, samples, speakers=SURROUND)
    found, _, speakers = read(tmp_path / "a")
    assert speakers == SURROUND
    assert np.abs(np.fft.rfft(found)).argmax(1).tolist() == tones


def test_a_bitrate_of_opus_is_about_kept(tmp_path: Path) -> None:
    samples = noise(2 * 48_000).T
    for kbit in (64, 192, 320):
        written(tmp_path / "a.opus", Format("opus", None, str(kbit)), samples)
        assert (tmp_path / "a.opus").stat().st_size * 8 / 2_000 == pytest.approx(kbit, rel=0.15)
    assert "the nearest is 512" in Format("opus", None, "600").refusal(44_100, 2)
    assert "opus has no quality V0" in Format("opus", None, "V0").refusal(44_100, 2)
    assert "opus has no bit depth" in Format("opus", "16").refusal(44_100, 2)


@pytest.mark.parametrize("bits", ["16", "24", "32f"])
def test_an_aiff_holds_every_bit_and_all_tags(tmp_path: Path, bits: str) -> None:
    samples, path = 9 * noise(20_001).T, tmp_path / "a.aiff"
    writer = Writer(path, Format("aiff", bits), 44_100, 2, 20_001, {"title": ("T",), "artist": ("A", "B")}, picture=ART)
    stored = writer.write(samples)
    writer.close()
    assert np.array_equal(read(path)[0], stored)
    assert (writer.clipped > 0) == (bits != "32f")
    assert soundfile.info(path).format == "AIFF"
    assert read_all(path).texts == {"title": ("T",), "artist": ("A", "B")}
    assert read_all(path).picture == ART
    assert Format("aiff").depth == "24"


def test_an_aiff_too_large_for_its_own_sizes_is_refused(tmp_path: Path) -> None:
    frames = LARGEST_AIFF // 8 + 1
    assert "aiff holds at most 2 GB, which its sound exceeds; use wav or flac" in Format("aiff", "32f").refusal(
        44_100, 2, (), frames
    )
    assert Format("aiff", "32f").refusal(44_100, 2, (), frames - 1) == ""
    assert Format.like("AIFF", "PCM_16", 44_100, 2, (), LARGEST_AIFF) == Format("flac", "16")
    with pytest.raises(AudioError, match="at most 2 GB"):
        Writer(tmp_path / "a.aiff", Format("aiff", "32f"), 44_100, 2, frames)

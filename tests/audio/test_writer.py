"""Writing stems: exactly the format asked for, exactly the samples given."""

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import WAV, Format, Writer
from stemsplit.errors import AudioError
from tests.conftest import noise


def written(path: Path, samples: np.ndarray, format_: str, bit_depth: str | None = None, rate: int = 44_100) -> Writer:
    writer = Writer(path, Format(format_, bit_depth), rate, samples.shape[0], samples.shape[1])
    try:
        for start in range(0, samples.shape[1], 10_007):
            writer.write(samples[:, start : start + 10_007])
        writer.close()
    finally:
        writer.abandon()
    return writer


@pytest.mark.parametrize(
    ("format_", "bit_depth", "subtype", "step"),
    [
        ("wav", None, "FLOAT", 0),
        ("wav", "32f", "FLOAT", 0),
        ("wav", "24", "PCM_24", 2**-23),
        ("wav", "16", "PCM_16", 2**-15),
        ("flac", None, "PCM_24", 2**-23),
        ("flac", "16", "PCM_16", 2**-15),
    ],
)
def test_a_file_holds_the_bits_it_says(
    tmp_path: Path, format_: str, bit_depth: str | None, subtype: str, step: float
) -> None:
    samples = noise(44_100).T
    written(tmp_path / "a", samples, format_, bit_depth)
    assert soundfile.info(tmp_path / "a").subtype == subtype
    found, _ = soundfile.read(tmp_path / "a", dtype="float64")
    # Rounding is off by half a step, dither of 16 bits by one more.
    assert np.abs(found.T - samples).max() <= 1.5 * step
    if step:
        levels = found / step
        assert np.array_equal(levels, np.round(levels))
        assert (np.round(levels) % 2 == 1).any()


def test_what_write_returns_is_what_the_file_holds(tmp_path: Path) -> None:
    for format_, bit_depth in [("wav", "16"), ("flac", "24"), ("wav", "32f")]:
        writer = Writer(tmp_path / "a", Format(format_, bit_depth), 44_100, 2, 1_000)
        stored = writer.write(noise(1_000).T)
        writer.close()
        assert np.array_equal(soundfile.read(tmp_path / "a", dtype="float32")[0].T, stored)


def test_dither_keeps_what_is_below_one_bit(tmp_path: Path) -> None:
    """A tone of a third of a 16-bit step survives as a tone; rounding alone would leave silence."""
    tone = (2**-15 / 3 * np.sin(2 * np.pi * 441 * np.arange(88_200) / 44_100)).astype(np.float32)[None]
    written(tmp_path / "a.wav", tone, "wav", "16")
    found, _ = soundfile.read(tmp_path / "a.wav")
    assert abs(found @ tone[0] / (tone[0] @ tone[0]) - 1) < 0.1


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_dither_hides_the_signal_in_the_rounding(tmp_path: Path, channels: int) -> None:
    """The error has no mean, a quarter of a squared step of power and nothing in common with another channel's."""
    level = 2**-15 * np.array([[7.3], [2.5], [-4.0]], np.float32)[:channels]
    samples = np.repeat(level, 100_000, 1)
    writer = Writer(tmp_path / "a", Format("wav", "16"), 44_100, channels, 100_000)
    error = (writer.write(samples).astype(np.float64) - samples) * 2**15
    writer.close()
    assert np.abs(error).max() <= 1.5
    assert np.abs(error.mean(1)).max() < 0.01
    assert np.abs(np.cov(error) - np.eye(channels) / 4).max() < 0.01


@pytest.mark.parametrize(("format_", "bit_depth"), [("wav", None), ("wav", "16"), ("flac", "16"), ("flac", None)])
def test_the_same_samples_give_the_same_file(tmp_path: Path, format_: str, bit_depth: str | None) -> None:
    """Also when they are written at another time and place."""
    files = [tmp_path / folder / "bass" for folder in ("a", "b")]
    for file in files:
        file.parent.mkdir()
        written(file, noise(30_000).T, format_, bit_depth)
        time.sleep(1.1 if (format_, bit_depth) == ("wav", None) else 0)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_dither_does_not_add_up(tmp_path: Path) -> None:
    """Four stems have four noises: their sum has four times the power of one, not sixteen times."""
    errors = []
    for stem in ("drums", "bass", "other", "vocals"):
        writer = Writer(tmp_path / stem, Format("wav", "16"), 44_100, 1, 50_000)
        errors.append(writer.write(np.full((1, 50_000), 0.1, np.float32)).astype(np.float64) - np.float32(0.1))
        writer.close()
    assert np.sum(errors, 0).var() == pytest.approx(4 * errors[0].var(), rel=0.1)


@pytest.mark.parametrize("bit_depth", ["16", "24"])
def test_too_loud_is_clipped_and_counted_never_rescaled(tmp_path: Path, bit_depth: str) -> None:
    samples = np.full((2, 1_000), 0.25, np.float32)
    samples[0, 10], samples[1, 20], samples[1, 21] = 1.5, -2, 1.01
    writer = written(tmp_path / "a.wav", samples, "wav", bit_depth)
    assert writer.clipped == 3
    found, _ = soundfile.read(tmp_path / "a.wav")
    assert abs(found[500] - 0.25).max() < 1e-4
    assert found[20, 1] == -1
    assert found[10, 0] == 1 - 2.0 ** (1 - int(bit_depth))


def test_float_keeps_what_is_too_loud(tmp_path: Path) -> None:
    samples = np.full((1, 100), 3.5, np.float32)
    assert written(tmp_path / "a.wav", samples, "wav").clipped == 0
    assert soundfile.read(tmp_path / "a.wav")[0].max() == 3.5


@pytest.mark.parametrize("format_", ["ogg", "mp3"])
def test_lossy_formats_survive_any_level(tmp_path: Path, format_: str) -> None:
    """LAME would abort the process."""
    samples = noise(50_000).T * np.float32(1e7)
    assert written(tmp_path / "a", samples, format_).clipped == (np.abs(samples) > 1).sum()


@pytest.mark.parametrize("format_", ["wav", "flac", "mp3"])
def test_what_is_no_number_never_reaches_a_file(tmp_path: Path, format_: str) -> None:
    samples = noise(1_000).T
    samples[1, 500] = np.nan
    with pytest.raises(AudioError, match="not a number"):
        written(tmp_path / "a", samples, format_)


@pytest.mark.parametrize(("format_", "decibels"), [("ogg", 10), ("mp3", 8)])
def test_lossy_formats_keep_the_length_and_the_place(tmp_path: Path, format_: str, decibels: float) -> None:
    """A shift by a single sample of noise would leave no likeness at all."""
    samples = noise(100_001).T
    written(tmp_path / "a", samples, format_)
    found, _ = soundfile.read(tmp_path / "a")
    assert found.shape == (100_001, 2)
    assert 10 * np.log10(np.square(samples).sum() / np.square(samples - found.T).sum()) > decibels


def test_minutes_of_ogg_do_not_crash(tmp_path: Path) -> None:
    """libsndfile does, when it gets them in one call."""
    samples = np.zeros((2, 60 * 44_100), np.float32)
    writer = Writer(tmp_path / "a.ogg", Format("ogg"), 44_100, 2, samples.shape[1])
    writer.write(samples)
    writer.close()
    assert soundfile.info(tmp_path / "a.ogg").frames == samples.shape[1]


def test_more_than_riff_can_count_goes_into_rf64(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.wav", WAV, 44_100, 2, 600_000_000)
    writer.write(noise(10).T)
    writer.close()
    assert soundfile.info(tmp_path / "a.wav").format == "RF64"


@pytest.mark.parametrize(
    ("format_", "bit_depth", "rate", "channels", "complaint"),
    [
        ("mp3", None, 96_000, 2, "sample rate of 96000"),
        ("mp3", None, 44_100, 6, "at most 2 channels"),
        ("flac", None, 44_100, 9, "at most 8 channels"),
        ("ogg", None, 250_000, 2, "sample rate of 250000"),
        ("mp3", "16", 44_100, 2, "no bit depth"),
        ("ogg", "24", 44_100, 2, "no bit depth"),
        ("flac", "32f", 44_100, 2, "not floating point"),
        ("wav", "32f", 96_000, 6, ""),
        ("flac", "24", 96_000, 6, ""),
        ("ogg", None, 96_000, 6, ""),
        ("mp3", None, 48_000, 1, ""),
    ],
)
def test_what_a_format_cannot_hold_is_known_beforehand(
    tmp_path: Path, format_: str, bit_depth: str | None, rate: int, channels: int, complaint: str
) -> None:
    reason = Format(format_, bit_depth).refusal(rate, channels)
    assert complaint in reason
    assert bool(complaint) == bool(reason)
    if not complaint:
        written(tmp_path / "a", noise(3_000, channels).T, format_, bit_depth, rate)


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match="cannot write"):
        Writer(tmp_path / "no" / "a.wav", WAV, 44_100, 2, 10)


@pytest.mark.parametrize(("format_", "bit_depth"), [("wav", None), ("flac", None), ("ogg", None), ("mp3", None)])
def test_a_file_that_becomes_too_large_for_the_disk_is_noticed(
    tmp_path: Path, format_: str, bit_depth: str | None
) -> None:
    """As on a FAT disk, which holds no file of 4 GiB: that is not a full disk, and is not called so."""
    resource = pytest.importorskip("resource", reason="limits on files are Unix's")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    writer = Writer(tmp_path / "a", Format(format_, bit_depth), 44_100, 2, 400_000)
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
    try:
        with pytest.raises(AudioError, match="it is larger than the disk, or `ulimit -f`, allows"):  # noqa: PT012  # which of the two does not matter
            writer.write(noise(400_000).T)
            writer.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        writer.abandon()


@pytest.mark.parametrize(("format_", "bit_depth"), [("wav", None), ("wav", "16"), ("flac", None), ("ogg", None)])
def test_peak_and_energy_are_kept(tmp_path: Path, format_: str, bit_depth: str | None) -> None:
    """The peak is what the model gave; the energy is what the file got."""
    samples = noise(30_000).T
    samples[1, 12_345] = -2
    writer = written(tmp_path / "a", samples, format_, bit_depth)
    assert writer.peak == 2
    clipped = samples if format_ == "wav" and bit_depth is None else np.clip(samples, -1, 1)
    assert writer.energy == pytest.approx(np.square(clipped, dtype=np.float64).sum(), rel=1e-4)


def test_nothing_written_has_neither_peak_nor_energy(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a.wav", WAV, 44_100, 2, 0)
    writer.write(np.zeros((2, 0), np.float32))
    writer.close()
    assert (writer.peak, writer.energy, writer.clipped) == (0, 0, 0)

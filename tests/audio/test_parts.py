"""Parts of songs: exactly the samples that the whole song has there."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Reader, examine
from stemsplit.errors import AudioError
from tests.conftest import noise

Song = Callable[..., Path]

RATE, FRAMES = 44_100, 300_000


def read(path: Path, start: float = 0.0, duration: float | None = None) -> np.ndarray:
    with Reader(path, start, duration) as reader:
        return np.concatenate(list(reader), 1)


PARTS = [(3.0, 1.0), (0.0, 0.5), (6.5, None), (1.234_567, 2.0), (0.0, None), (0.000_01, 3.0), (5.0, 60.0), (2.5, 1e-5)]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("a.wav", {"subtype": "FLOAT"}),
        ("a.wav", {"subtype": "PCM_24"}),
        ("a.wav", {"subtype": "ULAW"}),
        ("a.wav", {"subtype": "IMA_ADPCM"}),
        ("a.aiff", {"subtype": "PCM_16"}),
        ("a.w64", {"subtype": "DOUBLE"}),
        ("a.caf", {"subtype": "PCM_32"}),
        ("a.au", {"subtype": "ALAW"}),
        ("a.flac", {"subtype": "PCM_16"}),
        ("a.flac", {"subtype": "PCM_24"}),
        ("a.ogg", {}),
        ("a.mp3", {}),
    ],
)
def test_a_part_is_what_the_whole_song_has_there(song: Song, name: str, options: dict[str, str]) -> None:
    path = song(name, frames=FRAMES, **options)
    whole = read(path)
    for start, duration in PARTS:
        first = round(start * RATE)
        last = whole.shape[1] if duration is None else first + round(duration * RATE)
        expected = whole[:, first:last]
        if expected.shape[1]:
            assert np.array_equal(read(path, start, duration), expected)
            found = examine(path, start, duration)
            assert (found.frames, found.seconds) == (expected.shape[1], expected.shape[1] / RATE)
        with Reader(path, start, duration) as reader:
            assert reader.frames in (None, expected.shape[1])


@pytest.mark.parametrize("name", ["a.m4a", "a.opus", "blocks.flac"])
def test_also_in_what_ffmpeg_wrote(song: Song, ffmpeg: Path, name: str) -> None:
    """An m4a comes through a pipe; ffmpeg's flacs have no table to seek by."""
    path = song("src.wav", frames=FRAMES, rate=48_000)
    target = path.with_name(name)
    options = ["-frame_size", "777"] if name.endswith("flac") else []
    subprocess.run([ffmpeg, "-loglevel", "error", "-i", path, *options, target], check=True)
    whole = read(target)
    for start, duration in [(2.0, 1.0), (0.25, 0.5), (5.0, None)]:
        last = None if duration is None else round((start + duration) * 48_000)
        assert np.array_equal(read(target, start, duration), whole[:, round(start * 48_000) : last])


def test_parts_at_random_places_of_a_flac(song: Song) -> None:
    path = song("a.flac", frames=FRAMES, channels=3)
    whole = read(path)
    for first in np.random.default_rng(1).integers(0, FRAMES, 30):
        assert np.array_equal(read(path, first / RATE, 0.1), whole[:, first : first + 4_410])


def test_parts_of_a_flac_that_does_not_tell_its_length(song: Song, tmp_path: Path) -> None:
    data = bytearray(song("a.flac", frames=FRAMES).read_bytes())
    info = data.index(b"fLaC") + 8
    data[info + 13] &= 0xF0
    data[info + 14 : info + 34] = bytes(20)
    path = tmp_path / "b.flac"
    path.write_bytes(data)
    assert np.array_equal(read(path, 3.0, 1.0), read(path)[:, 3 * RATE : 4 * RATE])
    with pytest.raises(AudioError, match="has only 0:06; nothing to split from 0:07"):
        examine(path, 7.0)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3"])
@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        (61.0, "has only 0:06; nothing to split from 1:01"),
        (FRAMES / RATE, r"has only 0:06\.802; nothing to split from 0:06\.802"),
    ],
)
def test_a_part_beyond_the_end_is_refused(song: Song, name: str, start: float, complaint: str) -> None:
    """At once where the file tells its length."""
    path = song(name, frames=FRAMES)
    with pytest.raises(AudioError, match=complaint):
        examine(path, start)
    if name != "a.mp3":
        with pytest.raises(AudioError, match=complaint):
            Reader(path, start)


def test_times_beyond_an_hour_have_hours(song: Song) -> None:
    with pytest.raises(AudioError, match="has only 2:46:40; nothing to split from 2:46:41"):
        Reader(song("a.wav", frames=10_000_000, channels=1, rate=1_000), 10_001.0)


def test_less_than_a_sample_is_no_part(song: Song) -> None:
    with pytest.raises(AudioError, match="the excerpt has no samples"):
        examine(song("a.wav"), 0.0, 1e-9)


@pytest.mark.parametrize(
    ("start", "duration"), [(-1.0, None), (float("nan"), None), (float("inf"), 1.0), (0.0, 0.0), (0.0, -1.0)]
)
def test_what_is_no_part_is_a_slip(song: Song, start: float, duration: float | None) -> None:
    with pytest.raises(ValueError, match=r"^(start|duration) must be .*, not "):
        Reader(song("a.wav"), start, duration)


@pytest.mark.parametrize("name", ["cut.wav", "cut.flac", "cut.mp3", "cut.ogg"])
def test_a_part_that_is_there_can_be_had_of_a_cut_off_song(song: Song, tmp_path: Path, name: str) -> None:
    path = song(f"whole{Path(name).suffix}", frames=FRAMES)
    half = tmp_path / name
    half.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert np.array_equal(read(half, 1.0, 1.0), read(path, 1.0, 1.0))
    with pytest.raises(AudioError, match="cut off"):
        examine(half, 1.0)


def test_what_is_wrong_elsewhere_is_no_matter(tmp_path: Path) -> None:
    samples = noise(FRAMES)
    samples[[1_000, 200_000]] = np.nan
    path = tmp_path / "a.wav"
    soundfile.write(path, samples, RATE, subtype="FLOAT")
    assert examine(path, 1.0, 3.0).frames == 3 * RATE
    with pytest.raises(AudioError, match=r"a sample at 4\.535 s is not a number"):
        examine(path, 1.0, 4.0)

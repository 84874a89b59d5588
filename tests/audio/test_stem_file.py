"""A `.stem.mp4`: what DJ programs demand of it, and that its tracks are the song and the stems, in step."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stemsplit.audio import Format, Reader, Writer, read_tags
from stemsplit.audio.containers import joined
from stemsplit.audio.containers.joined import join, read_part
from stemsplit.audio.stem_file import TRACKS, write_stem_file
from stemsplit.evaluation.stem_mp4 import track_numbers
from tests.conftest import Samples, noise

ART = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20


def encoded(folder: Path, frames: int, bits: str | None = None, rate: int = 44_100, channels: int = 2) -> list[Path]:
    """A file for each track, with a noise of its own."""
    paths = [folder / f"{name}.m4a" for name in TRACKS]
    for number, path in enumerate(paths):
        writer = Writer(path, Format("stem.mp4", bits), rate, channels, frames)
        writer.write(noise(frames, channels, number).T)
        writer.close()
    return paths


def joined_file(folder: Path, paths: list[Path], **tags: tuple[str, ...]) -> Path:
    path = folder / "song.stem.mp4"
    with ExitStack() as opened:
        files = [opened.enter_context(each.open("rb")) for each in paths]
        write_stem_file(files, opened.enter_context(path.open("w+b")), tags, ART if tags else b"")
    return path


def boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Names and contents, as a reader sees them that knows sizes of 32 bits only, like Mixxx's."""
    place = 0
    while place < len(data):
        size = int.from_bytes(data[place : place + 4], "big")
        assert 8 <= size <= len(data) - place, "a size that a simple reader stumbles over"
        yield data[place + 4 : place + 8], data[place + 8 : place + size]
        place += size


def stem_box(path: Path) -> dict[str, Any]:
    found = path.read_bytes()
    for name in (b"moov", b"udta", b"stem"):
        found = dict(boxes(found))[name]
    return json.loads(found.rstrip(b"\0"))


def decoded(path: Path, ffmpeg: Path, track: int = 0) -> bytes:
    command = [ffmpeg, "-loglevel", "error", "-i", path, "-map", f"0:a:{track}", "-f", "f32le", "-"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stderr == b""
    return done.stdout


@pytest.mark.parametrize(("bits", "frames"), [(None, 1), (None, 50_001), ("16", 4_097), ("24", 50_001)])
def test_each_track_is_what_was_encoded_in_its_place(
    tmp_path: Path, ffmpeg: Path, bits: str | None, frames: int
) -> None:
    """To the sample, through our own reader too."""
    paths = encoded(tmp_path, frames, bits)
    path = joined_file(tmp_path, paths)
    assert track_numbers(path) == {name: str(number) for number, name in enumerate(TRACKS, 1)}
    for number, each in enumerate(paths):
        assert decoded(path, ffmpeg, number) == decoded(each, ffmpeg)
    with Reader(path, track="3") as reader, Reader(paths[2]) as alone:
        found, wanted = (np.concatenate(list(each), 1) for each in (reader, alone))
        assert reader.frames == frames or frames == 1, "ffmpeg tells hundredths of a second"
    assert np.array_equal(found, wanted)
    assert found.shape == (2, frames)


@pytest.mark.parametrize("bits", [None, "24"])
def test_it_is_what_dj_programs_demand(tmp_path: Path, ffmpeg: Path, bits: str | None) -> None:
    path = joined_file(tmp_path, encoded(tmp_path, 30_000, bits), title=("Song",), artist=("A", "B"))
    told = stem_box(path)
    assert told["version"] >= 1
    assert [each["name"] for each in told["stems"]] == ["Drums", "Bass", "Other", "Vocals"]
    assert all(each["color"].startswith("#") for each in told["stems"])
    report = subprocess.run([ffmpeg, "-i", path], capture_output=True, text=True, check=False).stderr
    streams = [line for line in report.splitlines() if "Audio:" in line]
    assert len(streams) == 5
    for line in streams:
        assert f"Audio: {'alac' if bits else 'aac'}" in line
        assert "44100 Hz, stereo" in line
    assert ["(default)" in line for line in streams] == [True, False, False, False, False]
    assert read_tags(path) == {"title": ("Song",), "artist": ("A", "B")}
    assert ART in path.read_bytes()
    assert [name for name, _ in boxes(path.read_bytes())] == [b"ftyp", b"mdat", b"moov"]


def test_a_file_too_long_for_32_bits_plays_the_same(
    tmp_path: Path, ffmpeg: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its sound lies in several boxes, none too large for simple readers, at offsets of 64 bits."""
    paths = encoded(tmp_path, 100_000)
    small = joined_file(tmp_path, paths).read_bytes()
    monkeypatch.setattr(joined, "WIDE", 1_000)
    path = tmp_path / "long.stem.mp4"
    with path.open("w+b") as file:
        files = [each.open("rb") for each in paths]
        join([read_part(each) for each in files], b"", file, 150_000)
    for each in files:
        each.close()
    names = [name for name, _ in boxes(path.read_bytes())]
    assert names.count(b"mdat") > 1
    assert path.read_bytes().count(b"co64") == 5
    assert small.count(b"stco") == 5
    for number, each in enumerate(paths):
        assert decoded(path, ffmpeg, number) == decoded(each, ffmpeg)


@pytest.mark.usefixtures("ffmpeg")
def test_the_same_samples_give_the_same_bytes(tmp_path: Path) -> None:
    made = [joined_file(tmp_path, encoded(tmp_path, 5_000), title=("Song",)).read_bytes() for _ in range(2)]
    assert made[0] == made[1]


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize(
    ("rate", "channels", "expected", "told"),
    [
        (44_100, 2, 44_100, ""),
        (48_000, 1, 48_000, "stem.mp4 is made stereo from mono"),
        (88_200, 2, 44_100, "stem.mp4 is resampled from 88200 to 44100 Hz"),
        (96_000, 1, 48_000, "stem.mp4 is resampled from 96000 to 48000 Hz and made stereo from mono"),
        (37_800, 2, 48_000, "stem.mp4 is resampled from 37800 to 48000 Hz"),
    ],
)
def test_other_rates_and_mono_are_converted_and_that_is_said(
    tmp_path: Path, rate: int, channels: int, expected: int, told: str
) -> None:
    form, frames, path = Format("stem.mp4", "16"), 10_001, tmp_path / "a.m4a"
    writer = Writer(path, form, rate, channels, frames)
    samples: Samples = noise(frames, channels).T
    writer.write(samples)
    writer.close()
    with Reader(path) as reader:
        found = np.concatenate(list(reader), 1)
        assert reader.sample_rate == expected
    assert found.shape == (2, -(-frames * expected // rate))
    assert (form.conversion(rate, channels), form.refusal(rate, channels)) == (told, "")
    assert writer.exact == (rate == expected)
    if channels == 1:
        assert np.array_equal(found[0], found[1])


def test_more_channels_than_two_are_refused(ffmpeg: Path) -> None:
    assert ffmpeg
    assert "stem.mp4 holds stereo, not 6 channels; mix it down first" in Format("stem.mp4").refusal(44_100, 6)


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("damage", ["cut off", "no index", "other offsets"])
def test_a_track_that_is_not_whole_is_an_error(tmp_path: Path, damage: str) -> None:
    paths = encoded(tmp_path, 30_000)
    data = paths[1].read_bytes()
    if damage == "cut off":
        (tmp_path / "drums.m4a").write_bytes(data[: len(data) // 2])
    elif damage == "no index":
        (tmp_path / "drums.m4a").write_bytes(data.replace(b"stsz", b"free"))
    else:
        place = data.index(b"stco") + 12
        (tmp_path / "drums.m4a").write_bytes(data[:place] + b"\x7f\xff\xff\xff" + data[place + 4 :])
    with pytest.raises(OSError, match="encoded"):
        joined_file(tmp_path, paths)

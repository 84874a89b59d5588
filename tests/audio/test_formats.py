"""Which format loses nothing of a song."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Format, Reader, Writer, examine
from stemsplit.audio.formats import DEPTHS
from stemsplit.choices import FormatName

Song = Callable[..., Path]


@pytest.mark.parametrize(
    ("name", "container", "subtype", "expected"),
    [
        ("a.wav", "WAV", "PCM_16", ("wav", "16")),
        ("a.wav", "WAV", "PCM_24", ("wav", "24")),
        ("a.wav", "WAVEX", "PCM_24", ("wav", "24")),
        ("a.wav", "RF64", "PCM_16", ("wav", "16")),
        ("a.wav", "WAV", "FLOAT", ("wav", "32f")),
        ("a.wav", "WAV", "DOUBLE", ("wav", "32f")),
        ("a.wav", "WAV", "PCM_32", ("wav", "32f")),
        ("a.wav", "WAV", "PCM_U8", ("wav", "16")),
        ("a.wav", "WAV", "ULAW", ("wav", "16")),
        ("a.wav", "WAV", "IMA_ADPCM", ("wav", "16")),
        ("a.flac", "FLAC", "PCM_S8", ("flac", "16")),
        ("a.flac", "FLAC", "PCM_16", ("flac", "16")),
        ("a.flac", "FLAC", "PCM_24", ("flac", "24")),
        ("a.ogg", "OGG", "VORBIS", ("ogg", None)),
        ("a.opus", "OGG", "OPUS", ("opus", None)),
        ("a.mp3", "MP3", "MPEG_LAYER_III", ("mp3", None)),
        ("a.aiff", "AIFF", "PCM_16", ("aiff", "16")),
        ("a.aiff", "AIFF", "FLOAT", ("aiff", "32f")),
        ("a.caf", "CAF", "PCM_24", ("flac", "24")),
        ("a.caf", "CAF", "ALAC_16", ("flac", "16")),
        ("a.caf", "CAF", "ALAC_32", ("wav", "32f")),
    ],
)
def test_a_song_tells_its_format(
    song: Song, name: str, container: str, subtype: str, expected: tuple[str, str | None]
) -> None:
    path = song(name, rate=48_000, format=container, subtype=subtype)
    with Reader(path) as reader:
        assert reader.format == Format(*expected)
    found = examine(path)
    assert found.format == Format(*expected)


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("a.m4a", [], ("m4a", None)),
        ("a.mp4", [], ("m4a", None)),
        ("a.m4a", ["-ac", "1", "-ar", "8000"], ("m4a", None)),
        ("a.wma", [], ("flac", "24")),
        ("a.mka", ["-c:a", "libvorbis"], ("flac", "24")),
        ("alac.m4a", ["-c:a", "alac", "-sample_fmt", "s16p"], ("flac", "16")),
        ("alac.m4a", ["-c:a", "alac", "-sample_fmt", "s32p"], ("flac", "24")),
        ("a.wv", ["-sample_fmt", "fltp"], ("wav", "32f")),
        ("a.tta", ["-sample_fmt", "u8"], ("flac", "16")),
        ("a.mov", ["-c:a", "pcm_s24le"], ("flac", "24")),
        ("a.mov", ["-c:a", "pcm_s32le"], ("wav", "32f")),
        ("a.mov", ["-c:a", "pcm_f32le"], ("wav", "32f")),
        ("a.mov", ["-c:a", "pcm_alaw"], ("flac", "16")),
        (
            "a.mka",
            ["-c:a", "flac", "-sample_fmt", "s16", "-metadata", "title=Audio: alac, s32p (24 bit)"],
            ("flac", "16"),
        ),
    ],
)
def test_so_does_one_that_only_ffmpeg_reads(
    song: Song, ffmpeg: Path, name: str, options: list[str], expected: tuple[str, str | None]
) -> None:
    source = song("src.wav", subtype="FLOAT")
    target = source.with_name(name)
    subprocess.run([ffmpeg, "-loglevel", "error", "-i", source, *options, target], check=True)
    found = examine(target)
    assert found.format == Format(*expected)


@pytest.mark.parametrize(
    ("container", "coding", "rate", "channels", "expected"),
    [
        ("AIFF", "PCM_16", 44_100, 12, ("aiff", "16")),
        ("AU", "PCM_16", 44_100, 12, ("wav", "16")),
        ("", "opus", 48_000, 2, ("opus", None)),
        ("CAF", "PCM_24", 700_000, 2, ("wav", "24")),
        ("", "aac", 48_000, 12, ("wav", "32f")),
        ("OGG", "VORBIS", 4_000, 2, ("flac", "24")),
        ("", "nobody knows", 48_000, 2, ("flac", "24")),
    ],
)
def test_what_one_format_cannot_hold_goes_into_another(
    container: str, coding: str, rate: int, channels: int, expected: tuple[str, str | None]
) -> None:
    assert Format.like(container, coding, rate, channels) == Format(*expected)


def test_all_that_libsndfile_writes_can_be_matched() -> None:
    """Whatever a file is, what is named for it can be written."""
    for container in soundfile.available_formats():
        for subtype in soundfile.available_subtypes(container):
            found = Format.like(container, subtype, 44_100, 2)
            assert found.name in list(FormatName)
            assert not found.refusal(44_100, 2)
            lossy = subtype in ("VORBIS", "OPUS") or subtype.startswith("MPEG_")
            assert lossy or subtype in DEPTHS


@pytest.mark.parametrize(("name", "subtype"), [("a.wav", "PCM_24"), ("a.aiff", "PCM_24"), ("a.wav", "FLOAT")])
def test_nothing_is_lost(song: Song, tmp_path: Path, name: str, subtype: str) -> None:
    path = song(name, subtype=subtype)
    with Reader(path) as reader:
        samples = np.concatenate(list(reader), 1)
        writer = Writer(tmp_path / "b", reader.format, reader.sample_rate, 2, samples.shape[1])
    writer.write(samples)
    writer.close()
    assert np.array_equal(soundfile.read(tmp_path / "b", dtype="float32")[0].T, samples)

"""What a plan reads of a song's header is what the reader finds when it opens the song."""

import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from stemsplit.audio import Reader
from stemsplit.audio import heading as headings
from stemsplit.audio.heading import heading
from stemsplit.errors import AudioError
from tests.conftest import noise, unix

CODINGS = [
    *(("wav", coding) for coding in ("PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW")),
    *(("flac", coding) for coding in ("PCM_S8", "PCM_16", "PCM_24")),
    *(("aiff", "PCM_16"), ("rf64", "PCM_16"), ("ogg", "VORBIS")),
]


def told(path: Path) -> tuple[object, ...] | str:
    """Return what the reader says of a song: its figures, or its error."""
    try:
        with Reader(path) as reader:
            return reader.sample_rate, reader.channels, reader.frames, reader.speakers
    except AudioError as error:
        return str(error)


def found(path: Path) -> tuple[object, ...] | str:
    """Return what the heading says of a song."""
    try:
        song = heading(path)
    except AudioError as error:
        return str(error)
    return song.sample_rate, song.channels, song.frames, song.speakers


@pytest.mark.parametrize(("suffix", "coding"), CODINGS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_a_heading_says_what_the_reader_says(tmp_path: Path, suffix: str, coding: str, channels: int) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, noise(channels, 1_001).T, 32_000, subtype=coding, format=suffix.upper())
    assert found(path) == told(path)


Change = Callable[[bytes], bytes]

CHANGES: dict[str, Change] = {
    "cut off": lambda data: data[:-100],
    "cut in its header": lambda data: data[:30],
    "joined to another": lambda data: data + data,
    "followed by tags": lambda data: data + b"LIST\4\0\0\0INFO",
    "followed by much else": lambda data: data + bytes(range(1, 200)),
    "without a length": lambda data: data[:40] + b"\xff\xff\xff\xff" + data[44:],
    "with a length of 0": lambda data: data[:40] + bytes(4) + data[44:],
    "with 0 Hz": lambda data: data[:24] + bytes(4) + data[28:],
    "with 5 Hz": lambda data: data[:24] + struct.pack("<I", 5) + data[28:],
    "with a chunk of junk": lambda data: data[:12] + b"JUNK\3\0\0\0abc\0" + data[12:],
    "with two formats": lambda data: data[:36] + data[12:36] + data[36:],
    "that is DTS from a disc": lambda data: data[:44] + (b"\xff\x1f\x00\xe8" + bytes(396)) * (len(data) // 400),
    "with an odd block": lambda data: data[:32] + b"\5\0" + data[34:],
}


ALSO_OF_FLAC = ("cut off", "joined to another", "followed by much else")


@pytest.mark.parametrize(
    ("suffix", "change"), [*(("wav", change) for change in CHANGES), *(("flac", change) for change in ALSO_OF_FLAC)]
)
def test_a_strange_file_is_left_to_the_reader(tmp_path: Path, suffix: str, change: str) -> None:
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, noise(2, 2_001).T, 44_100, subtype="PCM_16")
    path.write_bytes(CHANGES[change](path.read_bytes()))
    assert found(path) == told(path)


@unix
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_an_ordinary_file_is_not_opened_by_the_reader(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headings, "Reader", None)
    path = tmp_path / f"song.{suffix}"
    soundfile.write(path, noise(2, 1_001).T, 44_100, subtype="PCM_16")
    assert found(path) == (44_100, 2, 1_001, ())

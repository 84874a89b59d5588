"""Whether all of a file's sound is read: one table of containers and of what can happen to their ends."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Reader
from stemsplit.audio.containers.ogg import checksum
from stemsplit.errors import AudioError
from tests.conftest import noise

FRAMES, RATE = 60_000, 48_000
SLACK = 4_000
"""Samples that a lossy codec may add or lose at a song's ends."""

SOUNDFILE = {
    "wav": ("WAV", "PCM_16"),
    "float.wav": ("WAV", "FLOAT"),
    "wavex.wav": ("WAVEX", "PCM_24"),
    "rf64": ("RF64", "PCM_24"),
    "w64": ("W64", "PCM_16"),
    "aiff": ("AIFF", "PCM_24"),
    "au": ("AU", "FLOAT"),
    "caf": ("CAF", "PCM_16"),
    "sph": ("NIST", "PCM_16"),
    "voc": ("VOC", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "opus": ("OGG", "OPUS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}
"""Name of a kind of file -> libsndfile's names of its container and its coding."""

FFMPEG = {
    "m4a": "-c:a aac -movflags +faststart",
    "fragments.mp4": "-c:a aac -movflags frag_keyframe+empty_moov -frag_duration 300000",
    "alac.m4a": "-c:a alac -movflags +faststart",
    "moov-last.mov": "-c:a pcm_s16le",
    "mka": "-c:a flac",
    "webm": "-c:a libopus",
    "live.webm": "-c:a libopus -live 1",
    "wma": "-c:a wmav2",
    "tta": "-c:a tta",
    "wv": "-c:a wavpack",
    "flv": "-c:a pcm_s16le -ar 44100",
    "avi": "-c:a pcm_s16le",
    "aac": "-c:a aac",
    "ac3": "-c:a ac3",
    "mts": "-c:a aac -f mpegts",
    "oga": "-c:a flac",
    "stream.mp3": "-c:a libmp3lame -write_xing 0",
}
"""Name of a kind of file -> how ffmpeg writes it."""

STREAMS = ("fragments.mp4", "live.webm", "aac", "ac3", "mts", "stream.mp3")
"""Kinds of files that hold no length: they may begin and end anywhere."""


@pytest.fixture
def whole(tmp_path: Path, ffmpeg: Path) -> Callable[[str], bytes]:
    """Returns the bytes of a file of some kind that holds noise."""

    def write(kind: str) -> bytes:
        path = tmp_path / f"whole.{kind}"
        if kind in SOUNDFILE:
            container, coding = SOUNDFILE[kind]
            soundfile.write(path, noise(FRAMES), RATE, coding, format=container)
        else:
            soundfile.write(tmp_path / "source.wav", noise(FRAMES), RATE, "PCM_16")
            command = [ffmpeg, "-loglevel", "error", "-i", tmp_path / "source.wav", *FFMPEG[kind].split(), path]
            subprocess.run(command, check=True)
        return path.read_bytes()

    return write


def read(path: Path) -> tuple[float, tuple[str, ...]]:
    """The frames that are read of a file, at `RATE`, and what is said of it."""
    with Reader(path) as reader:
        frames = sum(block.shape[1] for block in reader)
        return frames * RATE / reader.sample_rate, reader.notes


@pytest.mark.parametrize("kind", [*SOUNDFILE, *FFMPEG])
def test_a_whole_file_is_read_without_a_word(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(whole(kind))
    frames, notes = read(path)
    lossless = kind in SOUNDFILE and SOUNDFILE[kind][1] not in ("VORBIS", "OPUS")
    assert abs(frames - FRAMES) <= (0 if lossless else SLACK)
    # Only live recordings never say how long they are.
    assert bool(notes) == (kind == "live.webm")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.97])
@pytest.mark.parametrize("kind", [kind for kind in (*SOUNDFILE, *FFMPEG) if kind not in STREAMS])
def test_a_file_shorter_than_it_says_is_refused(
    whole: Callable[[str], bytes], tmp_path: Path, kind: str, share: float
) -> None:
    path, data = tmp_path / f"a.{kind}", whole(kind)
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(AudioError, match=r"cut off|damaged|moov atom not found"):
        read(path)


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_that_ends_in_mid_frame_is_split_as_far_as_it_goes(
    whole: Callable[[str], bytes], tmp_path: Path, kind: str
) -> None:
    path, data = tmp_path / f"a.{kind}", whole(kind)
    path.write_bytes(data[: int(0.7 * len(data)) - 3])
    frames, notes = read(path)
    assert abs(frames - 0.7 * FRAMES) < 2 * SLACK + 0.1 * FRAMES
    assert notes or kind == "ac3"  # of which ffmpeg drops an incomplete frame without a word


@pytest.mark.parametrize("kind", ["aac", "ac3", "mts", "stream.mp3"])
def test_a_stream_that_begins_in_mid_frame_is_split(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    path, data = tmp_path / f"a.{kind}", whole(kind)
    path.write_bytes(data[int(0.3 * len(data)) + 3 :])
    frames, _ = read(path)
    assert abs(frames - 0.7 * FRAMES) < 2 * SLACK + 0.1 * FRAMES


def put(data: bytes, after: bytes, offset: int, number: bytes) -> bytes:
    """Bytes with others at an offset from where a mark ends."""
    place = data.index(after) + len(after) + offset
    return data[:place] + number + data[place + len(number) :]


def unmarked(data: bytes) -> bytes:
    """An Ogg whose last page is not marked as the last."""
    page = data.rindex(b"OggS")
    last = bytearray(data[page:])
    last[5] &= ~4
    last[22:26] = bytes(4)
    last[22:26] = checksum(last).to_bytes(4, "little")
    return data[:page] + bytes(last)


def open_flac(data: bytes) -> bytes:
    """A FLAC that does not say its length, nor its digest."""
    changed = bytearray(data)
    changed[21] &= 0xF0
    changed[22:42] = bytes(20)
    return bytes(changed)


DS64 = b"ds64\x1c\0\0\0"
W64_DATA = b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0\x4f\x8e\xdb\x8a"

UNFINISHED: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "wav of size 0": ("wav", lambda data: put(put(data, b"RIFF", 0, bytes(4)), b"data", 0, bytes(4))),
    "wav of size -1": ("wav", lambda data: put(put(data, b"RIFF", 0, b"\xff" * 4), b"data", 0, b"\xff" * 4)),
    "float wav of size 0": ("float.wav", lambda data: put(data, b"data", 0, bytes(4))),
    "wavex as sox pipes it": ("wavex.wav", lambda data: put(data, b"data", 0, b"\0\xf0\xff\x7f")),
    "rf64 of size 0": ("rf64", lambda data: put(data, DS64, 0, bytes(16))),
    "w64 of size 0": ("w64", lambda data: put(data, W64_DATA, 0, bytes(8))),
    "w64 of size 24": ("w64", lambda data: put(data, W64_DATA, 0, b"\x18" + bytes(7))),
    "aiff of size 0": ("aiff", lambda data: put(put(data, b"SSND", 0, bytes(4)), b"COMM", 6, bytes(4))),
    "au of size -1": ("au", lambda data: put(data, b".snd", 4, b"\xff" * 4)),
    "au of size 0": ("au", lambda data: put(data, b".snd", 4, bytes(4))),
    "caf of size -1": ("caf", lambda data: put(data, b"data", 0, b"\xff" * 8)),
    "flac of no length": ("flac", open_flac),
    "ogg without a last page": ("ogg", unmarked),
    "opus without a last page": ("opus", unmarked),
}


@pytest.mark.parametrize("name", UNFINISHED)
def test_a_recording_that_was_never_finished_is_split_and_that_is_said(
    whole: Callable[[str], bytes], tmp_path: Path, name: str
) -> None:
    kind, change = UNFINISHED[name]
    path, data = tmp_path / f"a.{kind}", whole(kind)
    path.write_bytes(change(data))
    frames, notes = read(path)
    assert abs(frames - FRAMES) <= (SLACK if kind in ("ogg", "opus") else 0)
    assert notes


HALF = FRAMES * 2 * 2 // 2
"""Half the bytes of the noise, in samples of 16 bits."""

TOO_LONG: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "wav": ("wav", lambda data: put(data, b"data", 0, HALF.to_bytes(4, "little"))),
    "rf64": ("rf64", lambda data: put(data, DS64, 8, (HALF * 3 // 2).to_bytes(8, "little"))),
    "w64": ("w64", lambda data: put(data, W64_DATA, 0, (HALF + 24).to_bytes(8, "little"))),
    "aiff": ("aiff", lambda data: put(data, b"SSND", 0, (HALF * 3 // 2 + 8).to_bytes(4, "big"))),
    "au": ("au", lambda data: put(data, b".snd", 4, (2 * HALF).to_bytes(4, "big"))),
    "caf": ("caf", lambda data: put(data, b"data", 0, (HALF + 4).to_bytes(8, "big"))),
    "flac": ("flac", lambda data: data[:22] + (FRAMES // 2).to_bytes(4, "big") + bytes(16) + data[42:]),
}


@pytest.mark.parametrize("name", TOO_LONG)
def test_more_sound_than_a_header_says_is_not_left_out_in_silence(
    whole: Callable[[str], bytes], tmp_path: Path, name: str
) -> None:
    kind, change = TOO_LONG[name]
    path, data = tmp_path / f"a.{kind}", whole(kind)
    path.write_bytes(change(data))
    frames, notes = read(path)
    assert frames == FRAMES
    assert notes


@pytest.mark.parametrize("kind", [kind for kind in (*SOUNDFILE, *FFMPEG) if kind != "wv"])
def test_of_joined_files_all_is_split_or_that_is_said(whole: Callable[[str], bytes], tmp_path: Path, kind: str) -> None:
    path, data = tmp_path / f"a.{kind}", whole(kind)
    path.write_bytes(data + data)
    frames, notes = read(path)
    assert abs(frames - 2 * FRAMES) <= 2 * SLACK or (frames >= FRAMES - SLACK and notes)


def test_what_is_joined_comes_out_in_order(whole: Callable[[str], bytes], tmp_path: Path) -> None:
    """Two FLACs, and two MP3s of which the second has another rate."""
    first, second = (tmp_path / f"{name}.wav" for name in "ab")
    soundfile.write(first, noise(FRAMES, seed=1), RATE)
    soundfile.write(second, noise(FRAMES, seed=2), RATE)
    data = whole("ogg")
    path = tmp_path / "chain.ogg"
    path.write_bytes(data + data)
    with Reader(path) as reader:
        sound = np.concatenate(list(reader), 1)[0]
    end = sound[-30_000:]
    shifts = [np.dot(end, sound[start : start + 30_000]) for start in range(FRAMES - 34_000, FRAMES - 28_000)]
    assert max(shifts) > 0.8 * np.dot(end, end)


@pytest.mark.parametrize("kind", ["wav", "rf64", "aiff", "flac", "mp3", "stream.mp3", "m4a", "aac"])
@pytest.mark.parametrize("rest", [b"TAG" + bytes(125), bytes(5_000)], ids=["ID3v1", "zeros"])
def test_tags_and_zeros_after_the_end_do_no_harm(
    whole: Callable[[str], bytes], tmp_path: Path, kind: str, rest: bytes
) -> None:
    path = tmp_path / f"a.{kind}"
    path.write_bytes(whole(kind) + rest)
    frames, notes = read(path)
    assert abs(frames - FRAMES) <= (0 if kind in ("wav", "rf64", "aiff", "flac", "mp3") else SLACK)
    assert not notes


@pytest.mark.usefixtures("no_ffmpeg")
def test_without_ffmpeg_a_chain_is_refused_with_advice(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.ogg", noise(FRAMES), RATE)
    data = (tmp_path / "a.ogg").read_bytes()
    (tmp_path / "chain.ogg").write_bytes(data + data)
    with pytest.raises(AudioError, match=r"several recordings are joined in it\); install ffmpeg"):
        read(tmp_path / "chain.ogg")


def test_a_mended_header_is_only_read_not_written(whole: Callable[[str], bytes], tmp_path: Path) -> None:
    path, data = tmp_path / "a.wav", UNFINISHED["wav of size 0"][1](whole("wav"))
    path.write_bytes(data)
    read(path)
    assert path.read_bytes() == data


def test_an_excerpt_of_an_unfinished_recording_is_the_same_as_of_a_finished_one(
    whole: Callable[[str], bytes], tmp_path: Path
) -> None:
    parts = []
    for name, change in (("a", bytes), ("b", UNFINISHED["wav of size -1"][1])):
        path = tmp_path / f"{name}.wav"
        path.write_bytes(change(whole("wav")))
        with Reader(path, 0.5, 0.25) as reader:
            parts.append(np.concatenate(list(reader), 1))
    assert np.array_equal(*parts)


def test_frames_that_change_are_named(whole: Callable[[str], bytes], tmp_path: Path, ffmpeg: Path) -> None:
    """An AAC whose first part is mono: all of it comes as that, which nobody would expect without a word."""
    soundfile.write(tmp_path / "mono.wav", noise(FRAMES, 1), RATE)
    subprocess.run([ffmpeg, "-loglevel", "error", "-i", tmp_path / "mono.wav", tmp_path / "mono.aac"], check=True)
    path = tmp_path / "a.aac"
    path.write_bytes((tmp_path / "mono.aac").read_bytes() + whole("aac"))
    _, notes = read(path)
    assert any(re.search("channels change", note) for note in notes)

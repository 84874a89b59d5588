"""Which speaker each channel of a file is for."""

import struct
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Format, Reader, Writer, writer
from stemsplit.audio.channels.layouts import APPLE
from stemsplit.audio.channels.speakers import grouped
from stemsplit.errors import AudioError
from tests.conftest import noise
from tests.tones import RATE, heard, layouts, made, played, tones

FIVE = ("FL", "FR", "FC", "LFE", "BL", "BR")
SEVEN = (*FIVE, "SL", "SR")


def read(path: Path) -> dict[str, str]:
    """Speaker -> the speaker whose tone it plays, as the program reads a file."""
    with Reader(path) as reader:
        return heard(np.concatenate(list(reader), 1).T, list(reader.speakers))


def written(path: Path, speakers: Sequence[str], channels: int = 0, **options: str) -> Path:
    """Write a song of noise, or of the speakers' tones."""
    samples = noise(1_000, channels) if channels else tones(list(speakers))
    form = Writer(path, Format(**options), RATE, samples.shape[1], len(samples), speakers=speakers)
    form.write(samples.T)
    form.close()
    return path


def with_layout(path: Path, channels: int, layout: bytes) -> Path:
    """Write a CAF file in which the channels play tones in turn, and put a channel layout into it."""
    soundfile.write(path, tones(list(SEVEN[:channels])), RATE, subtype="PCM_16", format="CAF")
    content = path.read_bytes()
    path.write_bytes(content[:52] + b"chan" + struct.pack(">q", len(layout)) + layout + content[52:])
    return path


@pytest.mark.parametrize("number", [n for n, names in APPLE.items() if len(names.split()) > 2])
def test_core_audio_s_layouts_are_those_of_ffmpeg(ffmpeg: Path, tmp_path: Path, number: int) -> None:
    names = APPLE[number].split()
    path = with_layout(tmp_path / "a.caf", len(names), struct.pack(">3I", number << 16 | len(names), 0, 0))
    found = read(path)
    assert found == played(ffmpeg, path)
    assert list(found) != names or names == sorted(names, key=list(found).index)


def test_core_audio_may_list_speakers_one_by_one(ffmpeg: Path, tmp_path: Path) -> None:
    labels = b"".join(struct.pack(">2I3f", label, 0, 0, 0, 0) for label in (3, 1, 2, 5, 6, 4))
    path = with_layout(tmp_path / "a.caf", 6, struct.pack(">3I", 0, 0, 6) + labels)
    assert read(path) == played(ffmpeg, path)
    assert list(read(path)) == list(FIVE)


def test_core_audio_may_give_a_mask(ffmpeg: Path, tmp_path: Path) -> None:
    path = with_layout(tmp_path / "a.caf", 3, struct.pack(">3I", 1 << 16, 0b1011, 0))
    assert read(path) == played(ffmpeg, path) == {"FL": "FL", "FR": "FR", "LFE": "FC"}


@pytest.mark.parametrize("channels", range(3, 9))
def test_apple_lossless_has_its_own_order(ffmpeg: Path, tmp_path: Path, channels: int) -> None:
    path = tmp_path / "a.caf"
    soundfile.write(path, tones(list(SEVEN[:channels])), RATE, subtype="ALAC_16", format="CAF")
    assert read(path) == played(ffmpeg, path)


@pytest.mark.parametrize("name", ["a.wav", "a.w64", "a.flac"])
def test_every_mask_is_read(ffmpeg: Path, tmp_path: Path, name: str) -> None:
    for layout, speakers in layouts(ffmpeg).items():
        path = made(ffmpeg, layout, tmp_path / name)
        assert read(path) == played(ffmpeg, path) == {speaker: speaker for speaker in speakers}


def test_flac_without_a_mask_has_the_speakers_of_its_format(ffmpeg: Path, tmp_path: Path) -> None:
    for channels in range(3, 9):
        path = tmp_path / f"{channels}.flac"
        soundfile.write(path, tones(list(SEVEN[:channels])), RATE)
        assert read(path) == played(ffmpeg, path)


def test_a_mask_of_other_channels_says_nothing(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", FIVE, name="wav")
    content = path.read_bytes()
    path.write_bytes(content.replace(struct.pack("<I", 0x3F), struct.pack("<I", 0x7F), 1))
    with Reader(path) as reader:
        assert reader.speakers == ()


def test_opus_channels_without_meaning_stay_where_they_are(ffmpeg: Path, tmp_path: Path) -> None:
    path = made(ffmpeg, "5.0", tmp_path / "a.opus", "-c:a", "libopus", "-mapping_family", "255")
    with Reader(path) as reader:
        assert reader.speakers == ()
        samples = np.concatenate(list(reader), 1)
    assert np.array_equal(samples, soundfile.read(path, dtype="float32")[0].T)


@pytest.mark.parametrize("options", [{"name": "wav"}, {"name": "wav", "bits": "16"}, {"name": "flac"}, {"name": "ogg"}])
@pytest.mark.parametrize("channels", [1, 2])
def test_mono_and_stereo_are_written_as_ever(tmp_path: Path, options: dict[str, str], channels: int) -> None:
    path = written(tmp_path / "a", (), channels, **options)
    content = path.read_bytes()
    assert b"CHANNEL_MASK" not in content
    assert soundfile.info(path).format == options["name"].upper()


@pytest.mark.parametrize("options", [{"name": "wav"}, {"name": "wav", "bits": "16"}, {"name": "flac"}])
@pytest.mark.parametrize("speakers", [("FL", "FR", "LFE"), ("FL", "FR", "BL", "BR", "TFL", "TFR", "TBL", "TBR")])
def test_any_mask_is_written_and_read_again(
    tmp_path: Path, ffmpeg: Path, speakers: tuple[str, ...], options: dict[str, str]
) -> None:
    path = written(tmp_path / "a", speakers, len(speakers), **options)
    with Reader(path) as reader:
        assert reader.speakers == speakers
        assert sum(block.shape[1] for block in reader) == 1_000
    found = subprocess.run([ffmpeg, "-xerror", "-i", path, "-f", "null", "-"], capture_output=True, check=True)
    assert f" Hz, {'2.1' if len(speakers) == 3 else 'cube'}," in found.stderr.decode()


@pytest.mark.parametrize("speakers", [FIVE, ()])
def test_a_file_too_large_for_wav_has_a_mask_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ffmpeg: Path, speakers: tuple[str, ...]
) -> None:
    """And none if the speakers are unknown: libsndfile would invent one."""
    monkeypatch.setattr(writer, "RIFF_LIMIT", 1_000)
    path = written(tmp_path / "a.wav", speakers, 6, name="wav", bits="24")
    assert soundfile.info(path).format == "RF64"
    with Reader(path) as reader:
        assert reader.speakers == speakers
    subprocess.run([ffmpeg, "-v", "error", "-xerror", "-i", path, "-f", "null", "-"], check=True)


@pytest.mark.parametrize("options", [{"name": "wav"}, {"name": "wav", "bits": "16"}, {"name": "flac"}, {"name": "ogg"}])
def test_the_same_samples_give_the_same_bytes(tmp_path: Path, options: dict[str, str]) -> None:
    (tmp_path / "b").mkdir()
    speakers = (*FIVE[:4], "SL", "SR")
    first, second = (written(tmp_path / name, speakers, 6, **options) for name in ("a", "b/a"))
    assert first.read_bytes() == second.read_bytes()


def test_tags_and_a_mask_are_both_kept(tmp_path: Path) -> None:
    path, samples = tmp_path / "a.flac", noise(1_000, 6).T
    form = Writer(path, Format("flac"), RATE, 6, 1_000, {"title": "Song", "genre": "LICENSE="}, speakers=FIVE)
    form.write(samples)
    form.close()
    with soundfile.SoundFile(path) as file:
        assert (file.title, file.genre, file.license) == ("Song", "LICENSE=", "")
    with Reader(path) as reader:
        assert reader.speakers == FIVE


def test_a_broken_header_is_an_error_or_says_nothing(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0)
    for name in ("wav", "w64", "caf", "aiff", "flac"):
        path = tmp_path / f"a.{name}"
        if name == "caf":
            with_layout(path, 6, struct.pack(">3I", 124 << 16 | 6, 0, 0))
        else:
            soundfile.write(path, noise(500, 6), RATE, subtype="PCM_16")
        whole = path.read_bytes()
        for _ in range(40):
            content = bytearray(whole)
            for place in numbers.integers(0, 120, 3):
                content[place] = numbers.choice([0, 1, 0x7F, 0xFF])
            path.write_bytes(content)
            try:
                with Reader(path) as reader:
                    assert len(reader.speakers) in (0, reader.channels)
            except AudioError:
                pass


@pytest.mark.parametrize(
    ("channels", "speakers", "pairs"),
    [
        (6, FIVE, [(0, 1), (2, 2), (3, 3), (4, 5)]),
        (8, ("FL", "FR", "FC", "LFE", "FLC", "FRC", "SL", "SR"), [(0, 1), (2, 2), (3, 3), (4, 5), (6, 7)]),
        (3, ("FL", "FC", "LFE"), [(0, 0), (1, 1), (2, 2)]),
        (5, (), [(0, 1), (2, 3), (4, 4)]),
    ],
)
def test_left_and_right_are_a_pair(channels: int, speakers: tuple[str, ...], pairs: list[tuple[int, int]]) -> None:
    assert grouped(channels, speakers) == pairs


def test_what_ffmpeg_only_guesses_is_not_known(ffmpeg: Path, tmp_path: Path) -> None:
    """Else stems would say speakers that the song does not."""
    made(ffmpeg, "5.1", tmp_path / "a.au")
    subprocess.run(
        [ffmpeg, "-v", "error", "-i", tmp_path / "a.au", "-c:a", "pcm_s16le", tmp_path / "a.mka"], check=True
    )
    with Reader(tmp_path / "a.mka") as reader:
        assert (reader.channels, reader.speakers) == (6, ())


def test_a_track_of_a_video_may_have_an_order_of_its_own(ffmpeg: Path, tmp_path: Path) -> None:
    source = with_layout(tmp_path / "a.caf", 6, struct.pack(">3I", 124 << 16 | 6, 0, 0))
    path = tmp_path / "a.mov"
    subprocess.run([ffmpeg, "-v", "error", "-i", source, "-c:a", "pcm_s16be", path], check=True)
    found = read(path)
    assert found == played(ffmpeg, path)
    assert list(found.values()) != list(FIVE)


def test_ogg_that_only_ffmpeg_reads_whole_is_in_order(ffmpeg: Path, tmp_path: Path) -> None:
    """libsndfile stops where the first of two recordings ends, so another decoder reads, with another order."""
    path = made(ffmpeg, "5.1", tmp_path / "a.ogg", "-c:a", "libvorbis")
    other = made(ffmpeg, "5.1", tmp_path / "b.ogg", "-c:a", "libvorbis")
    path.write_bytes(path.read_bytes() + other.read_bytes())
    assert read(path) == {name: name for name in FIVE}

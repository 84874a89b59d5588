"""Bitrates: what a file's frames say is what was asked for, and what a format cannot have is refused."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.audio import Format, Writer
from stemsplit.audio.bitrates import mp3_rates, parsed
from tests.conftest import noise

BITRATES = {
    3: "0 32 40 48 56 64 80 96 112 128 160 192 224 256 320",
    2: "0 8 16 24 32 40 48 56 64 80 96 112 128 144 160",
}
"""Field of the version in a frame's header -> the bitrates of layer III (ISO 11172-3, 13818-3); version 2.5 has 0."""

RATES = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}


def frames(data: bytes) -> Iterator[tuple[int, int]]:
    """The bitrate in kbit/s and the sample rate that each frame of an MP3 without tags says."""
    place = 0
    while place < len(data):
        assert data[place] == 0xFF
        assert data[place + 1] & 0xE6 == 0xE2, "layer III"
        version = data[place + 1] >> 3 & 3
        kbit = int(BITRATES[version or 2].split()[data[place + 2] >> 4])
        rate = RATES[version][data[place + 2] >> 2 & 3]
        yield kbit, rate
        place += (144_000 if version == 3 else 72_000) * kbit // rate + (data[place + 2] >> 1 & 1)


def written(path: Path, file_format: Format, rate: int = 44_100, channels: int = 2, seconds: float = 1.5) -> bytes:
    samples = noise(int(rate * seconds), channels).T
    writer = Writer(path, file_format, rate, channels, samples.shape[1])
    writer.write(samples)
    writer.close()
    found, _ = soundfile.read(path, always_2d=True)
    assert found.shape == samples.T.shape
    return path.read_bytes()


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("rate", [rate for rates in RATES.values() for rate in rates])
def test_every_frame_of_an_mp3_has_the_bitrate_asked_for(tmp_path: Path, rate: int, channels: int) -> None:
    """And the file has the song's length and sample rate, at all bitrates that are not refused."""
    assert len(mp3_rates(rate)) >= 5
    for kbit in mp3_rates(rate):
        made = Format("mp3", None, str(kbit))
        assert made.refusal(rate, channels) == ""
        assert {*frames(written(tmp_path / "a.mp3", made, rate, channels, 0.3))} == {(kbit, rate)}


@pytest.mark.parametrize(("name", "bitrate"), [("mp3", "128"), ("mp3", "V2"), ("ogg", "96")])
def test_the_same_samples_give_the_same_bytes(tmp_path: Path, name: str, bitrate: str) -> None:
    samples, files = noise(100_000).T, []
    for block in (100_000, 999):
        writer = Writer(tmp_path / "a", Format(name, None, bitrate), 44_100, 2, 100_000)
        for start in range(0, 100_000, block):
            writer.write(samples[:, start : start + block])
        writer.close()
        files.append((tmp_path / "a").read_bytes())
    assert files[0] == files[1]


def test_the_highest_bitrate_is_the_default(tmp_path: Path) -> None:
    for rate, kbit in ((48_000, "320"), (22_050, "160"), (8_000, "64")):
        assert written(tmp_path / "a", Format("mp3", None, kbit), rate) == written(tmp_path / "b", Format("mp3"), rate)


def test_a_quality_of_mp3_spends_bits_where_they_are_needed(tmp_path: Path) -> None:
    sizes = []
    for quality in range(10):
        data = written(tmp_path / "a.mp3", Format("mp3", None, f"V{quality}"))
        assert len({*frames(data)}) > 1
        sizes.append(len(data))
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > 2 * sizes[-1]


@pytest.mark.parametrize("channels", [1, 2, 6])
@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000])
@pytest.mark.parametrize("kbit", [80, 200])
def test_an_ogg_says_the_bitrate_asked_for_or_it_is_refused(
    tmp_path: Path, kbit: int, rate: int, channels: int
) -> None:
    made = Format("ogg", None, str(kbit))
    if reason := made.refusal(rate, channels):
        nearest = int(reason.rpartition(" ")[2])
        made = Format("ogg", None, str(nearest))
        assert made.refusal(rate, channels) == ""
        kbit = nearest
    header = written(tmp_path / "a.ogg", made, rate, channels)
    place = header.index(b"\x01vorbis") + 20
    assert int.from_bytes(header[place : place + 4], "little") == pytest.approx(1_000 * kbit, rel=0.01)


def test_a_larger_bitrate_of_ogg_gives_a_larger_file(tmp_path: Path) -> None:
    sizes = [len(written(tmp_path / "a", Format("ogg", None, kbit))) for kbit in ("80", "160", "320", "480")]
    assert np.diff(sizes).min() > 5_000


@pytest.mark.parametrize(
    ("name", "bitrate", "rate", "channels", "complaint"),
    [
        ("wav", "192", 44_100, 2, "wav has no bitrate; leave out --bitrate, or choose --format mp3, ogg or m4a"),
        ("flac", "V0", 44_100, 2, "flac has no bitrate"),
        ("mp3", "200", 44_100, 2, "mp3 has no bitrate of 200 kbit/s; the nearest is 192"),
        ("mp3", "500", 44_100, 2, "mp3 has no bitrate of 500 kbit/s; the nearest is 320"),
        ("mp3", "8", 8_000, 2, "mp3 has no bitrate of 8 kbit/s; the nearest is 24"),
        ("mp3", "192", 22_050, 2, "mp3 with 2 channels at 22050 Hz cannot have 192 kbit/s; the nearest is 160"),
        ("mp3", "144", 44_100, 1, "mp3 with 1 channel at 44100 Hz cannot have 144 kbit/s; the nearest is 160"),
        ("mp3", "48", 44_100, 2, "the nearest is 64"),
        ("mp3", "128", 8_000, 2, "the nearest is 64"),
        ("ogg", "V2", 44_100, 2, "ogg has no quality V2; write kbit/s, such as 192k"),
        ("ogg", "32", 44_100, 2, "ogg with 2 channels at 44100 Hz cannot have 32 kbit/s; the nearest is 64"),
        ("ogg", "900", 44_100, 2, "the nearest is 500"),
        ("ogg", "192", 96_000, 2, "ogg with 2 channels at 96000 Hz has no bitrates to choose from"),
    ],
)
def test_what_a_format_cannot_have_is_refused_with_the_nearest_that_it_can(
    name: str, bitrate: str, rate: int, channels: int, complaint: str
) -> None:
    reason = Format(name, None, bitrate).refusal(rate, channels)
    assert complaint in reason
    _, found, nearest = reason.rpartition("the nearest is ")
    if found and "mp3 has no bitrate" not in reason:
        assert Format(name, None, nearest).refusal(rate, channels) == ""


def test_a_bitrate_may_be_written_in_several_ways() -> None:
    assert {parsed(text) for text in ("192", "192k", "192K", " 192 kbps", "192kbit/s", "0192")} == {"192"}
    assert parsed("v0") == parsed("V0") == "V0"
    for text in ("", "k", "0", "-192", "192.5", "fast", "V10", "1e3", "192m", "١٩٢", "V-1"):
        with pytest.raises(ValueError, match="is not a bitrate; write kbit/s, such as 192k"):
            parsed(text)

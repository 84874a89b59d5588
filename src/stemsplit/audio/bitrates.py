"""Knows the bitrates that lossy formats have, and how libsndfile's encoders are told of one."""

import io
import re
from functools import lru_cache
from typing import Any

from stemsplit.audio.libsndfile import opened
from stemsplit.choices import FormatName

KBIT = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
"""Bitrates of MP3 below 32 kHz, in kbit/s."""

MPEG = (
    (32_000, (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)),
    (16_000, KBIT),
    (8_000, KBIT[:8]),
)
"""Lowest sample rate of each version of MPEG, and the bitrates of its MP3 files in kbit/s."""

SMALLEST_FRAME = 192
"""Bytes that the first frame of an MP3 needs to hold the song's exact length; LAME leaves it out of smaller ones."""

MOST_OPUS, LEAST_OPUS, DEFAULT_OPUS = 256, 6, 96
"""Largest, smallest and default bitrate of Opus in kbit/s for each channel, as libsndfile's encoder takes them."""

MOST_AAC, LEAST_AAC = 6, 0.36
"""Largest and smallest number of bits that AAC spends on a sample of one channel. The largest is the standard's."""


def parsed(text: str) -> str:
    """Return a bitrate as formats and records have it: 192 for 192k, or a quality of MP3 such as V2.

    Raises:
        ValueError: the text is neither.
    """
    if match := re.fullmatch(r"\s*0*([1-9]\d{0,5})\s*(k|kbps|kbit/s)?\s*", text, re.I | re.A):
        return match[1]
    if match := re.fullmatch(r"\s*v([0-9])\s*", text, re.I | re.A):
        return f"V{match[1]}"
    raise ValueError(f"{text!r} is not a bitrate; write kbit/s, such as 192k, or for mp3 a quality from V0 to V9")


def in_words(bitrate: str) -> str:
    """Return a bitrate, or a quality, with its unit."""
    return bitrate if bitrate.startswith("V") else f"{bitrate} kbit/s"


def mp3_rates(sample_rate: int) -> tuple[int, ...]:
    """Return the bitrates in kbit/s that an MP3 has at a sample rate; none if it does not have that sample rate.

    Those whose frames are too small for the song's exact length are left out.
    """
    rates = next((rates for lowest, rates in MPEG if sample_rate >= lowest), ())
    bytes_per_kbit = (144_000 if sample_rate >= 32_000 else 72_000) / max(sample_rate, 1)
    return tuple(rate for rate in rates if rate * bytes_per_kbit >= SMALLEST_FRAME)


@lru_cache(256)
def nominal(quality: float, sample_rate: int, channels: int) -> int:
    """Return the bitrate in bit/s that Vorbis files of a quality say they have; 0 if they say none.

    Args:
        quality: from 0 to 1.
        sample_rate: Hz.
        channels: number of channels.
    """
    file = io.BytesIO()
    with opened(file, "w", sample_rate, channels, "VORBIS", format="OGG", compression_level=1 - quality):
        pass
    header = file.getvalue()
    place = header.find(b"\x01vorbis") + 20
    return max(int.from_bytes(header[place : place + 4], "little", signed=True), 0)


@lru_cache(256)
def vorbis_quality(bitrate: int, sample_rate: int, channels: int) -> float:
    """Return the quality, from 0 to 1, whose nominal bitrate is closest to one in bit/s."""
    low, high = 0.0, 1.0
    for _ in range(16):
        middle = (low + high) / 2
        low, high = (middle, high) if nominal(middle, sample_rate, channels) < bitrate else (low, middle)
    return high


def _nearest(bitrate: int, name: str, sample_rate: int, channels: int) -> int:
    """Return the bitrate in kbit/s that is nearest to one and that a format has; 0 if it has none."""
    if name == FormatName.mp3:
        # Of two that are equally near, the better one.
        return min(mp3_rates(sample_rate), key=lambda rate: (abs(rate - bitrate), -rate), default=0)
    if name == FormatName.ogg:
        least, most = (nominal(quality, sample_rate, channels) for quality in (0.0, 1.0))
        lowest, highest = -(-least // 1_000), round(most / 1_000)
    elif name == FormatName.opus:
        lowest, highest = LEAST_OPUS * channels, MOST_OPUS * channels
    else:
        most, least = (int(bits * sample_rate * channels) for bits in (MOST_AAC, LEAST_AAC))
        lowest, highest = -(-least // 1_000), most // 1_000
    return min(max(bitrate, lowest), highest)


def contradiction(name: str, bitrate: str) -> str:
    """Say why no file of a format can have a bitrate, from `parsed`; empty if some can."""
    if name in (FormatName.wav, FormatName.flac, FormatName.aiff):
        return f"{name} has no bitrate; leave out --bitrate, or choose --format mp3, ogg or m4a"
    if bitrate.startswith("V"):
        return "" if name == FormatName.mp3 else f"{name} has no quality {bitrate}; write kbit/s, such as 192k"
    if name == FormatName.mp3:
        rates = sorted({rate for lowest, _ in MPEG for rate in mp3_rates(lowest)})
        if int(bitrate) not in rates:
            nearest = min(rates, key=lambda rate: (abs(rate - int(bitrate)), -rate))
            return f"mp3 has no bitrate of {bitrate} kbit/s; the nearest is {nearest}"
    return ""


def refusal(name: str, bitrate: str, sample_rate: int, channels: int) -> str:
    """Say why a file of a format cannot have a bitrate; empty if it can.

    Args:
        name: mp3, ogg, opus, m4a or stem.mp4.
        bitrate: from `parsed`.
        sample_rate: Hz, which the format holds.
        channels: number of channels, which the format holds.
    """
    if reason := contradiction(name, bitrate):
        return reason
    if bitrate.startswith("V"):
        return ""
    nearest = _nearest(int(bitrate), name, sample_rate, channels)
    where = f"{name} with {channels} channel{'s' * (channels > 1)} at {sample_rate} Hz"
    if not nearest:
        return f"{where} has no bitrates to choose from; leave out --bitrate"
    if nearest != int(bitrate):
        return f"{where} cannot have {bitrate} kbit/s; the nearest is {nearest}"
    return ""


def encoder_options(name: str, bitrate: str | None, sample_rate: int, channels: int) -> dict[str, Any]:
    """Return what libsndfile's encoder of a lossy format is to be told.

    Args:
        name: mp3, ogg or opus.
        bitrate: from `parsed`, and not refused; None for the default.
        sample_rate: Hz.
        channels: number of channels.
    """
    if name == FormatName.opus:
        each = int(bitrate) / channels if bitrate else DEFAULT_OPUS
        return {"compression_level": (MOST_OPUS - each) / (MOST_OPUS - LEAST_OPUS)}
    if name == FormatName.ogg:
        if bitrate is None:
            return {"compression_level": 0.2}  # about 270 kbit/s for dense stereo
        return {"compression_level": 1 - vorbis_quality(1_000 * int(bitrate), sample_rate, channels)}
    if bitrate is None:
        return {"bitrate_mode": "CONSTANT", "compression_level": 0.0}  # 320 kbit/s where the rate allows it
    if bitrate.startswith("V"):
        return {"bitrate_mode": "VARIABLE", "compression_level": int(bitrate[1:]) / 10}
    # libsndfile takes a line from the highest bitrate to the lowest, and drops what is behind the point.
    _, rates = next(each for each in MPEG if sample_rate >= each[0])
    level = (rates[-1] - int(bitrate) - 0.5) / (rates[-1] - rates[0])
    return {"bitrate_mode": "CONSTANT", "compression_level": max(level, 0.0)}


def default_aac(sample_rate: int, channels: int) -> int:
    """Return the bitrate of AAC in kbit/s, unless another is asked for: 256 for stereo, where the rate allows it."""
    return min(128 * channels, MOST_AAC * sample_rate * channels // 1_000)

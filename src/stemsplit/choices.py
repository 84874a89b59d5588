"""The closed choices: file formats, bit depths, windows, precisions."""

from enum import StrEnum


class FormatName(StrEnum):
    """The audio files that can be written."""

    wav = "wav"
    flac = "flac"
    ogg = "ogg"
    mp3 = "mp3"


class BitDepth(StrEnum):
    """Bits of a sample; f is floating point."""

    b16 = "16"
    b24 = "24"
    b32f = "32f"


class WindowName(StrEnum):
    """How overlapping chunks are joined."""

    hann = "hann"
    linear = "linear"
    mean = "mean"


class PrecisionName(StrEnum):
    """Number formats of a network's large products."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"

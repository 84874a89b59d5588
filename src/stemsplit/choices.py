"""Defines the closed choices: file formats, windows, ways to combine estimates, precisions, kinds of progress."""

from enum import StrEnum
from typing import NoReturn


class FormatName(StrEnum):
    """The audio files that can be written; `stem.mp4` holds a song and its stems in one file."""

    wav = "wav"
    flac = "flac"
    ogg = "ogg"
    mp3 = "mp3"
    m4a = "m4a"
    aiff = "aiff"
    opus = "opus"
    stem_mp4 = "stem.mp4"


FORMATS_MEANT = {
    **dict.fromkeys(("aac", "mp4"), "m4a"),
    "alac": "m4a with a bit depth of 16 or 24, which is ALAC",
    **dict.fromkeys(("aif", "aifc"), "aiff"),
    **dict.fromkeys(("stem", "stems", "stem.m4a", "traktor", "native instruments"), "stem.mp4"),
    **dict.fromkeys(("vorbis", "oga"), "ogg"),
    **{each.value: each.value for each in FormatName},
    "wave": "wav",
}
"""Other names of formats, and formats as they are often typed -> what is meant."""


def format_meant(text: str) -> str:
    """Return which format a name probably means that is not one of `FormatName`, as a question; empty if unknown.

    >>> format_meant("AAC"), format_meant("tta")
    ('; did you mean m4a?', '')
    """
    other = FORMATS_MEANT.get(text.strip().lower().lstrip("."))
    return f"; did you mean {other}?" if other else ""


class BitDepth(StrEnum):
    """The bits of a sample; f is floating point."""

    b16 = "16"
    b24 = "24"
    b32f = "32f"


class PageAudio(StrEnum):
    """The ways of keeping sound in a page that holds it itself.

    opus: small, for listening.
    flac: exact.
    """

    opus = "opus"
    flac = "flac"


class WindowName(StrEnum):
    """The ways of joining overlapping estimates.

    hann: a raised cosine over the whole overlap, the song continued by reflection at both ends.
    linear: ramps of a tenth of a chunk, reflection at the ends of songs longer than twice the overlap (the RoFormers'
    way).
    mean: the plain mean, nothing beyond the ends (as the papers say).
    """

    hann = "hann"
    linear = "linear"
    mean = "mean"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"window must be one of {', '.join(cls)}, not {value!r}")


class CombineName(StrEnum):
    """The ways of making one stem from several models' estimates of it.

    mean: their weighted mean.
    median: their median, sample by sample.
    max_magnitude: in each bin of a spectrogram, the estimate with the largest magnitude.
    min_magnitude: in each bin, that with the smallest.
    """

    mean = "mean"
    median = "median"
    max_magnitude = "max-magnitude"
    min_magnitude = "min-magnitude"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"combine must be one of {', '.join(cls)}, not {value!r}")


class Estimates(StrEnum):
    """What becomes of a model's estimates.

    raw: they are the stems, as the network gives them.
    consistent: they are changed so that they add up to the mixture, where the model's stems should.
    """

    raw = "raw"
    consistent = "consistent"

    @classmethod
    def _missing_(cls, value: object) -> NoReturn:
        raise ValueError(f"estimates must be one of {', '.join(cls)}, not {value!r}")


class SessionName(StrEnum):
    """The programs that a session of a song's stems can be written for."""

    reaper = "reaper"


class ProgressKind(StrEnum):
    """The ways of showing the progress of a song."""

    auto = "auto"
    json = "json"
    none = "none"


class PrecisionName(StrEnum):
    """Number formats of a network's large products."""

    auto = "auto"
    fp32 = "fp32"
    bf16 = "bf16"
    fp16 = "fp16"
    int8 = "int8"


class WeightBits(StrEnum):
    """The bits of a number in a file of weights."""

    b32 = "32"
    b16 = "16"
    b8 = "8"
    b6 = "6"
    b5 = "5"
    b4 = "4"

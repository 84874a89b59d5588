"""Reads and writes audio files as blocks of samples, and resamples them; it never holds a whole song in memory."""

from stemsplit.audio.conversion import Block, layout, resampled
from stemsplit.audio.formats import BIT_DEPTHS, FORMATS, bytes_per_sample, unsupported
from stemsplit.audio.reader import Reader, Song, examine
from stemsplit.audio.tags import KEYS as TAGS
from stemsplit.audio.tags import read_tags
from stemsplit.audio.writer import Writer

__all__ = [
    "BIT_DEPTHS",
    "FORMATS",
    "TAGS",
    "Block",
    "Reader",
    "Song",
    "Writer",
    "bytes_per_sample",
    "examine",
    "layout",
    "read_tags",
    "resampled",
    "unsupported",
]

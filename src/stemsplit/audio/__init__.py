"""Reads and writes audio files as blocks of samples, and resamples them; it never holds a whole song in memory."""

from stemsplit.audio.conversion import Block, layout, resampled
from stemsplit.audio.formats import WAV, Format
from stemsplit.audio.reader import Reader, Song, examine
from stemsplit.audio.tagging.values import KEYS as TAGS
from stemsplit.audio.tags import read_tags
from stemsplit.audio.writer import Writer

__all__ = [
    "TAGS",
    "WAV",
    "Block",
    "Format",
    "Reader",
    "Song",
    "Writer",
    "examine",
    "layout",
    "read_tags",
    "resampled",
]

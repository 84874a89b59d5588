"""Files to blocks of samples and back: reading, writing, resampling, channel layout. Never holds a whole song."""

from stemsplit.audio.conversion import Block, layout, resampled
from stemsplit.audio.reader import Reader, Song, examine
from stemsplit.audio.writer import BIT_DEPTHS, FORMATS, Writer, bytes_per_sample, unsupported

__all__ = [
    "BIT_DEPTHS",
    "FORMATS",
    "Block",
    "Reader",
    "Song",
    "Writer",
    "bytes_per_sample",
    "examine",
    "layout",
    "resampled",
    "unsupported",
]

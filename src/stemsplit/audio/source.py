"""Defines what a decoder is: an open file whose samples are read from start to end."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.float32]
"""Samples as (frames, channels), the order in files."""

BLOCK_FRAMES = 1 << 15
"""Frames that are read or written at once. libsndfile crashes on minutes of Vorbis in one call."""


class UnreadableError(Exception):
    """A file cannot be read; `reason` says why, and `advice` what a user can do."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason, self.advice = reason, advice


class Source(Protocol):
    """An open file that is decoded from start to end, by one thread at a time; several may take turns.

    Attributes:
        sample_rate: sample rate in Hz.
        channels: number of channels.
        frames: length by the file's header, in samples per channel; None if the header does not hold it. It may be
            that of another track, and then only tells how much to expect.
        promised: `frames` where fewer of them mean that the file is cut off; None elsewhere.
        slack: number of frames fewer that do not mean it: decoders of lossy codecs disagree by an encoder's delay.
        container: libsndfile's name for the type of file ("WAV"); empty if only ffmpeg reads it.
        coding: libsndfile's name for the coding of the samples ("PCM_24"), or ffmpeg's name for a lossy codec.
        layout: ffmpeg's name for the layout of the channels ("5.1(side)"); empty if it is unknown, or libsndfile reads.
        warning: what people should know of the file, complete after the last frame; empty if there is nothing.
        note: which of several audio tracks is read; empty if there is one, or if it was chosen.
    """

    sample_rate: int
    channels: int
    frames: int | None
    promised: int | None
    slack: int
    container: str
    coding: str
    layout: str
    warning: str
    note: str

    def skip(self, frames: int) -> int:
        """Skip towards a frame, where that is exact; return the position, which may be before it."""

    def read(self) -> Frames:
        """Return the next frames, (frames, channels); none at the end."""

    def close(self) -> None:
        """Close the file."""

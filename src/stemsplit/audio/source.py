"""What a decoder is: an open file whose samples come from start to end."""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Frames = npt.NDArray[np.float32]
"""(frames, channels), as files hold them."""

BLOCK_FRAMES = 1 << 15
"""Frames read or written at once. libsndfile crashes when it is given minutes of Vorbis in one call."""


class UnreadableError(Exception):
    """Why a file gives no audio, and what a person may do about it."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason, self.advice = reason, advice


class Source(Protocol):
    """An open file, decoded from start to end. One thread at a time; several may take turns.

    Attributes:
        sample_rate: Hz.
        channels: how many.
        frames: how long the file says it is; None if it does not say.
        container: what kind of file it is, in libsndfile's words ("WAV"); empty if only ffmpeg reads it.
        coding: how it holds samples, in libsndfile's words ("PCM_24"); a lossy codec of ffmpeg's in ffmpeg's.
    """

    sample_rate: int
    channels: int
    frames: int | None
    container: str
    coding: str

    def skip(self, frames: int) -> int:
        """Make the way to a later frame shorter, where that is exact; gives the frame that comes next."""

    def read(self) -> Frames:
        """The next frames, (frames, channels); none at the end."""

    def close(self) -> None:
        """Let go of the file."""

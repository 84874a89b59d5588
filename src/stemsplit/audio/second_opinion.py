"""Reads a FLAC with two decoders: where one gives up, the other one goes on."""

import shutil
from contextlib import suppress
from pathlib import Path

from stemsplit.audio.containers.extents import NO_LENGTH
from stemsplit.audio.ffmpeg import FfmpegSource
from stemsplit.audio.libsndfile import SoundFileSource
from stemsplit.audio.source import Frames, UnreadableError


class SecondOpinion:
    """Reads a lossless file through libsndfile, and what that cannot read through ffmpeg, if there is one.

    libsndfile stops before the end of a FLAC that something follows: tags of other programs, or another recording.

    Args:
        path: file.
        first: the file as libsndfile reads it.
    """

    def __init__(self, path: Path, first: SoundFileSource) -> None:
        self.path, self.first = path, first
        self.second: FfmpegSource | None = None
        self.sample_rate, self.channels, self.container = first.sample_rate, first.channels, first.container
        self.frames, self.promised, self.coding, self.slack = first.frames, first.promised, first.coding, first.slack
        self.warning = NO_LENGTH if first.frames is None else ""
        self.note, self.layout, self.done = "", "", 0

    def skip(self, frames: int) -> int:
        """Jump to a frame, and return the position."""
        self.done = self.first.skip(frames)
        return self.done

    def read(self) -> Frames:
        """Return the next frames; none at the end.

        Raises:
            UnreadableError: neither decoder can read on.
        """
        if self.second is None:
            try:
                frames = self.first.read()
            except UnreadableError as error:
                return self._again(error)
        else:
            frames = self.second.read()
        self.done += len(frames)
        if self.second and not len(frames) and self.promised and self.done > self.promised:
            self.warning = "several recordings are joined in it; what ffmpeg plays of them is split"
        return frames

    def _again(self, error: UnreadableError) -> Frames:
        """Return the frames from the present position on as ffmpeg reads them, or raise the error if it cannot."""
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            raise error
        with suppress(UnreadableError):  # then the first decoder's error says enough
            self.second, place = FfmpegSource(self.path, ffmpeg, "1"), 0
            if (self.second.sample_rate, self.second.channels) != (self.sample_rate, self.channels):
                raise error
            while len(frames := self.second.read()):
                place += len(frames)
                if place > self.done:
                    rest = frames[len(frames) - (place - self.done) :]
                    self.done = place
                    return rest
        raise error

    def close(self) -> None:
        """Close the file."""
        self.first.close()
        if self.second is not None:
            self.second.close()

"""Decodes files with libsndfile, and works around its pitfalls."""

import os
import re
import shutil
from contextlib import suppress
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Any

import soundfile

from stemsplit.audio.ogg import ends_as_ogg
from stemsplit.audio.source import BLOCK_FRAMES, Frames, UnreadableError

UNKNOWN = (1 << 63) - 1
"""Length that libsndfile gives for a file whose header does not hold it."""

OPENING = Lock()
"""Held while a file is opened, see `opened`."""

SEEKABLE = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"}
SEEKABLE_CODINGS = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
"""Containers and codings in which libsndfile finds any frame exactly. Lossy files decode differently after a jump."""


def native(path: Path) -> str | bytes:
    """Return a file's name in a form that soundfile always accepts: on Unix, names are bytes and need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def reason(error: Exception) -> str:
    """Return libsndfile's message without its prefixes."""
    return re.sub(r"^(Error opening .*?: |Error : )+", "", str(getattr(error, "error_string", error))).rstrip(".")


def opened(file: str | bytes | int | IO[bytes], *args: Any, **options: Any) -> soundfile.SoundFile:
    """Open a soundfile.SoundFile; unlike its constructor, safe in any thread."""
    # libsndfile keeps the last error of opening a file per process, not per thread; soundfile has its own lock for that
    # from 0.14 on.
    with OPENING:
        return soundfile.SoundFile(file, *args, **options)


def piped(path: Path, failures: list[OSError]) -> int:
    """Return the reading end of a pipe that holds an MP3 from its first frame on, without the tags before it.

    If an MP3 does not hold its length, libsndfile guesses it from the first frames, and stops there. From a pipe, it
    reads to the end. Errors of reading the file are added to `failures` before the pipe ends.
    """
    reading, writing = os.pipe()

    def feed() -> None:
        # A reader that stops early breaks the pipe, which is not an error.
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe:
            try:
                with path.open("rb") as file:
                    while (head := file.read(10))[:3] == b"ID3":
                        size = sum(
                            (byte & 0x7F) << shift for byte, shift in zip(head[6:], (21, 14, 7, 0), strict=False)
                        )
                        file.seek(size, os.SEEK_CUR)
                    file.seek(-len(head), os.SEEK_CUR)
                    shutil.copyfileobj(file, pipe)
            except BrokenPipeError:
                raise
            except OSError as error:
                failures.append(error)

    Thread(target=feed, daemon=True).start()
    return reading


def cut_off(log: str) -> str:
    """Return how much of the data that a header promises is in the file, from libsndfile's log; empty if all is.

    libsndfile corrects the length silently. The lines in its log are those of WAV (data), AIFF (SSND), AU (Data Size)
    and W64 (riff).
    """
    pattern = r"^\s*(data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)"
    for name, promised, present in re.findall(pattern, log, re.M):
        # Programs that write to a pipe leave the largest possible size, or 0.
        if int(present) < int(promised) < 0x7FFF_0000:
            return f"{present} of {promised} bytes of its {name} are there"
    return ""


class SoundFileSource:
    """Reads a file through libsndfile."""

    def __init__(self, path: Path) -> None:
        self.file = opened(native(path))
        self.container: str = self.file.format
        self.coding: str = self.file.subtype
        self.layout = ""
        self.failures: list[OSError] = []
        if self.container == "MP3":
            with suppress(soundfile.SoundFileError):  # with junk before the first frame, only the file opens
                self.file = opened(piped(path, self.failures))
        # soundfile would ask for its position after every block, which fails in files that do not hold their length.
        self.file.seekable = lambda: False
        self.sample_rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.frames: int | None = self.file.frames if self.file.frames < UNKNOWN else None
        self.cut_off = cut_off(str(self.file.extra_info))
        if self.container == "OGG" and not ends_as_ogg(path):
            self.cut_off = "its last page does not say that it is the last"
        self.done = 0

    def skip(self, frames: int) -> int:
        """Jump to a frame if libsndfile finds it exactly, and return the position."""
        inside = self.frames is not None and frames < self.frames
        if frames and inside and self.container in SEEKABLE and self.coding in SEEKABLE_CODINGS:
            try:
                self.done = self.file.seek(frames)
            except soundfile.SoundFileError as error:
                seconds = frames / self.sample_rate
                raise UnreadableError(f"it is damaged or cut off before {seconds:.1f} s: {reason(error)}") from error
        return self.done

    def _check_disk(self) -> None:
        """Raise UnreadableError if the rest of the file could not be read from the disk."""
        if self.failures:
            raise UnreadableError((self.failures[0].strerror or "the system refuses").lower())

    def read(self) -> Frames:
        """Return the next frames; none at the end.

        Raises:
            UnreadableError: the file is damaged or cut off, or cannot be read from the disk.
        """
        try:
            frames: Frames = self.file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            self._check_disk()
            seconds = self.done / self.sample_rate
            raise UnreadableError(f"it is damaged or cut off after about {seconds:.1f} s: {reason(error)}") from error
        if not len(frames):
            self._check_disk()
            if self.cut_off:
                raise UnreadableError(f"it is cut off: {self.cut_off}")
        self.done += len(frames)
        return frames

    def close(self) -> None:
        """Close the file."""
        self.file.close()

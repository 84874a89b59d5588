"""What libsndfile decodes, and how it is asked to without its pitfalls."""

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
"""What libsndfile says of a file whose header does not tell its length."""

OPENING = Lock()

SEEKABLE = {"WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "FLAC"}
SEEKABLE_CODINGS = {"PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"}
"""Where libsndfile finds any frame exactly; in lossy files what it decodes after a jump is a little different."""


def native(path: Path) -> str | bytes:
    """A file's name as soundfile takes any: Unix names are bytes, which need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


def reason(error: Exception) -> str:
    """Libsndfile's own words, without its prefixes."""
    return re.sub(r"^(Error opening .*?: |Error : )+", "", str(getattr(error, "error_string", error))).rstrip(".")


def opened(file: str | bytes | int | IO[bytes], *args: Any, **options: Any) -> soundfile.SoundFile:
    """soundfile.SoundFile, from any thread."""
    # libsndfile keeps the reason why a file could not be opened for the whole process, not for the thread; soundfile
    # sees to that itself from 0.14 on.
    with OPENING:
        return soundfile.SoundFile(file, *args, **options)


def piped(path: Path, failures: list[OSError]) -> int:
    """The reading end of a pipe that gives an MP3 from its first frame on, past any tags.

    Of an MP3 that does not tell its length, libsndfile guesses it from the first frames, and stops there; from a pipe
    it reads to the end. What goes wrong with the file stands in `failures` before the pipe ends.
    """
    reading, writing = os.pipe()

    def feed() -> None:
        # A reader that stops early breaks the pipe, which is no error.
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
    """What a header promises and the file lacks, from libsndfile's log; it mends this silently. Empty if all is there.

    The lines are those of WAV (data), AIFF (SSND), AU (Data Size) and W64 (riff).
    """
    for name, said, there in re.findall(r"^\s*(data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", log, re.M):
        # Programs that write to a pipe leave the largest size there is, or none.
        if int(there) < int(said) < 0x7FFF_0000:
            return f"{there} of {said} bytes of its {name} are there"
    return ""


class SoundFileSource:
    """Reads through libsndfile."""

    def __init__(self, path: Path) -> None:
        self.file = opened(native(path))
        self.container: str = self.file.format
        self.coding: str = self.file.subtype
        self.failures: list[OSError] = []
        if self.container == "MP3":
            with suppress(soundfile.SoundFileError):  # with junk before its first frame, only the file will do
                self.file = opened(piped(path, self.failures))
        # soundfile would look for its place after every block, which fails in files that do not tell their length.
        self.file.seekable = lambda: False
        self.sample_rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.frames: int | None = self.file.frames if self.file.frames < UNKNOWN else None
        self.cut_off = cut_off(str(self.file.extra_info))
        if self.container == "OGG" and not ends_as_ogg(path):
            self.cut_off = "its last page does not say that it is the last"
        self.done = 0

    def skip(self, frames: int) -> int:
        """Go straight to a frame, where that is exact."""
        known = self.frames is not None and frames < self.frames
        if frames and known and self.container in SEEKABLE and self.coding in SEEKABLE_CODINGS:
            try:
                self.done = self.file.seek(frames)
            except soundfile.SoundFileError as error:
                seconds = frames / self.sample_rate
                raise UnreadableError(f"it is damaged or cut off before {seconds:.1f} s: {reason(error)}") from error
        return self.done

    def _check_disk(self) -> None:
        """Raises if there is more in the file, but it could not be had."""
        if self.failures:
            raise UnreadableError((self.failures[0].strerror or "the system refuses").lower())

    def read(self) -> Frames:
        """The next frames; none at the end."""
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
        """Let go of the file."""
        self.file.close()

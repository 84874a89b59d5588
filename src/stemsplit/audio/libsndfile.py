"""Decodes files with libsndfile, and works around its pitfalls."""

import os
import re
import shutil
from contextlib import closing, suppress
from pathlib import Path
from threading import Lock, Thread
from typing import IO, Any

import soundfile

from stemsplit.audio.containers import mpeg
from stemsplit.audio.containers.extent import Extent
from stemsplit.audio.containers.spliced import Spliced
from stemsplit.audio.mpg123 import quiet
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
    with OPENING, quiet():
        return soundfile.SoundFile(file, *args, **options)


def piped(path: Path, failures: list[OSError], end: int | None = None) -> int:
    """Return the reading end of a pipe that holds an MP3 from its first frame on, without the tags before it.

    If an MP3 does not hold its length, libsndfile guesses it from the first frames, and stops there. From a pipe, it
    reads to the end, or to the offset `end` of the file. Errors of reading the file are added to `failures` before the
    pipe ends.
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
                    left = file.seek(-len(head), os.SEEK_CUR)
                    source = file if end is None else Spliced(path, [(left, end)])
                    with closing(source):
                        shutil.copyfileobj(source, pipe)
                    if isinstance(source, Spliced) and source.failure:
                        raise source.failure
            except BrokenPipeError:
                raise
            except OSError as error:
                failures.append(error)

    Thread(target=feed, daemon=True).start()
    return reading


class SoundFileSource:
    """Reads a file through libsndfile.

    Args:
        path: audio file.
        extent: where its sound lies, if it is a file that says it in a size.
        end: offset at which an MP3 ends; None where the file does.
    """

    def __init__(self, path: Path, extent: Extent | None = None, end: int | None = None) -> None:
        self.failures: list[OSError] = []
        self.spliced: IO[bytes] | None = None
        self.note, self.warning, self.layout = "", extent.warning if extent else "", ""
        if extent and extent.mended:
            self.spliced = extent.open(path)
            self.file = opened(self.spliced)
        elif mpeg.is_mpeg(path):
            self.file = self._from_pipe(path, end)
        else:
            self.file = opened(native(path))
        # soundfile would ask for its position after every block, which fails in files that do not hold their length.
        self.file.seekable = lambda: False
        self.container: str = self.file.format
        self.coding: str = self.file.subtype
        self.sample_rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.frames: int | None = self.file.frames if self.file.frames < UNKNOWN else None
        self.promised = self.frames
        self.slack = 0 if self.is_exact else self.sample_rate // 10
        self.cut_off = extent.cut if extent else ""
        self.done = 0

    @property
    def is_exact(self) -> bool:
        """Whether libsndfile finds any frame exactly."""
        return self.container in SEEKABLE and self.coding in SEEKABLE_CODINGS

    def _from_pipe(self, path: Path, end: int | None) -> soundfile.SoundFile:
        """Open an MP3, from its first frame on: a file that is opened by its name makes libmpg123 print remarks."""
        try:
            return opened(piped(path, self.failures, end))
        except soundfile.SoundFileError:  # as with junk before the first frame
            return opened(native(path))

    def skip(self, frames: int) -> int:
        """Jump to a frame if libsndfile finds it exactly, and return the position."""
        inside = self.frames is not None and frames < self.frames
        if frames and inside and self.is_exact:
            try:
                self.done = self.file.seek(frames)
            except soundfile.SoundFileError as error:
                seconds = frames / self.sample_rate
                raise UnreadableError(f"it is damaged or cut off before {seconds:.1f} s: {reason(error)}") from error
        return self.done

    def _check_disk(self) -> None:
        """Raise UnreadableError if the rest of the file could not be read from the disk."""
        failure = getattr(getattr(self.spliced, "raw", None), "failure", None)
        for error in (*self.failures, *([failure] if failure else [])):
            raise UnreadableError((error.strerror or "the system refuses").lower())

    def read(self) -> Frames:
        """Return the next frames; none at the end.

        Raises:
            UnreadableError: the file is damaged or cut off, or cannot be read from the disk.
        """
        wanted = BLOCK_FRAMES
        if self.container == "FLAC" and self.frames is not None:
            # What follows the last frame, such as tags of other programs, would be taken for a damaged one.
            wanted = min(wanted, self.frames - self.done)
        try:
            with quiet():
                frames: Frames = self.file.read(wanted, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            self._check_disk()
            if self.cut_off:
                raise UnreadableError(f"it is cut off: {self.cut_off}") from error
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
        if self.spliced is not None:
            self.spliced.close()

"""Encodes m4a files (AAC) with ffmpeg, as libsndfile cannot, and finds out how much of them a player plays."""

import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np

from stemsplit.audio.source import Frames

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Number of channels -> ffmpeg's name for the speakers that they have in a WAV file, in that order."""

TAGS = {"tracknumber": "track"}
"""Tag -> ffmpeg's name for it, where that is another."""

FRAME = 1_024
"""Samples in a frame of AAC. The encoder's delay is one frame; the edit list skips it."""

DESCRIPTORS = Path("/dev/fd")
"""Folder in which Unix systems show a process its open files."""


def _boxes(file: IO[bytes], end: int) -> Iterator[tuple[bytes, int]]:
    """Yield the name and the end of each box of an MP4 file from its position on; the file is then at its content."""
    while (place := file.tell()) <= end - 8:
        size, name = struct.unpack(">I4s", file.read(8))
        if size == 1:
            size = int.from_bytes(file.read(8), "big")
        after = place + size if size else end
        if not file.tell() <= after <= end:
            return
        yield name, after
        file.seek(after)


def _content(file: IO[bytes], end: int, *way: bytes) -> bytes:
    """Return the content of the first box that a list of names leads to, box by box; empty if there is none."""
    for name, after in _boxes(file, end):
        if name == way[0]:
            return _content(file, after, *way[1:]) if way[1:] else file.read(after - file.tell())
    return b""


def played(file: IO[bytes], sample_rate: int) -> tuple[int, int]:
    """Return which samples of an m4a's first track a player plays, by its edit list: the first, and how many.

    Args:
        file: an m4a, written by ffmpeg with a movie timescale of the sample rate.
        sample_rate: Hz.

    Returns:
        (0, 0) if the file is not whole, or has another timescale, or another number of edits than one.
    """
    end = file.seek(0, os.SEEK_END)
    file.seek(0)
    heading = _content(file, end, b"moov", b"mvhd")
    file.seek(0)
    edits = _content(file, end, b"moov", b"trak", b"edts", b"elst")
    # After version and flags, `mvhd` has two times of 4 or 8 bytes before the timescale.
    place = 20 if heading[:1] == b"\1" else 12
    if int.from_bytes(heading[place : place + 4], "big") != sample_rate or edits[4:8] != b"\0\0\0\1":
        return 0, 0
    length, first = struct.unpack(">Qq" if edits[:1] == b"\1" else ">Ii", edits[8 : 24 if edits[:1] == b"\1" else 16])
    return first, length


class Encoder:
    """An m4a file that ffmpeg encodes while its samples are written.

    Its methods are those of `soundfile.SoundFile` that `Writer` uses; its errors are OSErrors.

    Args:
        file: empty file, open for reading and writing, to write into.
        path: name of the file, for systems where ffmpeg cannot be handed an open file.
        sample_rate: Hz, one that AAC has.
        channels: number of channels, in the order of `LAYOUTS`.
        bitrate: kbit/s.
        tags: tags of the file.

    Raises:
        OSError: ffmpeg cannot be started.
    """

    def __init__(
        self, file: IO[bytes], path: Path, sample_rate: int, channels: int, bitrate: int, tags: Mapping[str, str]
    ) -> None:
        self.stream, self.sample_rate, self.channels = file, sample_rate, channels
        self.place = DESCRIPTORS / str(file.fileno()) if DESCRIPTORS.exists() else path.absolute()
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed in kill()
        try:
            self.process = self._started(*self._encoding(bitrate, tags), stdin=subprocess.PIPE)
        except BaseException:
            self.messages.close()
            raise

    def _encoding(self, bitrate: int, tags: Mapping[str, str]) -> list[str]:
        """Return ffmpeg's arguments for encoding."""
        layout = ["-ac", str(self.channels), "-channel_layout", LAYOUTS[self.channels]]
        samples = ["-f", "f32le", "-ar", str(self.sample_rate), *layout, "-i", "pipe:0"]
        named = [each for key, text in tags.items() for each in ("-metadata", f"{TAGS.get(key, key)}={text}")]
        # Neither the encoder's version nor a time is kept, and lengths are to the sample, not to the millisecond.
        exact = ["-fflags", "+bitexact", "-flags:a", "+bitexact", "-movie_timescale", str(self.sample_rate)]
        return [
            *samples,
            "-c:a",
            "aac",
            "-b:a",
            f"{bitrate}k",
            *named,
            *exact,
            "-f",
            "ipod",
            "-y",
            f"file:{self.place}",
        ]

    def _started(
        self, *arguments: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.DEVNULL
    ) -> subprocess.Popen[bytes]:
        """Start ffmpeg, which can open the file."""
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            raise FileNotFoundError("ffmpeg was not found; install it")
        return subprocess.Popen(
            [ffmpeg, "-nostdin", "-nostats", "-hide_banner", "-loglevel", "error", "-xerror", *arguments],
            stdin=stdin,
            stdout=stdout,
            stderr=self.messages,
            pass_fds=(self.stream.fileno(),) if self.place.parent == DESCRIPTORS else (),
            # Ctrl-C in a terminal must not reach ffmpeg: it would end the file there, as if it were whole.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )

    def _check_end(self) -> None:
        """Wait for ffmpeg to end; raise OSError if it failed."""
        status = self.process.wait()
        self.messages.seek(0)
        lines = self.messages.read().decode(errors="replace").splitlines()
        if status < 0:
            raise ChildProcessError(f"ffmpeg was ended by signal {-status}")
        if status:
            # The last part of the first line is the cause.
            why = lines[0].split("] ")[-1].split(": ")[-1].strip().rstrip(".") if lines else f"exit status {status}"
            raise ChildProcessError(f"ffmpeg failed: {why}")

    def write(self, frames: Frames) -> None:
        """Encode the next frames, (frames, channels).

        Raises:
            OSError: ffmpeg has ended.
        """
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(frames.astype("<f4", copy=False).tobytes())
        except OSError:
            self._check_end()
            raise

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: ffmpeg failed.
        """
        assert self.process.stdin is not None
        with suppress(BrokenPipeError):  # ffmpeg's own message says more
            self.process.stdin.close()
        self._check_end()

    def count(self) -> int:
        """Decode the finished file, and return how many frames of it a player plays.

        Raises:
            OSError: the file cannot be decoded to its end.
        """
        self.stream.seek(0)
        first, said = played(self.stream, self.sample_rate)
        self.stream.seek(0)
        self.messages.close()
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed in kill()
        decoding = ["-i", f"file:{self.place}", "-map", "0:a:0", "-f", "f32le", "pipe:1"]
        self.process = self._started(*decoding, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        size = 0
        while data := self.process.stdout.read(1 << 18):
            size += len(data)
        self._check_end()
        # Some versions of ffmpeg decode the last frame to its end, which the edit list cuts off.
        return min(said, size // (4 * self.channels)) if first == FRAME else 0

    def kill(self) -> None:
        """Stop ffmpeg, whether the file is whole or not."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.messages):
            with suppress(OSError, AttributeError):
                pipe.close()  # type: ignore[union-attr]  # a pipe may be None


@lru_cache(4)
def trial(ffmpeg: str) -> str:  # noqa: ARG001  # another program is tried anew
    """Encode some silence, and say why that failed; the text is empty if it did not.

    Args:
        ffmpeg: path of the program, as `shutil.which` finds it.
    """
    frames = np.zeros((3_000, 2), np.float32)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            tempfile.NamedTemporaryFile(dir=folder, delete=False) as named,  # Windows shares it only if it is kept
        ):
            encoder = Encoder(named.file, Path(named.name), 44_100, 2, 256, {})
            try:
                encoder.write(frames)
                encoder.close()
                return "" if encoder.count() == len(frames) else "the file has another length"
            finally:
                encoder.kill()
    except OSError as error:
        return str(error)

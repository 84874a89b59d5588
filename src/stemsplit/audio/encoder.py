"""Encodes m4a files (AAC, or Apple Lossless) with ffmpeg, as libsndfile cannot."""

import shutil
import subprocess
import tempfile
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO

import numpy as np
import numpy.typing as npt

from stemsplit.audio.containers.mp4 import played
from stemsplit.audio.source import Frames

Integers = npt.NDArray[np.int32]

LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
"""Number of channels -> ffmpeg's name for the speakers that they have in a WAV file, in that order."""

FRAME = 1_024
"""Samples in a frame of AAC. The encoder's delay is one frame; the edit list skips it. Apple Lossless has no delay."""

SAMPLES = {0: ("f32le", "<f4"), 16: ("s16le", "<i2"), 24: ("s32le", "<i4")}
"""Bits of a sample, 0 for AAC -> ffmpeg's and NumPy's names for the samples that the encoder gets."""

DESCRIPTORS = Path("/dev/fd")
"""Folder in which Unix systems show a process its open files."""


class Encoder:
    """An m4a file that ffmpeg encodes while its samples are written.

    Its methods are those of `soundfile.SoundFile` that `Writer` uses; its errors are OSErrors.

    Args:
        file: empty file, open for reading and writing, to write into.
        path: name of the file, for systems where ffmpeg cannot be handed an open file.
        sample_rate: Hz, one that AAC has.
        channels: number of channels, in the order of WAV files.
        bitrate: kbit/s of AAC.
        mask: channel mask of their speakers; 0 for those of `LAYOUTS`.
        bits: 16 or 24 bits of a sample, for Apple Lossless; 0 for AAC.

    Raises:
        OSError: ffmpeg cannot be started.
    """

    def __init__(
        self, file: IO[bytes], path: Path, sample_rate: int, channels: int, bitrate: int, mask: int = 0, bits: int = 0
    ) -> None:
        self.stream, self.sample_rate, self.channels, self.bits = file, sample_rate, channels, bits
        self.place = DESCRIPTORS / str(file.fileno()) if DESCRIPTORS.exists() else path.absolute()
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed in kill()
        try:
            self.process = self._started(*self._encoding(bitrate, mask), stdin=subprocess.PIPE)
        except BaseException:
            self.messages.close()
            raise

    def _encoding(self, bitrate: int, mask: int) -> list[str]:
        """Return ffmpeg's arguments for encoding."""
        layout = ["-ac", str(self.channels), "-channel_layout", f"{mask:#x}" if mask else LAYOUTS[self.channels]]
        samples = ["-f", SAMPLES[self.bits][0], "-ar", str(self.sample_rate), *layout, "-i", "pipe:0"]
        aac, alac = ["aac", "-b:a", f"{bitrate}k"], ["alac", "-sample_fmt", "s16p" if self.bits == 16 else "s32p"]
        # Neither the encoder's version nor a time is kept, and lengths are to the sample, not to the millisecond.
        exact = ["-fflags", "+bitexact", "-flags:a", "+bitexact", "-movie_timescale", str(self.sample_rate)]
        return [
            *samples,
            "-c:a",
            *(alac if self.bits else aac),
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

    def write(self, frames: Frames | Integers) -> None:
        """Encode the next frames, (frames, channels): floats for AAC, left-aligned integers for Apple Lossless.

        Raises:
            OSError: ffmpeg has ended.
        """
        assert self.process.stdin is not None
        if self.bits == 16:
            frames = frames.astype(np.int32, copy=False) >> 16
        try:
            self.process.stdin.write(frames.astype(SAMPLES[self.bits][1], copy=False).tobytes())
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
        form = "s16le" if self.bits == 16 else "f32le"
        decoding = ["-i", f"file:{self.place}", "-map", "0:a:0", "-f", form, "pipe:1"]
        self.process = self._started(*decoding, stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        size = 0
        while data := self.process.stdout.read(1 << 18):
            size += len(data)
        self._check_end()
        # Some versions of ffmpeg decode the last frame to its end, which the edit list cuts off.
        there = size // ((2 if self.bits == 16 else 4) * self.channels)
        return min(said, there) if first == (0 if self.bits else FRAME) else 0

    def kill(self) -> None:
        """Stop ffmpeg, whether the file is whole or not."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.messages):
            with suppress(OSError, AttributeError):
                pipe.close()  # type: ignore[union-attr]  # a pipe may be None


@lru_cache(4)
def trial(ffmpeg: str, bits: int = 0) -> str:  # noqa: ARG001  # another program is tried, too
    """Encode some silence, and say why that failed; the text is empty if it did not.

    Args:
        ffmpeg: path of the program, as `shutil.which` finds it.
        bits: see `Encoder`.
    """
    frames = np.zeros((3_000, 2), np.float32)
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            tempfile.NamedTemporaryFile(dir=folder, delete=False) as named,  # Windows shares it only if it is kept
        ):
            encoder = Encoder(named.file, Path(named.name), 44_100, 2, 256, bits=bits)
            try:
                encoder.write(frames)
                encoder.close()
                return "" if encoder.count() == len(frames) else "the file has another length"
            finally:
                encoder.kill()
    except OSError as error:
        return str(error)

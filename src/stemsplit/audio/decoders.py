"""What decodes a file: libsndfile, or ffmpeg for what that does not know."""

import os
import re
import shlex
import shutil
import struct
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt
import soundfile

Frames = npt.NDArray[np.float32]
"""(frames, channels), as files hold them."""

BLOCK_FRAMES = 1 << 15
"""Frames read or written at once. libsndfile crashes when it is given minutes of Vorbis in one call."""

UNKNOWN = (1 << 63) - 1
"""What libsndfile says of a file whose header does not tell its length."""


class UnreadableError(Exception):
    """Why a file gives no audio, and what a person may do about it."""

    def __init__(self, reason: str, advice: str = "") -> None:
        super().__init__(reason)
        self.reason, self.advice = reason, advice


def native(path: Path) -> str | bytes:
    """A file's name as soundfile takes any: Unix names are bytes, which need not be text."""
    return str(path) if os.name == "nt" else os.fsencode(path)


class Source(Protocol):
    """An open file, decoded from start to end."""

    sample_rate: int
    channels: int
    frames: int | None

    def read(self) -> Frames:
        """The next frames, (frames, channels); none at the end."""

    def close(self) -> None:
        """Let go of the file."""


def piped(path: Path) -> int:
    """The reading end of a pipe that gives an MP3 from its first frame on, past any tags.

    Of an MP3 that does not tell its length, libsndfile guesses it from the first frames, and stops there; from a pipe
    it reads to the end.
    """
    reading, writing = os.pipe()

    def feed() -> None:
        # A reader that stops early breaks the pipe, which is no error.
        with suppress(BrokenPipeError), os.fdopen(writing, "wb") as pipe, path.open("rb") as file:
            while (head := file.read(10))[:3] == b"ID3":
                size = sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=False))
                file.seek(size, os.SEEK_CUR)
            file.seek(-len(head), os.SEEK_CUR)
            shutil.copyfileobj(file, pipe)

    Thread(target=feed, daemon=True).start()
    return reading


class SoundFileSource:
    """Reads through libsndfile."""

    def __init__(self, path: Path) -> None:
        self.file = soundfile.SoundFile(native(path))
        if self.file.format == "MP3":
            with suppress(soundfile.SoundFileError):  # with junk before its first frame, only the file will do
                self.file = soundfile.SoundFile(piped(path))
        # soundfile would look for its place after every block, which fails in files that do not tell their length.
        self.file.seekable = lambda: False
        self.sample_rate: int = self.file.samplerate
        self.channels: int = self.file.channels
        self.frames: int | None = self.file.frames if self.file.frames < UNKNOWN else None
        self.cut_off = cut_off(str(self.file.extra_info))
        if self.file.format == "OGG" and not ends_as_ogg(path):
            self.cut_off = "its last page does not say that it is the last"
        self.done = 0

    def read(self) -> Frames:
        """The next frames; none at the end."""
        if self.cut_off:
            raise UnreadableError(f"it is cut off: {self.cut_off}")
        try:
            frames: Frames = self.file.read(BLOCK_FRAMES, dtype="float32", always_2d=True)
        except soundfile.SoundFileError as error:
            seconds = self.done / self.sample_rate
            raise UnreadableError(f"it is damaged or cut off after about {seconds:.1f} s: {reason(error)}") from error
        self.done += len(frames)
        return frames

    def close(self) -> None:
        """Let go of the file."""
        self.file.close()


def reason(error: Exception) -> str:
    """Libsndfile's own words, without its prefixes."""
    return re.sub(r"^(Error opening .*?: |Error : )+", "", str(getattr(error, "error_string", error))).rstrip(".")


def cut_off(log: str) -> str:
    """What a header promises and the file lacks, from libsndfile's log; it mends this silently. Empty if all is there.

    The lines are those of WAV (data), AIFF (SSND), AU (Data Size) and W64 (riff).
    """
    for name, said, there in re.findall(r"^\s*(data|SSND|Data Size|riff)\s*: (\d+) \(should be (\d+)\)", log, re.M):
        # Programs that write to a pipe leave the largest size there is, or none.
        if int(there) < int(said) < 0x7FFF_0000:
            return f"{there} of {said} bytes of its {name} are there"
    return ""


def ends_as_ogg(path: Path) -> bool:
    """Whether the last page of an Ogg file (Vorbis, Opus, FLAC) is marked as its end."""
    with path.open("rb") as file:
        # A page is at most 65,307 bytes long; in its sixth byte stand its flags.
        file.seek(max(path.stat().st_size - 70_000, 0))
        end = file.read()
    page = end.rfind(b"OggS")
    return 0 <= page < len(end) - 5 and bool(end[page + 5] & 4)


class FfmpegSource:
    """Reads through ffmpeg, as a float stream in the AU format, whose header tells rate and channels."""

    def __init__(self, path: Path, ffmpeg: str) -> None:
        # `file:` and an absolute path: a name may begin with a dash or look like a URL.
        command = [ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "error", "-xerror", "-i", f"file:{path.absolute()}"]
        command += ["-map", "0:a:0", "-f", "au", "-codec:a", "pcm_f32be", "-"]
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=self.messages)
        header = self.stdout.read(24)
        if len(header) < 24 or header[:4] != b".snd":
            self.process.wait()
            said = self.message()
            self.close()
            raise UnreadableError(said or "no audio in it")
        offset, _, _, self.sample_rate, self.channels = struct.unpack(">5I", header[4:])
        self.stdout.read(offset - 24)
        self.frames: int | None = None

    @property
    def stdout(self) -> IO[bytes]:
        """What ffmpeg decoded."""
        assert self.process.stdout is not None
        return self.process.stdout

    def message(self) -> str:
        """Why ffmpeg stopped."""
        self.messages.seek(0)
        lines = self.messages.read().decode(errors="replace").strip().splitlines()
        # The first line is the cause; in front of it stands in brackets which part of ffmpeg says so.
        return re.sub(r"^(\[[^]]*\] )+", "", lines[0]).split(": ")[-1] if lines else ""

    def read(self) -> Frames:
        """The next frames; none at the end."""
        data = self.stdout.read(BLOCK_FRAMES * self.channels * 4)
        if not data and (self.process.wait() or "prematurely" in self.message()):
            raise UnreadableError(f"ffmpeg gave up on it: {self.message()}")
        whole = len(data) // (4 * self.channels) * self.channels
        return np.frombuffer(data, ">f4", whole).reshape(-1, self.channels).astype(np.float32)

    def close(self) -> None:
        """Stop ffmpeg, wherever it is."""
        self.process.kill()
        self.process.wait()
        self.stdout.close()
        self.messages.close()


def open_source(path: Path) -> Source:
    """The decoder for a file.

    Raises:
        UnreadableError: there is none.
    """
    try:
        if path.is_dir():
            raise UnreadableError("it is a folder")
        if not path.is_file() and path.exists():
            raise UnreadableError("it is no regular file")
        with path.open("rb") as file:
            if not file.read(1):
                raise UnreadableError("the file is empty")
    except FileNotFoundError as error:
        raise UnreadableError("there is no such file") from error
    except OSError as error:
        raise UnreadableError((error.strerror or "the system refuses").lower()) from error
    try:
        return SoundFileSource(path)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: of `.raw` files soundfile asks for the layout
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            target = path.with_suffix(".flac" if path.suffix.lower() == ".wav" else ".wav")
            command = f"ffmpeg -i {shlex.quote(str(path))} {shlex.quote(str(target))}"
            advice = f"install ffmpeg, or convert it: {command}"
            raise UnreadableError("format not recognised", advice) from error
        return FfmpegSource(path, ffmpeg)

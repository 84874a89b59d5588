"""What ffmpeg decodes and tells of files that libsndfile does not know."""

import re
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import IO

import numpy as np

from stemsplit.audio.source import BLOCK_FRAMES, Frames, UnreadableError

LOSSLESS = {
    "alac",
    "ape",
    "dst",
    "flac",
    "mlp",
    "mp4als",
    "ralf",
    "shorten",
    "tak",
    "truehd",
    "tta",
    "wavpack",
    "wmalossless",
}
STREAM = re.compile(
    rb"^\[info\] +Stream #0:\d.*: Audio: (\w+).* Hz, .*?, (u8|s16|s32|s64|flt|dbl)p?\b( \(2[04] bit\))?", re.M
)
"""The line that describes a stream: codec, type of sample, and how many bits of it are in use."""

COMPLAINT = re.compile(r"(\[[^]]*\] )*\[(error|fatal|panic)\] ")

LINE = re.compile(rb"^((?:\\.|[^\\=\n])*)=((?:\\.|[^\\\n])*)$", re.M | re.S)
"""A line of ffmpeg's own format for tags, in which a backslash hides the meaning of what comes after it."""


def command(path: Path, ffmpeg: str, level: str) -> list[str]:
    """Ffmpeg, opening a file."""
    # `file:` and an absolute path: a name may begin with a dash or look like a URL.
    quiet = ["-nostdin", "-nostats", "-hide_banner", "-loglevel", level]
    return [ffmpeg, *quiet, "-xerror", "-i", f"file:{path.absolute()}"]


def coding(codec: str, sample: str, in_use: str) -> str:
    """How a stream holds its samples, in libsndfile's words where it is lossless.

    Args:
        codec: ffmpeg's name of it.
        sample: what it decodes to, such as `s16`.
        in_use: how many bits of that, where it is not all.
    """
    if codec not in LOSSLESS and not codec.startswith(("pcm_", "dsd_")):
        return codec
    if sample in ("flt", "dbl"):
        return "FLOAT"
    if sample in ("u8", "s16"):
        return "PCM_16"
    return "PCM_24" if in_use else "PCM_32"


class FfmpegSource:
    """Reads through ffmpeg, as a float stream in the AU format, whose header tells rate and channels."""

    def __init__(self, path: Path, ffmpeg: str, stream: int = 0) -> None:
        output = ["-map", f"0:a:{stream}", "-f", "au", "-codec:a", "pcm_f32be", "-"]
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        self.process = subprocess.Popen(
            command(path, ffmpeg, "level+info") + output,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.messages,
            # Ctrl-C in a terminal is ours to act upon: ffmpeg would end there, as at the end of a song.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        header = self.stdout.read(24)
        if len(header) < 24 or header[:4] != b".snd":
            self.process.wait()
            said = self.message()
            self.close()
            raise UnreadableError(said or "no audio in it")
        offset, _, _, self.sample_rate, self.channels = struct.unpack(">5I", header[4:])
        self.stdout.read(offset - 24)
        self.frames: int | None = None
        self.container = ""
        described = STREAM.search(self.log())
        self.coding = coding(*(part.decode() for part in described.groups(b""))) if described else "unknown"

    @property
    def stdout(self) -> IO[bytes]:
        """What ffmpeg decoded."""
        assert self.process.stdout is not None
        return self.process.stdout

    def log(self) -> bytes:
        """All that ffmpeg said."""
        self.messages.seek(0)
        return self.messages.read()

    def message(self) -> str:
        """Why ffmpeg stopped."""
        lines = [line for line in self.log().decode(errors="replace").splitlines() if COMPLAINT.match(line)]
        # The first line is the cause; in front of it stands in brackets which part of ffmpeg says so.
        return re.sub(r"^(\[[^]]*\] )+", "", lines[0]).split(": ")[-1].strip() if lines else ""

    def skip(self, frames: int) -> int:  # noqa: ARG002  # where ffmpeg lands depends on the file
        """Stays: what comes before is decoded and left to the caller to drop."""
        return 0

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


def metadata(path: Path, ffmpeg: str) -> dict[str, bytes]:
    """Everything ffmpeg tells of a file, or failing that of its first audio stream; names in lower case.

    Raises:
        OSError: ffmpeg does not run.
    """
    output = ["-map", "0:a:0", "-c", "copy", "-t", "0", "-map_chapters", "-1", "-f", "ffmetadata", "-"]
    told = subprocess.run(
        command(path, ffmpeg, "quiet") + output, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    found: dict[str, bytes] = {}
    for name, value in LINE.findall(told.stdout):
        found.setdefault(name.decode(errors="replace").lower(), re.sub(rb"\\(.)", rb"\1", value, flags=re.S))
    return found

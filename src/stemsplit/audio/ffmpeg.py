"""Decodes files with ffmpeg, and reads their tags, where libsndfile cannot."""

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
"""Matches the line that describes an audio stream: its codec, its sample format, the bits in use if not all."""

LAYOUT = re.compile(rb"^\[info\] +Stream #0:(\d+).*: Audio: .* Hz, ([^,\n]*)", re.M)
"""Matches the line that describes an audio stream: its number, the layout of its channels."""

COMPLAINT = re.compile(r"(\[[^]]*\] )*\[(error|fatal|panic)\] ")
"""Matches the beginning of a line that reports an error."""

LINE = re.compile(rb"^((?:\\.|[^\\=\n])*)=((?:\\.|[^\\\n])*)$", re.M | re.S)
"""Matches a line of ffmpeg's own format for tags, in which a backslash escapes the next character."""


def command(path: Path, ffmpeg: str, level: str) -> list[str]:
    """Return the beginning of an ffmpeg command that opens a file."""
    # `file:` and an absolute path: a name may begin with a dash or look like a URL.
    quiet = ["-nostdin", "-nostats", "-hide_banner", "-loglevel", level]
    return [ffmpeg, *quiet, "-xerror", "-i", f"file:{path.absolute()}"]


def coding(codec: str, sample: str, in_use: str) -> str:
    """Return how a stream codes its samples: libsndfile's name for it if it is lossless, else ffmpeg's.

    Args:
        codec: ffmpeg's name of the codec.
        sample: ffmpeg's name of the decoded sample format, such as `s16`.
        in_use: note on the number of bits in use, such as ` (24 bit)`; empty if all are.
    """
    if codec not in LOSSLESS and not codec.startswith(("pcm_", "dsd_")):
        return codec
    if sample in ("flt", "dbl"):
        return "FLOAT"
    if sample in ("u8", "s16"):
        return "PCM_16"
    return "PCM_24" if in_use else "PCM_32"


def layout(log: bytes, stream: int) -> str:
    """Return the layout of an audio stream's channels, by its index; empty if ffmpeg only guesses it, or is silent."""
    found = list(LAYOUT.finditer(log))[stream : stream + 1]
    guessed = rb"aist#0:%s/.*Guessed Channel Layout|Guessed Channel Layout .*#0[.:]%s "
    if not found or re.search(guessed % (found[0][1], found[0][1]), log):
        return ""
    return found[0][2].decode(errors="replace").strip()


class FfmpegSource:
    """Reads a file through ffmpeg, which sends floats in the AU format; its header holds sample rate and channels."""

    def __init__(self, path: Path, ffmpeg: str, stream: int = 0) -> None:
        output = ["-map", f"0:a:{stream}", "-f", "au", "-codec:a", "pcm_f32be", "-"]
        self.messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        self.process = subprocess.Popen(
            command(path, ffmpeg, "level+info") + output,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self.messages,
            # Ctrl-C in a terminal must not reach ffmpeg: it would stop, as if the song had ended there.
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        header = self.stdout.read(24)
        if len(header) < 24 or header[:4] != b".snd":
            self.process.wait()
            message = self.message()
            self.close()
            raise UnreadableError(message or "no audio in it")
        offset, _, _, self.sample_rate, self.channels = struct.unpack(">5I", header[4:])
        self.stdout.read(offset - 24)
        self.frames: int | None = None
        self.container = ""
        described = STREAM.search(self.log())
        self.layout = layout(self.log(), stream)
        self.coding = coding(*(part.decode() for part in described.groups(b""))) if described else "unknown"

    @property
    def stdout(self) -> IO[bytes]:
        """The decoded stream."""
        assert self.process.stdout is not None
        return self.process.stdout

    def log(self) -> bytes:
        """Return everything that ffmpeg has reported."""
        self.messages.seek(0)
        return self.messages.read()

    def message(self) -> str:
        """Return why ffmpeg stopped; empty if it reported no error."""
        lines = [line for line in self.log().decode(errors="replace").splitlines() if COMPLAINT.match(line)]
        # The first line is the cause; the part of ffmpeg that reports it stands before it in brackets.
        return re.sub(r"^(\[[^]]*\] )+", "", lines[0]).split(": ")[-1].strip() if lines else ""

    def skip(self, frames: int) -> int:  # noqa: ARG002  # where ffmpeg would land depends on the file
        """Skip nothing: the caller drops the frames before."""
        return 0

    def read(self) -> Frames:
        """Return the next frames; none at the end.

        Raises:
            UnreadableError: ffmpeg failed.
        """
        data = self.stdout.read(BLOCK_FRAMES * self.channels * 4)
        if not data and (self.process.wait() or "prematurely" in self.message()):
            raise UnreadableError(f"ffmpeg failed: {self.message()}")
        whole = len(data) // (4 * self.channels) * self.channels
        return np.frombuffer(data, ">f4", whole).reshape(-1, self.channels).astype(np.float32)

    def close(self) -> None:
        """Stop ffmpeg, even if it has not reached the end."""
        self.process.kill()
        self.process.wait()
        self.stdout.close()
        self.messages.close()


def metadata(path: Path, ffmpeg: str) -> dict[str, bytes]:
    """Return the tags that ffmpeg finds in a file, or else in its first audio stream; names are in lower case.

    Raises:
        OSError: ffmpeg cannot be run.
    """
    output = ["-map", "0:a:0", "-c", "copy", "-t", "0", "-map_chapters", "-1", "-f", "ffmetadata", "-"]
    result = subprocess.run(
        command(path, ffmpeg, "quiet") + output, stdin=subprocess.DEVNULL, capture_output=True, check=False
    )
    tags: dict[str, bytes] = {}
    for name, value in LINE.findall(result.stdout):
        tags.setdefault(name.decode(errors="replace").lower(), re.sub(rb"\\(.)", rb"\1", value, flags=re.S))
    return tags

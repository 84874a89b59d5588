"""Decodes files with ffmpeg, and reads their tags, where libsndfile cannot."""

import re
import struct
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import IO

import numpy as np

from stemsplit.audio import tracks
from stemsplit.audio.containers.mp4 import played
from stemsplit.audio.probe import cannot_start, complaint, delay, probe, quiet, ran, repeats, source
from stemsplit.audio.source import BLOCK_FRAMES, Frames, UnreadableError

LINE = re.compile(rb"^((?:\\.|[^\\=\n])*)=((?:\\.|[^\\\n])*)$", re.M | re.S)
"""Matches a line of ffmpeg's own format for tags, in which a backslash escapes the next character."""

TROUBLE = re.compile(r"^(\[[^]]*\] )*\[(error|fatal|panic)\] |[Cc]orrupt", re.M)
"""Matches a line that reports damage; some reports of damage are only warnings."""

CUT = re.compile(r"prematurely|partial file|Input/output error")
"""Matches reports that a file is shorter than it says, after which ffmpeg goes on as if it ended there."""

FILL = "aresample=async=1:min_comp=0.000001"
"""Fills holes in a track with silence, as players do: ffmpeg would close them. It changes no sample elsewhere."""

TIMED = frozenset(["mov", "matroska", "webm", "mpegts", "mpeg", "avi", "flv", "asf"])
"""Containers that say of each packet when it is to be played. In others, ffmpeg guesses."""

JOINABLE = frozenset(["mov", "matroska", "avi", "flv", "asf", "tta", "ape", "flac", "caf", "aiff", "wav", "rm"])
"""Containers whose first bytes come again only where another file begins."""

KIND = re.compile(r"\[verbose\] tb:\S+ samplefmt:\S+ (samplerate:\d+ .*ch\w*layout:\S+)")
"""Matches the reports of what comes from the decoder, one whenever that changes."""

FEW = 12
"""Largest number of reports of damage in a file of a few seconds that is still taken for a recording."""


class FfmpegSource:
    """Reads a track of a file through ffmpeg. What it lacks at its beginning, and in holes, is read as silence.

    Args:
        path: audio or video file.
        ffmpeg: program.
        track: number, language or title of the track; empty for the default one.
        warning: what is already known of the file.

    Raises:
        UnreadableError: ffmpeg cannot be started, does not know the file, or finds no such track in it.
    """

    def __init__(self, path: Path, ffmpeg: str, track: str = "", warning: str = "") -> None:
        self.path, self.ffmpeg, self.warning = path, ffmpeg, warning
        self.about = probe(path, ffmpeg)
        if not self.about.sounds and not self.about.has_video:
            raise UnreadableError("it is damaged or cut off; ffmpeg finds no track in it")
        self.track = tracks.choose(self.about.tracks, track)
        sound = self.about.sounds[self.track.number - 1]
        if not sound.sample_rate:
            raise UnreadableError("ffmpeg has no decoder for its sound")
        self.note = "" if track else tracks.note(self.about.tracks, self.track)
        self.sample_rate, self.coding, self.container = sound.sample_rate, sound.coding, ""
        self.layout = "" if sound.is_guessed else sound.layout
        self.process: subprocess.Popen[bytes] | None = None
        self.channels = sound.channels
        seconds = self.about.seconds
        self.frames = None if seconds is None else round((seconds - max(self.about.start, 0.0)) * self.sample_rate)
        edited = self._edited()
        if self.frames and abs(edited - self.frames) < self.sample_rate // 10:
            self.frames = edited  # to the sample: ffmpeg tells hundredths of a second
        is_said = self.about.is_alone and not self.about.is_estimated and not self.about.is_open
        self.promised = self.frames if is_said else None
        self.slack = self.sample_rate // 10
        self.decoded = self.silence = 0
        self.cut_off = ""
        self.is_joined = self.looked = False
        self.limit = sys.maxsize
        if not self.channels or {"mpegts", "mpeg"} & set(self.about.container.split(",")):
            # What changes in mid-stream, ffmpeg tells as it is later on.
            self._start()
            if self.channels != sound.channels:
                self.layout = ""
        if seconds is None and "matroska" in self.about.container:
            self._add("its header does not say how long it is (it was recorded live, or never finished)")

    def _add(self, warning: str) -> None:
        """Add a sentence to the warning, unless there is one."""
        self.warning = self.warning or warning

    def _start(self) -> None:
        """Start ffmpeg, which sends floats in the W64 format, whose sizes have 64 bits, and read the header."""
        try:
            self.messages = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close()
        except OSError as error:
            folder = f"no temporary file can be made: {(error.strerror or str(error)).lower()}"
            raise UnreadableError(folder, "set TMPDIR to a folder that can be written to") from error
        # Where no header holds the length, frames at the ends may be incomplete; elsewhere, any error is damage.
        strict = [] if self.about.is_open or self.is_joined else ["-xerror"]
        timed = TIMED & set(self.about.container.split(",")) and not self.is_joined
        output = [
            "-map",
            f"0:a:{self.track.number - 1}",
            "-af",
            FILL if timed else "anull",
            "-ar",
            str(self.sample_rate),
        ]
        output += ["-codec:a", "pcm_f32le", "-map_metadata", "-1", "-fflags", "+bitexact", "-f", "w64", "-"]
        try:
            self.process = subprocess.Popen(
                [*quiet(self.ffmpeg, "level+verbose"), *strict, "-i", source(self.path), *output],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=self.messages,
                # Ctrl-C in a terminal must not reach ffmpeg: it would stop, as if the song had ended there.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
            )
        except (OSError, MemoryError) as error:
            self.messages.close()
            raise cannot_start(error) from error
        rate, self.channels = self._header()
        if rate != self.sample_rate:
            raise UnreadableError(f"ffmpeg gives {rate} Hz, not {self.sample_rate} Hz")

    def _header(self) -> tuple[int, int]:
        """Read the header of the stream; return its sample rate and its number of channels."""
        self.stdout.read(40)
        rate = channels = 0
        while len(head := self.stdout.read(24)) == 24:
            if head[:4] == b"data":
                return rate, channels
            size = struct.unpack("<Q", head[16:])[0] - 24
            content = self.stdout.read(-(-size // 8) * 8)
            if head[:4] == b"fmt ":
                channels, rate = struct.unpack("<HI", content[2:8])
        self._wait()
        message = complaint(self.log())
        self.close()
        raise UnreadableError(f"it is damaged or cut off; ffmpeg says: {message or 'nothing'}")

    @property
    def stdout(self) -> IO[bytes]:
        """The decoded stream."""
        assert self.process is not None
        assert self.process.stdout is not None
        return self.process.stdout

    def _wait(self) -> int:
        """Wait for the end of ffmpeg; return its exit status."""
        assert self.process is not None
        return self.process.wait()

    def log(self) -> str:
        """Return everything that ffmpeg has reported."""
        self.messages.seek(0)
        return self.messages.read().decode(errors="replace")

    def skip(self, frames: int) -> int:  # noqa: ARG002  # where ffmpeg would land depends on the file
        """Skip nothing: the caller drops the frames before."""
        return 0

    def _edited(self) -> int:
        """Return how many samples of the track its edit list has; 0 if it has none, or does not count in samples."""
        if self.about.container.startswith("mov,") and not self.about.has_video:
            with suppress(OSError), self.path.open("rb") as file:
                return played(file, self.sample_rate, self.track.number)[1]
        return 0

    def _look(self) -> None:
        """Find out when the track begins, and whether another recording is joined to the file."""
        if self.about.has_video or len(self.about.sounds) > 1:
            self.silence = delay(self.path, self.ffmpeg, self.track.number, self.about.start)
        if not self.silence:
            # Some versions of ffmpeg decode the last frame to its end, which the edit list cuts off.
            self.limit = self._edited() or sys.maxsize
        if JOINABLE & set(self.about.container.split(",")):
            self.is_joined = repeats(self.path)
        if self.is_joined:
            self._add("other recordings are joined to it; what ffmpeg plays of them is split")

    def read(self) -> Frames:
        """Return the next frames; none at the end.

        Raises:
            UnreadableError: ffmpeg failed, or the file is damaged or cut off.
        """
        if not self.looked:
            self.looked = True
            self._look()
        if self.process is None:
            channels = self.channels
            self._start()
            if self.channels != channels:
                raise UnreadableError(f"ffmpeg gives {self.channels} channels, not {channels}")
        if self.silence:
            length = min(self.silence, BLOCK_FRAMES)
            self.silence -= length
            self.decoded += length
            return np.zeros((length, self.channels), np.float32)
        data = self.stdout.read(BLOCK_FRAMES * self.channels * 4)
        if not data:
            self._check_end()
        whole = len(data) // (4 * self.channels) * self.channels
        frames = np.frombuffer(data, "<f4", whole).reshape(-1, self.channels).astype(np.float32)
        frames = frames[: max(self.limit - self.decoded, 0)] if len(frames) else frames
        self.decoded += len(frames)
        return frames

    def _check_end(self) -> None:
        """Raise UnreadableError if ffmpeg failed, or if the file says that there is more; note what it reported."""
        status, log = self._wait(), self.log()
        if self.cut_off:
            raise UnreadableError(f"it is cut off: {self.cut_off}")
        seconds = self.decoded / self.sample_rate
        trouble = [line for line in log.splitlines() if TROUBLE.search(line)]
        if (self.about.is_open or self.is_joined) and self.decoded and status >= 0:
            if len(trouble) > max(FEW, 2 * seconds):
                raise UnreadableError(f"ffmpeg failed: {complaint(log) or trouble[0]}")
            if trouble:
                self._add("it begins or ends in mid-frame, or is damaged; what ffmpeg can decode is split")
        elif status or CUT.search(log):
            raise UnreadableError(f"it is damaged or cut off; ffmpeg says: {complaint(log) or status}")
        if len(set(KIND.findall(log))) > 1:
            self._add("its sample rate or its channels change; all of it is split as it begins")
        if "extends beyond end" in log:
            self._add("something follows its end, which players do not play; it is left out")

    def close(self) -> None:
        """Stop ffmpeg, even if it has not reached the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.stdout.close()
            self.messages.close()


def metadata(path: Path, ffmpeg: str) -> dict[str, bytes]:
    """Return the tags that ffmpeg finds in a file, or else in its first audio stream; names are in lower case.

    Raises:
        UnreadableError: ffmpeg cannot be run.
    """
    output = ["-map", "0:a:0", "-c", "copy", "-t", "0", "-map_chapters", "-1", "-f", "ffmetadata", "-"]
    found, _ = ran([*quiet(ffmpeg, "quiet"), "-i", source(path), *output])
    tags: dict[str, bytes] = {}
    for name, value in LINE.findall(found):
        tags.setdefault(name.decode(errors="replace").lower(), re.sub(rb"\\(.)", rb"\1", value, flags=re.S))
    return tags

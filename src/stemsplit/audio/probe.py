"""Asks ffmpeg what a file holds: its container, its length and its audio tracks."""

import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from stemsplit.audio import mp4
from stemsplit.audio.refusals import protected
from stemsplit.audio.source import UnreadableError
from stemsplit.audio.tracks import Track

INPUT = re.compile(r"^\[info\] Input #0, (\S+), from ", re.M)
"""Matches the line that names the container."""

DURATION = re.compile(r"^\[info\] +Duration: (?:(\d+):(\d\d):(\d\d\.\d+)|N/A)(?:, start: (-?[\d.]+))?", re.M)
"""Matches the line with the length and the start."""

STREAM = re.compile(r"^\[info\] +Stream #0:(\d+)\S*?(?:\((\w+)\))?: (Audio|Video|Subtitle|Data|Attachment): (.*)$")
"""Matches the line of a stream: its number, its language, its kind, and what it is."""

GUESS = re.compile(r"#0[.:](\d+)/.*Guessed Channel Layout|Guessed Channel Layout .*#0[.:](\d+) ")
"""Matches the line on a stream whose layout ffmpeg guesses, and then gives as if the file said it: its number."""

TITLE = re.compile(r"^\[info\] +(?:title|name) +: (.*)$", re.I)
"""Matches the line of a stream's title."""

SOUND = re.compile(r"(\w+).*?, (\d+) Hz, ([^,]+), (u8|s16|s32|s64|flt|dbl)p?\b(?: \((2[04]) bit\))?")
"""Matches what a stream of sound is: its codec, its sample rate, its layout, its sample format, the bits in use."""

COMPLAINT = re.compile(r"(\[[^]]*\] )*\[(error|fatal|panic)\] ")
"""Matches the beginning of a line that reports an error."""

STREAMS = frozenset(
    ("aac", "ac3", "eac3", "dts", "dtshd", "truehd", "mlp", "mp3", "mpegts", "mpeg", "loas", "amr", "ogg", "g722")
)
"""Containers that are a row of frames, with no length before them: they may begin and end anywhere."""

LAYOUTS = {
    "mono": 1,
    "stereo": 2,
    "downmix": 2,
    "quad": 4,
    "hexagonal": 6,
    "octagonal": 8,
    "cube": 8,
    "hexadecagonal": 16,
}
"""ffmpeg's names of layouts that do not say how many channels they have."""

LOSSLESS = frozenset(
    ("alac", "ape", "dst", "flac", "mlp", "mp4als", "ralf", "shorten", "tak", "truehd", "tta", "wavpack", "wmalossless")
)
"""Codecs that lose nothing, besides plain samples."""


@dataclass(frozen=True, slots=True)
class Sound:
    """What a track of sound is.

    Args:
        track: number, title and language of the track.
        sample_rate: sample rate in Hz; 0 if ffmpeg knows no decoder for it.
        layout: ffmpeg's name of the channels, such as "stereo" or "5.1(side)".
        coding: how samples are coded: libsndfile's name for it if it is lossless, else ffmpeg's.
        is_guessed: whether the file does not say the layout.
    """

    track: Track
    sample_rate: int
    layout: str
    coding: str
    is_guessed: bool = False

    @property
    def channels(self) -> int:
        """Number of channels."""
        name = self.layout.partition("(")[0].strip()
        if match := re.fullmatch(r"(\d+) channels", name):
            return int(match[1])
        if match := re.fullmatch(r"ambisonic (\d+)", name):
            return (int(match[1]) + 1) ** 2
        if re.fullmatch(r"\d+(\.\d+)+", name):
            return sum(map(int, name.split(".")))
        return LAYOUTS.get(name, 0)


@dataclass(frozen=True, slots=True)
class Probe:
    """What a file holds.

    Args:
        container: ffmpeg's name of the container.
        start: time in seconds at which its first stream begins, on its own clock.
        seconds: length of the longest stream; None if it is not known.
        is_estimated: whether ffmpeg guessed the length from the size of the file.
        has_video: whether there are pictures besides a cover.
        is_alone: whether there is one track and nothing else but covers, so that its length is the file's.
        sounds: audio tracks, in order.
        is_open: whether no header holds the length, so that the file may end anywhere.
    """

    container: str
    start: float
    seconds: float | None
    is_estimated: bool
    has_video: bool
    is_alone: bool
    sounds: tuple[Sound, ...]
    is_open: bool

    @property
    def tracks(self) -> list[Track]:
        """Audio tracks, in order."""
        return [replace(sound.track, channels=sound.channels) for sound in self.sounds]


def quiet(ffmpeg: str, level: str) -> list[str]:
    """Return the beginning of an ffmpeg command that asks nothing and prints only messages."""
    return [ffmpeg, "-nostdin", "-nostats", "-hide_banner", "-loglevel", level]


def source(path: Path) -> str:
    """Return a file's name as ffmpeg takes it: a name may begin with a dash or look like a URL."""
    return f"file:{path.absolute()}"


def ran(command: Sequence[str]) -> tuple[bytes, str]:
    """Run ffmpeg to its end; return what it printed on stdout and what it reported.

    Raises:
        UnreadableError: it cannot be started.
    """
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except (OSError, MemoryError) as error:
        raise cannot_start(error) from error
    return done.stdout, done.stderr.decode(errors="replace")


def cannot_start(error: BaseException) -> UnreadableError:
    """Return an error that says that ffmpeg cannot be started."""
    why = getattr(error, "strerror", None) or str(error) or "out of memory"
    return UnreadableError(f"ffmpeg cannot be started: {why.lower()}", "check that the ffmpeg on the PATH runs here")


def complaint(log: str) -> str:
    """Return why ffmpeg stopped, from what it reported; empty if it reported no error."""
    lines = [line for line in log.splitlines() if COMPLAINT.match(line)]
    # The first line is the cause; the part of ffmpeg that reports it stands before it in brackets.
    return re.sub(r"^(\[[^]]*\] )+", "", lines[0]).split(": ")[-1].strip() if lines else ""


def coding(codec: str, sample: str, in_use: str | None) -> str:
    """Return how a stream codes its samples: libsndfile's name for it if it is lossless, else ffmpeg's.

    Args:
        codec: ffmpeg's name of the codec.
        sample: ffmpeg's name of the decoded sample format, such as `s16`.
        in_use: number of bits in use; None if all are.
    """
    if codec not in LOSSLESS and not codec.startswith(("pcm_", "dsd_")):
        return codec
    if sample in ("flt", "dbl"):
        return "FLOAT"
    if sample in ("u8", "s16"):
        return "PCM_16"
    return "PCM_24" if in_use else "PCM_32"


def streams(log: str) -> tuple[list[Sound], int, int]:
    """Return the audio tracks that ffmpeg lists, and how many videos and other streams there are besides covers."""
    sounds: list[Sound] = []
    videos = others = 0
    inside = False
    guessed = {first or second for first, second in GUESS.findall(log)}
    for line in log.splitlines():
        if line.startswith(("[info] Output", "[info] Stream mapping")):
            break
        if match := STREAM.match(line):
            index, language, kind, what = match.groups()
            inside = kind == "Audio"
            videos += kind == "Video" and "(attached pic)" not in what
            others += kind not in ("Audio", "Video")
            if inside:
                track = Track(len(sounds) + 1, "", "" if language in (None, "und") else language, "(default)" in what)
                described = SOUND.match(what)
                codec, rate, layout, sample, bits = described.groups() if described else ("", 0, "", "", None)
                sounds.append(Sound(track, int(rate), layout, coding(codec, sample, bits), index in guessed))
        elif inside and (match := TITLE.match(line)) and not sounds[-1].track.title:
            sounds[-1] = replace(sounds[-1], track=replace(sounds[-1].track, title=match[1].strip()))
    return sounds, videos, others


@lru_cache(256)
def asked(path: Path, ffmpeg: str, stamp: tuple[int, int]) -> Probe:  # noqa: ARG001  # another file has another stamp
    """Return what ffmpeg says of a file."""
    _, log = ran([*quiet(ffmpeg, "level+info"), "-i", source(path)])
    named, length = INPUT.search(log), DURATION.search(log)
    if not named:
        raise UnreadableError(complaint(log) or "no audio in it")
    if re.search(r"Audio: .*\((drms|drmi|aavd|enca) /", log):
        raise protected()
    sounds, videos, others = streams(log)
    container = named[1]
    about = mp4.read_boxes(path) if container.startswith("mov,") else None
    if about:
        titles = about.titles
        if len(about.stems) == len(sounds) - 1:  # the first one is the mixture
            titles = ["", *about.stems]
        if len(titles) == len(sounds):
            sounds = [
                replace(sound, track=replace(sound.track, title=title or sound.track.title))
                for sound, title in zip(sounds, titles, strict=True)
            ]
    seconds = None
    if length and length[1]:
        seconds = int(length[1]) * 3_600 + int(length[2]) * 60 + float(length[3])
    return Probe(
        container,
        float(length[4] or 0) if length else 0.0,
        seconds or None,
        "Estimating duration" in log,
        bool(videos),
        len(sounds) + videos + others == 1,
        tuple(sounds),
        not seconds or bool(STREAMS & set(container.split(","))) or bool(about and about.fragmented),
    )


def probe(path: Path, ffmpeg: str) -> Probe:
    """Return what a file holds.

    Raises:
        UnreadableError: ffmpeg cannot be started, or does not know the file.
    """
    try:
        stat = path.stat()
        return asked(path, ffmpeg, (stat.st_mtime_ns, stat.st_size))
    except OSError as error:
        raise UnreadableError((error.strerror or "the system refuses").lower()) from error


FIRST = re.compile(rb"^#tb 0: 1/(\d+)\n(?s:.*)^0, *-?\d+, *(-?\d+),", re.M)
"""Matches the rate of the clock and, in the line of the first frame, when it is to be played."""


def delay(path: Path, ffmpeg: str, number: int, start: float) -> int:
    """Return how many samples a player is silent before a track begins, counted from the file's first stream on.

    Args:
        path: file.
        ffmpeg: program.
        number: number of the track, from 1 on.
        start: time at which the first stream begins. Before 0, there is only what a decoder needs to begin.

    Raises:
        UnreadableError: ffmpeg cannot be started.
    """
    output = ["-copyts", "-map", f"0:a:{number - 1}", "-frames:a", "1", "-f", "framecrc", "-"]
    said, _ = ran([*quiet(ffmpeg, "quiet"), "-i", source(path), *output])
    match = FIRST.search(said)
    return max(int(match[2]) - round(max(start, 0.0) * int(match[1])), 0) if match else 0


def repeats(path: Path) -> bool:
    """Return whether a file's first bytes come again, as where another file of its kind is joined to it.

    Raises:
        UnreadableError: the file cannot be read.
    """
    try:
        with path.open("rb") as file:
            start, kept = file.read(8), b""
            while block := file.read(1 << 20):
                if start in kept + block:
                    return True
                kept = block[1 - len(start) :]
        return False
    except OSError as error:
        raise UnreadableError((error.strerror or "the system refuses").lower()) from error

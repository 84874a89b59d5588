"""Opens a file with the decoder that reads all of its sound: libsndfile, or ffmpeg."""

import shlex
import shutil
from pathlib import Path

import soundfile

from stemsplit.audio.containers import asf, mpeg, ogg
from stemsplit.audio.containers.extent import Extent
from stemsplit.audio.containers.extents import extent_of
from stemsplit.audio.containers.flac import last_sample
from stemsplit.audio.ffmpeg import FfmpegSource
from stemsplit.audio.libsndfile import SoundFileSource
from stemsplit.audio.probe import repeats
from stemsplit.audio.refusals import as_text, check_start, holds_other_coding
from stemsplit.audio.remembering import until_changed
from stemsplit.audio.second_opinion import SecondOpinion
from stemsplit.audio.source import Source, UnreadableError
from stemsplit.audio.tracks import Track, choose

pages_of = until_changed(ogg.look_through)
frames_of = until_changed(mpeg.look_through)
is_joined = until_changed(repeats)

OPUS_RATE = 48_000
"""Sample rate in Hz of all Opus. Its header has the rate of what was encoded, to which libsndfile reduces it."""


def check(path: Path) -> Extent | None:
    """Return where the sound lies in a file, if it is one that says it in a size.

    Raises:
        UnreadableError: the file cannot be opened, or does not hold sound.
    """
    try:
        if path.is_dir():
            raise UnreadableError("it is a folder")
        if not path.is_file() and path.exists():
            raise UnreadableError("it is not a regular file but a pipe or device", "save what it gives to a file first")
        with path.open("rb") as file:
            start = file.read(1_024)
            if not start:
                raise UnreadableError("the file is empty")
        check_start(start)
        return extent_of(path)
    except OSError as error:
        raise system(error) from error


def system(error: OSError) -> UnreadableError:
    """Return an error that says why the system does not let a file be read."""
    missing = isinstance(error, FileNotFoundError)
    return UnreadableError("there is no such file" if missing else (error.strerror or "the system refuses").lower())


def is_disguised(path: Path, extent: Extent | None, source: SoundFileSource) -> bool:
    """Return whether what libsndfile takes for samples is compressed sound, as in DTS from a disc."""
    if extent is None or source.coding != "PCM_16" or source.channels != 2:
        return False
    with path.open("rb") as file:
        file.seek(extent.begin)
        return holds_other_coding(file.read(1 << 17).lstrip(b"\0"))


def advice(path: Path) -> str:
    """Return what to do about a file that only ffmpeg reads, where there is none."""
    target = path.with_suffix(".flac" if path.suffix.lower() == ".wav" else ".wav")
    command = f"ffmpeg -i {shlex.quote(str(path))} {shlex.quote(str(target))}"
    return f"install ffmpeg, or convert it on a machine that has it: {command}"


def open_source(path: Path, track: str = "") -> Source:
    """Open a file.

    Args:
        path: audio or video file.
        track: number, language or title of the audio track; empty for the default one.

    Raises:
        UnreadableError: the file cannot be opened, no decoder knows its format, or it has no such track.
    """
    extent = check(path)
    try:
        source = SoundFileSource(path, extent)
        if not is_disguised(path, extent, source) and not (source.coding == "OPUS" and source.sample_rate != OPUS_RATE):
            return chosen(source, track)
        source.close()
        reason = "it holds DTS or other compressed sound" if extent else "libsndfile would not read all of its sound"
    except (soundfile.SoundFileError, TypeError):  # TypeError: for `.raw` files, soundfile wants arguments
        reason = "format not recognised"
    except OSError as error:
        raise system(error) from error
    ffmpeg = shutil.which("ffmpeg")
    try:
        if ffmpeg is None:
            raise UnreadableError(reason, advice(path))
        return FfmpegSource(path, ffmpeg, track, extent.warning if extent else "")
    except UnreadableError as error:
        if told := better_reason(path):
            raise told from error
        raise


def better_reason(path: Path) -> UnreadableError | None:
    """Return an error that says more of a file that no decoder opened than they do; None if there is nothing to say."""
    try:
        with path.open("rb") as file:
            start = file.read(64)
        if text := as_text(start):
            return UnreadableError(f"it is not audio: it begins with {text!r}")
        if start[:4] == b"OggS" and pages_of(path).cut:
            return UnreadableError("it is cut off: its last page is incomplete")
    except OSError as failure:
        return system(failure)
    return None


def chosen(source: SoundFileSource, track: str) -> SoundFileSource:
    """Return the source if its one track is the wanted one; else close it, and raise UnreadableError."""
    try:
        choose([Track(1)], track)
    except UnreadableError:
        source.close()
        raise
    return source


def whole(path: Path, source: Source) -> Source:
    """Look through a file that is about to be read, and return the source that reads all of its sound.

    libsndfile stops where the first of several recordings in a file ends, or where frames are incomplete.

    Args:
        path: file.
        source: the source as it was opened, which is closed if it is not the one to read.

    Raises:
        UnreadableError: the file cannot be read; or only ffmpeg would read it all, and it is missing, or fails.
    """
    try:
        return looked_through(path, source)
    except OSError as error:
        raise system(error) from error


def looked_through(path: Path, source: Source) -> Source:
    """Do what `whole` says; raise OSError if the system does not let the file be read."""
    warning = ""
    if isinstance(source, FfmpegSource):
        if source.about.container == "ogg" and pages_of(path).cut:
            source.cut_off = "its last page is incomplete"
        if source.about.container == "asf":
            source.cut_off = asf.cut_off(path)
        return source
    if not isinstance(source, SoundFileSource):
        return source
    if source.container == "FLAC":
        last, said = last_sample(path), source.frames
        if said is not None and last is not None and (last > said or is_joined(path)):
            return by_ffmpeg(path, source, f"its header says {said} samples, but more are there; all are split")
        return SecondOpinion(path, source)
    if source.container == "OGG":
        pages = pages_of(path)
        if pages.cut:
            source.cut_off = "its last page is incomplete"
        elif not pages.is_plain:
            warning = pages.warning
    elif source.container == "MP3" and (frames := frames_of(path)):
        source.cut_off = frames.cut
        if not frames.cut and not frames.is_plain:
            warning = frames.warning
        elif not frames.cut and (frames.trailing or frames.partial):
            source.close()
            source = SoundFileSource(path, end=frames.end)
            source.warning = frames.warning
    return by_ffmpeg(path, source, warning) if warning else source


def by_ffmpeg(path: Path, source: SoundFileSource, warning: str) -> FfmpegSource:
    """Close a source, and return the file as ffmpeg reads it.

    Args:
        path: file.
        source: the file as libsndfile reads it.
        warning: what people should know of the file, which is also why that is not enough.

    Raises:
        UnreadableError: ffmpeg is missing, or fails.
    """
    source.close()
    ffmpeg = shutil.which("ffmpeg")
    if ffmpeg is None:
        raise UnreadableError(warning.partition(";")[0], advice(path))
    other = FfmpegSource(path, ffmpeg, "1", warning)
    if (other.sample_rate, other.channels) != (source.sample_rate, source.channels):
        raise UnreadableError("its header and its first frames differ in sample rate or channels")
    return other

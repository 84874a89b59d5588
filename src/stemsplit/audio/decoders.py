"""Opens a file with the decoder that can read it: libsndfile, or ffmpeg for all other formats."""

import shlex
import shutil
from pathlib import Path

import soundfile

from stemsplit.audio.ffmpeg import FfmpegSource
from stemsplit.audio.libsndfile import SoundFileSource
from stemsplit.audio.source import Source, UnreadableError


def open_source(path: Path, stream: int = 0) -> Source:
    """Open a file.

    Args:
        path: audio or video file.
        stream: index of the audio stream, for files that hold several.

    Raises:
        UnreadableError: the file cannot be opened, or no decoder knows its format.
    """
    try:
        if path.is_dir():
            raise UnreadableError("it is a folder")
        if not path.is_file() and path.exists():
            raise UnreadableError("it is not a regular file")
        with path.open("rb") as file:
            if not file.read(1):
                raise UnreadableError("the file is empty")
    except FileNotFoundError as error:
        raise UnreadableError("there is no such file") from error
    except OSError as error:
        raise UnreadableError((error.strerror or "the system refuses").lower()) from error
    try:
        return SoundFileSource(path)
    except (soundfile.SoundFileError, TypeError) as error:  # TypeError: for `.raw` files, soundfile wants arguments
        ffmpeg = shutil.which("ffmpeg")
        if ffmpeg is None:
            target = path.with_suffix(".flac" if path.suffix.lower() == ".wav" else ".wav")
            command = f"ffmpeg -i {shlex.quote(str(path))} {shlex.quote(str(target))}"
            advice = f"install ffmpeg, or convert it: {command}"
            raise UnreadableError("format not recognised", advice) from error
        return FfmpegSource(path, ffmpeg, stream)

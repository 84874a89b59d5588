"""What decodes a file: libsndfile, or ffmpeg for what that does not know."""

import shlex
import shutil
from pathlib import Path

import soundfile

from stemsplit.audio.ffmpeg import FfmpegSource
from stemsplit.audio.libsndfile import SoundFileSource
from stemsplit.audio.source import Source, UnreadableError


def open_source(path: Path, stream: int = 0) -> Source:
    """The decoder for a file, or for one of several audio streams that it holds, counted from 0.

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
        return FfmpegSource(path, ffmpeg, stream)

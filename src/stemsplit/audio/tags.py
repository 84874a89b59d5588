"""What a file says of its song: title, artist, album, track number, date, genre."""

import io
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import soundfile

from stemsplit.audio.ffmpeg import metadata
from stemsplit.audio.libsndfile import native, opened
from stemsplit.audio.riff import chunks, walk

KEYS = ("title", "artist", "album", "tracknumber", "date", "genre")
LONGEST = 1_000
"""Characters that are kept of a tag: libsndfile writes broken headers when they get too large."""

LARGEST = 1 << 26
"""Bytes up to which a chunk of tags, pictures included, is believed to be one."""

UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
SILENT_MP3 = 4 * (b"\xff\xfb\x90\x64" + bytes(413))
"""Four frames at 128 kbit/s: as few as libsndfile takes for an MP3."""


def cleaned(tags: Mapping[str, str]) -> dict[str, str]:
    """The tags that are known here and say something, each on one line, in the order of `KEYS`."""
    texts = {key: UNWANTED.sub(" ", tags[key]).strip()[:LONGEST] for key in KEYS if key in tags}
    return {key: text for key, text in texts.items() if text}


def text(raw: bytes) -> str:
    """A tag's bytes as what they most likely mean: old programs write as Windows does."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def raw_string(file: soundfile.SoundFile, key: str) -> bytes | None:
    """Return the bytes of a string of an open file.

    soundfile decodes strings as UTF-8 and replaces what is not; it has no public name for the bytes behind them. Only
    this function uses soundfile's private names, which another version may lack. tinytag would lose more: track
    numbers that are not numbers, RF64 files, and the encoding of old Windows programs.

    Args:
        file: an open file.
        key: one of `KEYS`.

    Returns:
        The bytes as the file has them; None where soundfile does not give them.
    """
    try:
        pointer = soundfile._snd.sf_get_string(file._file, soundfile._str_types[key])
        raw: bytes = soundfile._ffi.string(pointer)
    except (AttributeError, KeyError, TypeError):
        return None
    return raw


def string(file: soundfile.SoundFile, key: str) -> str:
    """Return a string of an open file; empty if it has none."""
    decoded: str = getattr(file, key)
    raw = raw_string(file, key) if "\ufffd" in decoded else None
    return decoded if raw is None else text(raw)


def genre(said: str) -> str:
    """A genre by its name: old MP3s have a number, alone or before the name."""
    match = re.fullmatch(r"\((\d{1,3})\)(.*)|(\d{1,3})", said, re.S)
    if not match or match[2]:
        return match[2] if match else said
    number = int(match[1] or match[3])
    # libsndfile knows the names, but looks for numbers only in tags of the oldest kind.
    tag = b"TAG" + bytes(124) + bytes([min(number, 255)])
    with opened(io.BytesIO(SILENT_MP3 + tag)) as numbered:
        return numbered.genre or said


def of_mp3(file: soundfile.SoundFile) -> dict[str, str]:
    """Tags of an open MP3."""
    found = {key: string(file, key) for key in KEYS}
    return found | {"genre": genre(found["genre"])}


def of_chunks(path: Path) -> dict[str, str]:
    """What libsndfile passes over in a WAV or AIFF: ID3, and the track number as ffmpeg writes it."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        for name, size in chunks(file):
            if size > LARGEST:
                continue
            if name in (b"id3 ", b"ID3 "):
                # libsndfile reads ID3 at the beginning of MP3s alone: so it gets one.
                with suppress(soundfile.SoundFileError), opened(io.BytesIO(file.read(size) + SILENT_MP3)) as mp3:
                    found |= {key: value for key, value in of_mp3(mp3).items() if value}
            elif name == b"LIST" and (info := io.BytesIO(file.read(size))).read(4) == b"INFO":
                for part, length in walk(info, "little"):
                    if part == b"IPRT":
                        found.setdefault("tracknumber", text(info.read(length).partition(b"\0")[0]))
    return found


def of_ffmpeg(path: Path, ffmpeg: str) -> dict[str, str]:
    """Tags of a file that libsndfile does not know."""
    found = {key: text(value) for key, value in metadata(path, ffmpeg).items()}
    return {"tracknumber": found.get("track", ""), "date": found.get("year", ""), **found}


def read_tags(path: Path) -> dict[str, str]:
    """What a file says of its song, without decoding it; empty if it says nothing or cannot be read.

    Takes less than a millisecond, or what it takes to start ffmpeg where only that reads the file.

    Returns:
        Those of `KEYS` that it has, each on one line, without control characters.
    """
    try:
        if not path.is_file():
            return {}
        with opened(native(path)) as file:
            if file.format == "MP3":
                return cleaned(of_mp3(file))
            found = {key: string(file, key) for key in KEYS}
        return cleaned(found | of_chunks(path))
    except OSError:
        return {}
    except (soundfile.SoundFileError, TypeError):  # TypeError: of `.raw` files soundfile asks for the layout
        ffmpeg = shutil.which("ffmpeg")
        with suppress(OSError):
            return cleaned(of_ffmpeg(path, ffmpeg)) if ffmpeg else {}
    return {}

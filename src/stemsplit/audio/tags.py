"""Reads the tags of a song's file: title, artist, album, track number, date, genre."""

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
from stemsplit.audio.source import UnreadableError

KEYS = ("title", "artist", "album", "tracknumber", "date", "genre")
LONGEST = 1_000
"""Largest number of characters kept of a tag: libsndfile writes broken headers when they get too large."""

LARGEST = 1 << 26
"""Largest size in bytes of a chunk of tags, pictures included; larger ones are skipped."""

UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")
SILENT_MP3 = 4 * (b"\xff\xfb\x90\x64" + bytes(413))
"""Four silent frames at 128 kbit/s, the fewest that libsndfile accepts as an MP3."""


def cleaned(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags in `KEYS` that are not blank, in that order, each shortened and on one line."""
    texts = {key: UNWANTED.sub(" ", tags[key]).strip()[:LONGEST] for key in KEYS if key in tags}
    return {key: text for key, text in texts.items() if text}


def text(raw: bytes) -> str:
    """Decode a tag's bytes: as UTF-8, or else in the encoding of old Windows programs."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


def raw_string(file: soundfile.SoundFile, key: str) -> bytes | None:
    """Return the bytes of a string of an open file.

    soundfile decodes strings as UTF-8, replaces invalid bytes, and has no public name for the bytes themselves. Only
    this function uses soundfile's private names, which another version may lack. tinytag would lose more: track
    numbers that are not numbers, RF64 files, and the encoding of old Windows programs.

    Args:
        file: an open file.
        key: one of `KEYS`.

    Returns:
        The bytes in the file; None if this version of soundfile does not give them.
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
    """Return the name of a genre, which old MP3s give as a number, alone or before the name."""
    match = re.fullmatch(r"\((\d{1,3})\)(.*)|(\d{1,3})", said, re.S)
    if not match or match[2]:
        return match[2] if match else said
    number = int(match[1] or match[3])
    # libsndfile knows the names, but looks for numbers only in tags of the oldest kind.
    tag = b"TAG" + bytes(124) + bytes([min(number, 255)])
    with opened(io.BytesIO(SILENT_MP3 + tag)) as numbered:
        return numbered.genre or said


def of_mp3(file: soundfile.SoundFile) -> dict[str, str]:
    """Return the tags of an open MP3."""
    found = {key: string(file, key) for key in KEYS}
    return found | {"genre": genre(found["genre"])}


def of_chunks(path: Path) -> dict[str, str]:
    """Return the tags of a WAV or AIFF that libsndfile ignores: ID3, and the track number as ffmpeg writes it."""
    found: dict[str, str] = {}
    with path.open("rb") as file:
        for name, size in chunks(file):
            if size > LARGEST:
                continue
            if name in (b"id3 ", b"ID3 "):
                # libsndfile reads ID3 only at the beginning of an MP3, so one is made.
                with suppress(soundfile.SoundFileError), opened(io.BytesIO(file.read(size) + SILENT_MP3)) as mp3:
                    found |= {key: value for key, value in of_mp3(mp3).items() if value}
            elif name == b"LIST" and (info := io.BytesIO(file.read(size))).read(4) == b"INFO":
                for part, length in walk(info, "little"):
                    if part == b"IPRT":
                        found.setdefault("tracknumber", text(info.read(length).partition(b"\0")[0]))
    return found


def of_ffmpeg(path: Path, ffmpeg: str) -> dict[str, str]:
    """Return the tags of a file that only ffmpeg can read."""
    found = {key: text(value) for key, value in metadata(path, ffmpeg).items()}
    return {"tracknumber": found.get("track", ""), "date": found.get("year", ""), **found}


def read_tags(path: Path) -> dict[str, str]:
    """Read the tags of a song's file, without decoding it; empty if it has none or cannot be read.

    This takes less than a millisecond, except for files that only ffmpeg can read.

    Returns:
        The tags in `KEYS` that the file has, each on one line, without control characters.
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
    except (soundfile.SoundFileError, TypeError):  # TypeError: for `.raw` files, soundfile wants to be told the layout
        ffmpeg = shutil.which("ffmpeg")
        with suppress(UnreadableError):
            return cleaned(of_ffmpeg(path, ffmpeg)) if ffmpeg else {}
    return {}

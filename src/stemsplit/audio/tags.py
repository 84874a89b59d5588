"""Reads the tags of a song's file: title, artists, album, track number, date, genres, cover art and so on."""

import shutil
import struct
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import soundfile

from stemsplit.audio.containers.riff import KINDS
from stemsplit.audio.ffmpeg import metadata
from stemsplit.audio.libsndfile import native, opened
from stemsplit.audio.source import UnreadableError
from stemsplit.audio.tagging.apev2 import footer, read_apev2
from stemsplit.audio.tagging.asf import HEADER, read_asf
from stemsplit.audio.tagging.chunks import read_chunks
from stemsplit.audio.tagging.flac import read_flac
from stemsplit.audio.tagging.id3 import read_id3, read_oldest
from stemsplit.audio.tagging.mp4 import read_mp4
from stemsplit.audio.tagging.ogg_tags import read_ogg
from stemsplit.audio.tagging.values import KEYS, LARGEST_PICTURE, Found, Texts, cleaned, text

FFMPEG = {"track": "tracknumber", "disc": "discnumber", "album_artist": "albumartist", "year": "date"}
"""ffmpeg's name of a tag -> ours, where they differ."""

QUICKTIME = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
"""What MP4 files begin with, behind four bytes."""


@dataclass(frozen=True)
class Tags:
    """What a file's tags say.

    Args:
        texts: the tags in `KEYS` that it has, each with its values, each on one line, without control characters.
        picture: cover art; empty if it has none.
        oversized: size in bytes of cover art that is left out because it is too large; 0 if it is not.
    """

    texts: Texts = field(default_factory=dict)
    picture: bytes = field(default=b"", repr=False)
    oversized: int = 0

    @property
    def note(self) -> str:
        """What people should know of the tags; empty if there is nothing."""
        if not self.oversized:
            return ""
        most, found = (f"{size / 1e6:,.1f} MB" for size in (LARGEST_PICTURE, self.oversized))
        return f"its cover art of {found} is left out, as it is larger than {most}"


def of_dsf(file: IO[bytes]) -> Found:
    """Return what the ID3 tag of a DSF file says, whose header says where it is."""
    file.seek(20)
    file.seek(int.from_bytes(file.read(8), "little"))
    return read_id3(file)


def around(file: IO[bytes]) -> Found:
    """Return what the tags before and behind the sound say: of FLAC, ID3, APE and the oldest kind of ID3 in turn."""
    found, before = Found(), Found()
    place = -1
    while place != file.tell():
        place = file.tell()
        before.fill(read_id3(file))
    if file.read(4) == b"fLaC":
        found = read_flac(file)
    found.fill(before)
    if footer(file) >= 0:
        found.fill(read_apev2(file))
    end = file.seek(0, 2)
    if end >= 128:
        file.seek(end - 128)
        if (oldest := file.read(128))[:3] == b"TAG":
            found.fill(read_oldest(oldest))
    return found


def of_file(path: Path) -> Found:
    """Return what the tags in a file say, by the kind of file that its first bytes tell."""
    with path.open("rb") as file:
        head = file.read(16)
        file.seek(0)
        if head[:4] in KINDS:
            return read_chunks(file)
        if head[:4] == b"OggS":
            return read_ogg(file)
        if head[4:8] in QUICKTIME:
            return read_mp4(file)
        if head == HEADER:
            return read_asf(file)
        return of_dsf(file) if head[:4] == b"DSD " else around(file)


def of_others(path: Path) -> Found:
    """Return what libsndfile or ffmpeg knows of a file whose tags are none that this room reads."""
    found = Found()
    try:
        with opened(native(path)) as file:
            for key in ("title", "artist", "album", "tracknumber", "date", "genre"):
                found.add(key, getattr(file, key))
    except (soundfile.SoundFileError, TypeError):  # TypeError: for `.raw` files, soundfile wants to be told the layout
        if ffmpeg := shutil.which("ffmpeg"):
            with suppress(OSError, UnreadableError):
                for key, value in metadata(path, ffmpeg).items():
                    if (name := FFMPEG.get(key, key)) in KEYS:
                        found.add(name, text(value))
    return found


def read_all(path: Path) -> Tags:
    """Read the tags and the cover art of a song's file, without decoding it; nothing if it has none or cannot be read.

    This takes about a millisecond, except for files that only ffmpeg can read.
    """
    try:
        if not path.is_file():
            return Tags()
        try:
            found = of_file(path)
        except (ValueError, IndexError, struct.error):
            found = Found()  # damaged tags are no reason to fail
        if not cleaned(found.texts):
            found.fill(of_others(path))
    except OSError:
        return Tags()
    return Tags(cleaned(found.texts), found.picture, found.oversized)


def read_tags(path: Path) -> Texts:
    """Return the texts that `read_all` reads."""
    return read_all(path).texts

"""Recognises files that only look like recordings, by their first bytes, and says what they are."""

import re
from itertools import pairwise

from stemsplit.audio.source import UnreadableError

PLAYLIST = re.compile(
    rb"(?i)\s*(#EXTM3U|\[playlist\]|ffconcat|<\?xml[^>]*>\s*<(MPD|smil|asx|playlist)|<(MPD|smil|asx)\b)"
)
"""Matches the beginning of lists of other files, which a decoder would follow."""

CUE = re.compile(rb"(?im)\A(\s*(REM|PERFORMER|TITLE|CATALOG|CDTEXTFILE|SONGWRITER)\b.*\r?\n)*\s*FILE +\S")
"""Matches the beginning of a cue sheet."""

ARCHIVE = re.compile(rb"PK\x03\x04|Rar!\x1a\x07|7z\xbc\xaf\x27\x1c|\x1f\x8b\x08|BZh[1-9]|\xfd7zXZ\x00")
"""Matches the beginning of archives."""

SHOP = re.compile(rb"(?s)....ftyp(aax |aaxc|M4P )")
"""Matches the beginning of copy-protected files."""

DTS = re.compile(rb"\xfe\x7f\x01\x80|\x7f\xfe\x80\x01|\xff\x1f\x00\xe8|\x1f\xff\xe8\x00")
"""Matches the beginning of a DTS frame, in either byte order, of 16 or of 14 bits."""

IEC61937 = re.compile(rb"\x72\xf8\x1f\x4e|\xf8\x72\x4e\x1f")
"""Matches the beginning of compressed sound in what looks like samples of 16 bits (IEC 61937)."""

MARKS = (
    *(b"\xfe\x7f\x01\x80", b"\x7f\xfe\x80\x01", b"\xff\x1f\x00\xe8", b"\x1f\xff\xe8\x00"),
    *(b"\x72\xf8\x1f\x4e", b"\xf8\x72\x4e\x1f"),
)
"""The bytes that `DTS` and `IEC61937` match. Sound without any of them is quickly seen to be no compressed sound."""


def check_start(start: bytes) -> None:
    """Raise UnreadableError if a file's first bytes are those of a list, an archive or a copy-protected file."""
    if PLAYLIST.match(start.removeprefix(b"\xef\xbb\xbf")):
        raise UnreadableError("it is a list of other files", "name those, or give a list with @ before its name")
    if CUE.match(start.removeprefix(b"\xef\xbb\xbf")):
        raise UnreadableError("it is a cue sheet", "name the file that it describes")
    if ARCHIVE.match(start):
        raise UnreadableError("it is an archive", "unpack it first")
    if SHOP.match(start):
        raise protected()


def protected() -> UnreadableError:
    """Return an error that says that a file is copy-protected."""
    return UnreadableError("it is copy-protected", "only the player of its shop can open it")


def as_text(start: bytes) -> str:
    """Return how a file begins if that is text, and so no sound; empty if it is not."""
    try:
        text = start[:64].decode().strip()
    except UnicodeDecodeError:
        return ""
    return text[:24] if text and (text.isprintable() or "\n" in text) and "\0" not in text else ""


def holds_other_coding(sound: bytes) -> bool:
    """Return whether what seem to be samples of 16 bits are compressed sound, such as DTS from a disc.

    Args:
        sound: the first bytes of the sound.
    """
    for pattern in (DTS, IEC61937):
        places = [match.start() for match in pattern.finditer(sound) if not match.start() % 2]
        # By chance, such bytes are not found twice, at even places, at the distance of frames.
        if len(places) > 2 and len({after - before for before, after in pairwise(places)}) <= 2:
            return True
    return False

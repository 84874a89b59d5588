"""Compares how much sound a header promises with what the file has.

libsndfile and ffmpeg correct a wrong size silently, each in its own way; so it is looked up here before they read.
"""

import os
import re
from pathlib import Path
from typing import IO

from stemsplit.audio.containers.extent import Extent, Order
from stemsplit.audio.containers.headers import KINDS, W64_DATA, W64_RIFF, number

MAGIC = re.compile(
    rb"(?s)\0*((RIFF|RIFX|RF64|BW64)....WAVE|FORM....(AIFF|AIFC|8SVX|16SV)|riff\x2e\x91|caff\0|\.snd\0|fLaC\0|"
    rb"NIST_1A|Creative V)"
)
"""Matches the beginning of another recording."""

TAG = re.compile(rb"TAG|APETAGEX|ID3|LYRICSBEGIN")
"""Matches the beginning of tags that some programs append to any file."""

CHUNKS = re.compile(
    rb"LIST|id3 |ID3 |bext|iXML|cue |smpl|fact|PEAK|JUNK|junk|PAD |FLLR|afsp|inst|acid|cart|axml|chna|DISP|levl|COMM|"
    rb"MARK|INST|APPL|NAME|AUTH|ANNO|\(c\) |COMT|CHAN|FVER|_PMX|minf|elm1|regn|umid|SAUR|free|info|strg|peak|midi"
)
"""Matches the names of chunks that are known to follow the sound."""


NO_LENGTH = "its header does not say how long it is (it was written to a pipe, or never finished); all of it is split"


def follows(rest: bytes, left: int, order: Order, known_only: bool) -> bool:
    """Return whether chunks follow the sound, which hold tags, markers and the like.

    Args:
        rest: first bytes after the sound.
        left: number of bytes after the sound.
        order: byte order of sizes.
        known_only: whether a chunk with an unknown name counts only if it ends where the file does.
    """
    if CHUNKS.match(rest):
        return True
    if len(rest) < 8 or not all(0x20 <= byte < 0x7F for byte in rest[:4]):
        return False
    return (left - 10 if known_only else 0) <= number(rest[4:8], order) <= left - 8


def is_blank(file: IO[bytes], begin: int) -> bool:
    """Return whether a file has only zeros from an offset on."""
    file.seek(begin)
    while block := file.read(1 << 20):
        if block.strip(b"\0"):
            return False
    return True


def judge(extent: Extent, file: IO[bytes], end: int, start: bytes) -> None:
    """Compare the sound's size by the header with what the file has, and note what follows of it."""
    there = max(end - extent.begin, 0)
    if extent.promised is None:
        extent.size, extent.mended = there, True
        extent.warning = NO_LENGTH
        return
    extent.size = min(extent.promised, there)
    if extent.promised > there:
        extent.cut = f"{there} of {extent.promised} bytes of its sound are there"
        extent.mended = extent.mended or start[:4] == b"caff"  # which libsndfile refuses then
        return
    left = there - extent.promised
    file.seek(extent.begin + extent.promised)
    rest = file.read(64)
    if extent.promised % 2 and rest[:1] == b"\0":  # chunks begin at even offsets
        rest = rest[1:]
    order: Order = "big" if start[:4] in (b"FORM", b"RIFX", b"caff") else "little"
    # Of these, libsndfile takes all that follows for sound.
    greedy = start[:4] in (b"riff", b"NIST", b"Crea") or start[8:12] in (b"8SVX", b"16SV")
    if start[:4] == b"riff":
        chunks = rest[4:16] in (W64_DATA[4:], W64_RIFF[4:])
    else:
        chunks = follows(rest, left, order, not extent.promised)
    if MAGIC.match(rest):
        extent.warning = "another recording is joined to it, which players do not play; only the first one is split"
        extent.mended = True
    elif left <= 3 or TAG.match(rest) or chunks or not extent.header:
        extent.mended = extent.mended or (greedy and left > 3)
    elif is_blank(file, extent.begin + extent.promised):
        extent.mended = extent.mended or greedy
    else:
        extent.size, extent.mended = there, True
        said = f"{extent.promised} bytes" if extent.promised else "nothing"
        extent.warning = f"its header says {said} of sound, but {there} bytes are there; all of it is split"


def extent_of(path: Path) -> Extent | None:
    """Find where the sound lies in a file.

    Returns:
        The sound's place; None for files that hold it in another way, or whose structure cannot be followed.

    Raises:
        OSError: the file cannot be read.
        UnreadableError: its header is impossible.
    """
    with path.open("rb") as file:
        start = file.read(26)
        find = KINDS.get(start[:4])
        if find is None:
            return None
        file.seek(12)
        extent = find(file, start)
        if extent is not None:
            judge(extent, file, file.seek(0, os.SEEK_END), start)
        return extent

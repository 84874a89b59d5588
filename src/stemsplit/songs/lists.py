"""Reads lists of songs: text with a path in each line, paths between NULs, and playlists."""

import codecs
import os
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from stemsplit.audio.kinds import BEGINNINGS
from stemsplit.disk.folders import expanded
from stemsplit.errors import AudioError

LARGEST_LIST = 256_000_000
"""Largest size of a list of songs in bytes: more than a million paths."""

WIDE = {
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
"""Marks with which text begins that is not in UTF-8, as PowerShell writes it; the longer ones first."""

XML = re.compile(rb"\s*(<\?xml|<(asx|smil|playlist|MPD)\b)", re.IGNORECASE)
"""Matches the beginning of lists that are not read."""


def read_list(file: IO[bytes], name: str) -> Iterator[str]:
    """Read a list of songs: a path in each line, or between NULs, or a playlist (M3U, PLS) or cue sheet.

    Args:
        file: file of the list.
        name: path of the list, by which playlists are known; or how messages call it.

    Raises:
        AudioError: the list is far too large, as a device would be, or is not a list but audio, or cannot be decoded.
    """
    data = file.read(LARGEST_LIST + 1)
    if len(data) > LARGEST_LIST:
        raise AudioError(f"cannot read the list {name} (it is larger than {LARGEST_LIST / 1e6:g} MB)")
    if BEGINNINGS.match(data):
        how = "save it to a file first, and name that" if name == "on stdin" else "name the file without @ or -"
        raise AudioError(f"cannot read the list {name} (it is audio); to split it, {how}")
    lines = lines_of(data, name)
    folder, kind = os.path.dirname(name), os.path.splitext(name)[1].lower()  # noqa: PTH120, PTH122  # names, not paths
    first = next((line.strip() for line in lines if line.strip()), "")
    if XML.match(os.fsencode(first)):
        raise AudioError(f"cannot read the list {name} (it is a playlist in XML); save it as M3U, or as text")
    if kind in (".m3u", ".m3u8") or first.upper().startswith("#EXTM3U"):
        found = [line.strip() for line in lines if not line.lstrip().startswith("#")]
    elif first.lower() == "[playlist]":
        found = [match[1] for line in lines if (match := re.match(r"(?i)\s*File\d+\s*=\s*(.*\S)", line))]
    elif kind == ".cue":
        cue = (re.match(r'(?i)\s*FILE\s+(?:"([^"]+)"|(\S.*?))(\s+\w+)?\s*$', line) for line in lines)
        found = [match[1] or match[2] for match in cue if match]
    else:
        return (as_written(line, "") for line in lines if line.strip())
    return (as_written(line, folder) for line in found if line)


def lines_of(data: bytes, name: str) -> list[str]:
    """Return the lines of a list, or what is between its NULs.

    Raises:
        AudioError: it cannot be decoded.
    """
    for mark, coding in WIDE.items():
        if data.startswith(mark):
            try:
                return re.split("\r?\n", data.removeprefix(mark).decode(coding).rstrip("\0"))
            except UnicodeDecodeError as error:
                raise AudioError(
                    f"cannot read the list {name} (it is cut off, or not text); save it as UTF-8"
                ) from error
    if b"\0" in data:
        if is_wide(data):
            raise AudioError(f"cannot read the list {name} (it seems to be UTF-16 without a mark); save it as UTF-8")
        return [os.fsdecode(line) for line in data.split(b"\0")]
    lines = data.removeprefix(codecs.BOM_UTF8).split(b"\n")
    return [os.fsdecode(line.removesuffix(b"\r")) for line in lines]


def is_wide(data: bytes) -> bool:
    """Return whether text with NULs is rather UTF-16 than paths between NULs."""
    pieces = data[:1_000].strip(b"\0").split(b"\0")
    single = sum(len(piece) == 1 for piece in pieces)
    return single > 2 and single >= 0.8 * len(pieces) and not os.path.lexists(pieces[0])


def as_written(text: str, folder: str) -> str:
    """Return the path of an entry of a list: as it is written if there is such a file, or as it is likely meant.

    Args:
        text: the entry.
        folder: folder to which it is relative; empty for the working folder.
    """

    def place(path: str) -> str:
        is_relative = not re.match(r"[A-Za-z][A-Za-z0-9+.-]*:|~", path)  # an address, a drive, a home folder
        return os.path.join(folder, path) if folder and is_relative else path  # noqa: PTH118

    if os.path.lexists(place(text)):
        return place(text)
    others = [text.strip().strip("\"'"), text.replace("\\", "/")]
    if any("\udc80" <= letter <= "\udcff" for letter in text):
        others.append(os.fsencode(text).decode("cp1252", "replace"))  # as players on Windows write .m3u
    return next((place(other) for other in others if other and os.path.lexists(place(other))), place(text))


def expand_lists(arguments: Sequence[Path | str], stdin: IO[bytes] | None) -> Iterator[str]:
    """Yield the arguments, with the paths in a list in place of the list.

    Raises:
        AudioError: a list cannot be read.
        ValueError: an argument is empty.
    """
    for argument in arguments:
        text = os.fspath(argument)
        if not text:
            raise ValueError("an argument is empty; name a song, a folder or a list")
        name = "on stdin" if text == "-" else text[1:]
        try:
            if text == "-":
                # sys.stdin is None if it was closed when Python started.
                stream = stdin or (sys.stdin and sys.stdin.buffer)
                if stream:
                    yield from read_list(stream, name)
            elif text.startswith("@") and not os.path.lexists(text):
                name = str(expanded(name)) if name else name
                with Path(name).open("rb") as file:  # it may be a pipe: @<(find ...)
                    yield from read_list(file, name)
            else:
                yield text
        except OSError as error:
            raise AudioError(
                f"cannot read the list {name} ({error.strerror}); a list has one song on each line"
            ) from error

"""Writes a session for REAPER beside a song's stems: all of them in step, named and coloured."""

import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from stemsplit.audio.stem_file import COLOURS
from stemsplit.songs import beside
from stemsplit.songs.job import Job
from stemsplit.songs.outputs import Output
from stemsplit.songs.record import Record

SUFFIX = ".rpp"

MARK = b'<REAPER_PROJECT 0.1 "7.0/stemsplit" 0\n'
"""First line of a session that stemsplit wrote. REAPER writes its own version there when it saves one."""

OTHERS = b"<REAPER_PROJECT "
"""Beginning of every session."""

SOURCES = {
    ".wav": "WAVE",
    ".aiff": "WAVE",
    ".flac": "FLAC",
    ".mp3": "MP3",
    ".ogg": "VORBIS",
    ".opus": "OPUS",
    ".m4a": "VIDEO",
}
"""Suffix of a file -> the word by which REAPER chooses the decoder, whatever the file holds."""

TRACK_BYTES = 700
"""Approximate size of a track in a session, in bytes."""

MORE_COLOURS = ("#E69F00", "#0072B2", "#F0E442", "#999999")
"""Colours of stems that have none in `stem_file.COLOURS`, in turn."""


def quoted(text: str) -> str:
    """Return a text in quotation marks that REAPER reads, of a kind that the text does not contain."""
    text = " ".join(text.split())
    mark = next((mark for mark in "\"'`" if mark not in text), "`")
    return f"{mark}{text.replace('`', chr(39)) if mark == '`' else text}{mark}"


def _identity(*names: str) -> str:
    """Return an identifier that is the same each time the session is written."""
    return f"{{{str(uuid.uuid5(uuid.NAMESPACE_URL, '/'.join(('stemsplit', *names)))).upper()}}}"


def _track(song: str, name: str, facts: Mapping[str, Any], colour: str, seconds: float, channels: int) -> Iterator[str]:
    """Yield the lines of a track with one item that begins where the song does."""
    file = PurePosixPath(facts["file"])
    red, green, blue = bytes.fromhex(colour.removeprefix("#"))
    identity = _identity(song, name)
    # A sum holds what other tracks hold already.
    muted = int(Output(name, tuple(facts["weights"])).stem is None)
    yield f"  <TRACK {identity}"
    yield f"    NAME {quoted(name)}"
    yield f"    PEAKCOL {1 << 24 | blue << 16 | green << 8 | red}"
    yield f"    MUTESOLO {muted} 0 0"
    yield f"    NCHAN {channels + channels % 2}"
    yield f"    TRACKID {identity}"
    yield "    <ITEM"
    yield "      POSITION 0"
    yield f"      LENGTH {seconds:.12f}"
    yield "      LOOP 0"
    # Without this line, REAPER would fade the first 10 ms in.
    yield "      FADEIN 1 0 0 1 0 0 0"
    yield "      FADEOUT 1 0 0 1 0 0 0"
    yield f"      IGUID {_identity(song, name, 'item')}"
    yield f"      NAME {quoted(file.name)}"
    yield f"      GUID {_identity(song, name, 'take')}"
    yield f"      <SOURCE {SOURCES.get(file.suffix, 'WAVE')}"
    yield f"        FILE {quoted(str(file))}"
    yield "      >"
    yield "    >"
    yield "  >"


def text(record: Record) -> bytes:
    """Return the session of a song's stems, for a file beside the record.

    Args:
        record: record of the stems. Stems that were not written, because they are silent, get no track.
    """
    figures = record.figures
    seconds = figures["frames"] / figures["sample_rate"]
    lines = [f"  SAMPLERATE {figures['sample_rate']} 1 0"]
    others = 0
    for name, facts in record.stems.items():
        colour = COLOURS.get(name.capitalize())
        if colour is None:
            colour, others = MORE_COLOURS[others % len(MORE_COLOURS)], others + 1
        if facts["file"] is not None:
            lines += _track(record.song["name"], name, facts, colour, seconds, figures["channels"])
    return MARK + "\n".join([*lines, ">", ""]).encode()


def place(job: Job) -> Path:
    """Return the file of a song's session: it has the song's name, or what `--name` makes of a stem named `session`."""
    alone = job.names.template.parts[-1] == (("", "stem"),)
    return job.beside(job.names.values["track"] if alone else "session", SUFFIX)


def write(path: Path, record: Record, force: bool = False) -> str:
    """Write a session, unless it is there already, or a person has changed the one that is there.

    Args:
        path: file to write, from `place`.
        record: record of the stems, which lies in the same folder.
        force: whether any regular file may be replaced.

    Returns:
        What people should know; empty if there is nothing to say.

    Raises:
        AudioError: it cannot be written, or another file is in its place.
    """
    new, there = text(record), beside.content(path)
    if there == new:
        return ""
    if there.startswith(OTHERS) and not there.startswith(MARK) and not force:
        return f"{path} has been changed, and is kept; --force writes over it"
    with beside.writing(path, MARK, force) as file:
        file.write(new)
    return ""

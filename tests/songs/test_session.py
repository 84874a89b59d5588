"""Sessions for REAPER: every stem in step, named and coloured, in the words that REAPER reads."""

import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from stemsplit.errors import AudioError
from stemsplit.songs import session
from stemsplit.songs.record import Record


def facts(file: str | None, *gains: float) -> dict[str, Any]:
    size = None if file is None else 9
    figures = {"peak": 0.5, "clipped": 0, "energy_share": 0.5, "silent": file is None}
    return {"file": file, "size": size, "weights": list(gains), **figures}


def record(stems: Mapping[str, Mapping[str, Any]], rate: int = 44_100, frames: int = 100_000) -> Record:
    figures = {"duration": frames / rate, "sample_rate": rate, "channels": 2, "frames": frames, "sum_error": None}
    return Record({"name": "song.flac", "size": 1, "sha256": "0" * 64}, {}, {}, stems, figures)


def blocks(content: bytes) -> list[tuple[tuple[str, ...], list[str]]]:
    """All lines of a session, each with the names of the blocks that it stands in."""
    found: list[tuple[tuple[str, ...], list[str]]] = []
    path: list[str] = []
    for line in content.decode().splitlines():
        words = line.split()
        if words == [">"]:
            path.pop()
        elif line.strip().startswith("<"):
            path.append(words[0][1:])
            found.append((tuple(path), words))
        else:
            found.append((tuple(path), words))
    assert not path
    return found


def values(content: bytes, block: str, key: str) -> Iterator[str]:
    for path, words in blocks(content):
        if path[-1] == block and words[0] == key:
            yield " ".join(words[1:])


FOUR = {name: facts(f"{name}.wav", 0.0, *(float(name == other) for other in "dbov")) for name in "dbov"}


def test_every_stem_begins_with_the_song_and_lasts_as_long() -> None:
    content = session.text(record(FOUR, 48_000, 123_456))
    assert list(values(content, "ITEM", "POSITION")) == ["0"] * 4
    assert [round(float(length) * 48_000, 6) for length in values(content, "ITEM", "LENGTH")] == [123_456] * 4
    assert list(values(content, "REAPER_PROJECT", "SAMPLERATE")) == ["48000 1 0"]
    # Not faded, unlike an item that REAPER makes itself.
    assert {line.split()[1] for line in values(content, "ITEM", "FADEIN")} == {"0"}


def test_stems_have_names_and_different_colours() -> None:
    stems = {name: facts(f"{name}.wav", 0.0, 1.0) for name in ("drums", "bass", "other", "vocals", "guitar", "piano")}
    content = session.text(record(stems))
    assert [shlex.split(name)[0] for name in values(content, "TRACK", "NAME")] == list(stems)
    assert len({*values(content, "TRACK", "PEAKCOL")}) == len(stems)
    drums = int(next(values(content, "TRACK", "PEAKCOL")))
    assert (drums & 255, drums >> 8 & 255, drums >> 16 & 255, drums >> 24) == (0x00, 0x9E, 0x73, 1)


def test_the_decoder_fits_the_file() -> None:
    stems = {kind: facts(f"{kind}.{kind}", 0.0, 1.0) for kind in ("wav", "aiff", "flac", "mp3", "ogg", "opus", "m4a")}
    sources = [words[1] for path, words in blocks(session.text(record(stems))) if words[0] == "<SOURCE"]
    assert sources == ["WAVE", "WAVE", "FLAC", "MP3", "VORBIS", "OPUS", "VIDEO"]


def test_a_sum_is_muted_for_its_stems_are_heard_already() -> None:
    content = session.text(record({"vocals": facts("vocals.wav", 0, 1, 0), "karaoke": facts("karaoke.wav", 1, -1, 0)}))
    assert list(values(content, "TRACK", "MUTESOLO")) == ["0 0 0", "1 0 0"]


def test_a_silent_stem_that_was_not_written_has_no_track() -> None:
    assert list(values(session.text(record({"a": facts(None, 0, 1), "b": facts("b.wav", 0, 1)})), "TRACK", "NAME")) == [
        '"b"'
    ]


@pytest.mark.parametrize("name", ['a "b"', "a 'b' \"c\"", "a `b` 'c' \"d\"", "> <TRACK", "line\nbreak", "naïve ✓"])
def test_no_name_breaks_the_session(name: str) -> None:
    content = session.text(record({name: facts(f"{name}.wav", 0.0, 1.0)}))
    tracks = [path for path, words in blocks(content) if words[0] == "<TRACK"]
    assert tracks == [("REAPER_PROJECT", "TRACK")]
    (shown,) = values(content, "TRACK", "NAME")
    assert re.fullmatch(r"\"[^\"]*\"|'[^']*'|`[^`]*`", shown)


def test_a_session_that_was_worked_in_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "song.rpp"
    assert not session.write(path, record(FOUR))
    edited = path.read_bytes().replace(b"7.0/stemsplit", b"7.22/linux")
    path.write_bytes(edited)
    assert "kept" in session.write(path, record(FOUR))
    assert path.read_bytes() == edited
    assert not session.write(path, record(FOUR), force=True)
    assert path.read_bytes() == session.text(record(FOUR))


def test_what_is_not_a_session_is_not_replaced(tmp_path: Path) -> None:
    path = tmp_path / "song.rpp"
    path.write_text("a stranger's notes")
    with pytest.raises(AudioError, match="not as stemsplit left it"):
        session.write(path, record(FOUR))
    assert path.read_text() == "a stranger's notes"


def test_a_session_of_other_stems_is_renewed(tmp_path: Path) -> None:
    path = tmp_path / "song.rpp"
    session.write(path, record({"a": facts("a.wav", 0, 1)}))
    session.write(path, record(FOUR))
    assert path.read_bytes() == session.text(record(FOUR))

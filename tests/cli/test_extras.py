"""Further files beside the stems: written when the stems are whole, never over what others made."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.cli.processes import light as light

Command = Callable[..., Result]
Song = Callable[..., Path]


@pytest.mark.usefixtures("light")
def test_a_session_comes_with_the_stems_or_later(stemsplit: Command, song: Song) -> None:
    path = song("song.wav", frames=4_000)
    assert [file.suffix for file in stemsplit(path, "--session", "reaper").paths] == [".wav"] * 4 + [".rpp"]
    session = Path("stems/song/song.rpp")
    before = session.read_bytes()
    session.unlink()
    later = stemsplit(path, "--session", "reaper", "--json")
    line, summary = map(json.loads, later.out.splitlines())
    assert (line["status"], line["session"], line["session_error"]) == ("skipped", str(session), None)
    assert (summary["summary"]["skipped"], summary["summary"]["exit_status"]) == (1, 0)
    assert session.read_bytes() == before


def test_a_strangers_file_in_its_place_is_known_before_the_work(stemsplit: Command, song: Song) -> None:
    path = song("song.wav", frames=4_000)
    theirs = Path("stems/song/song.rpp")
    theirs.parent.mkdir(parents=True)
    theirs.write_text("notes")
    found = stemsplit(path, "--session", "reaper")
    assert (found.status, found.out, theirs.read_text()) == (1, "", "notes")
    assert "not as stemsplit left it" in found.err
    assert [file.name for file in theirs.parent.iterdir()] == ["song.rpp"]


@pytest.mark.usefixtures("light")
def test_a_song_that_lacks_its_session_is_told(stemsplit: Command, song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    from stemsplit.errors import AudioError
    from stemsplit.songs import session

    def full(*_: object) -> str:
        raise AudioError("the disk is full")

    monkeypatch.setattr(session, "write", full)
    found = stemsplit(song("song.wav", frames=4_000), "--session", "reaper", "--json")
    line, summary = map(json.loads, found.out.splitlines())
    assert (found.status, line["status"], line["session"], line["session_error"]) == (
        1,
        "done",
        None,
        "the disk is full",
    )
    assert "song.wav has no session: the disk is full" in found.err
    assert [summary["summary"][name] for name in ("done", "failed", "without_session", "exit_status")] == [1, 0, 1, 1]
    assert Path("stems/song/vocals.wav").is_file()

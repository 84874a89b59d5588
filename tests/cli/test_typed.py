"""What people type and paste, and shells leave as it is."""

import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.cli import typed
from stemsplit.disk.folders import cache_folder, user_folder
from tests.cli.conftest import Result
from tests.conftest import unix

Command = Callable[..., Result]
Song = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a home folder."""
    folder = tmp_path / "home"
    folder.mkdir()
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("USERPROFILE", str(folder))
    return folder


@pytest.mark.parametrize("option", [["-o", "~/stems"], ["--output=~/stems"], ["-o~/stems"]])
def test_a_home_folder_in_quotes_is_not_made_here(
    stemsplit: Command, song: Song, tmp_path: Path, home: Path, option: list[str]
) -> None:
    song("a.wav")
    planned = stemsplit("a.wav", "--dry-run", *option)
    assert planned.status == 0
    assert str(home / "stems") in planned.out
    assert not (tmp_path / "~").exists()


def test_variables_that_name_folders_may_begin_with_the_home_folder(
    stemsplit: Command, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "more.toml").write_text("")
    for name in ("CACHE", "CONFIG", "REGISTRY"):
        monkeypatch.setenv(f"STEMSPLIT_{name}", "~/more.toml")
    assert (cache_folder(), user_folder()) == (home / "more.toml", home / "more.toml")
    monkeypatch.setenv("STEMSPLIT_CONFIG", str(home))
    assert stemsplit("list", "vocals").status == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o=stems"], "write a space: -o stems"),
        (["-o", "out "], "ends with a space; write 'out'"),
        (["-o", "$HOME/stems"], "use double quotes"),
        (["--csv", " a.csv"], "write 'a.csv'"),
    ],
)
def test_a_slip_in_the_name_of_what_is_written_is_refused_unless_it_exists(
    stemsplit: Command, song: Song, tmp_path: Path, words: list[str], said: str
) -> None:
    song("a.wav")
    result = stemsplit("a.wav", *words)
    assert result.status == 2
    assert said in result.err
    if words[0] == "-o":
        (tmp_path / words[1]).mkdir(parents=True)
        assert stemsplit("a.wav", "--dry-run", *words).status == 0


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["My", "Song.wav"], "error: there is no file 'My', but 'My Song.wav'; put quotes around its name\n"),
        (["My Song.wav", "\u2013model", "starter"], "begins with a typographic dash; type --model\n"),
        (["list", "\u2014all"], "begins with a typographic dash; type --all\n"),
        (["\u201cMy", "Song.wav\u201d"], "typographic quote"),
        (["-song.wav"], "error: '-song.wav' would be taken for options; write ./-song.wav\n"),
        (["my song"], "error: 'my song' is neither a command nor a file; did you mean 'My Song.wav'?\n"),
    ],
)
def test_what_an_editor_or_a_missing_quote_spoiled_splits_nothing(
    stemsplit: Command, song: Song, tmp_path: Path, words: list[str], said: str
) -> None:
    song("My Song.wav")
    song("-song.wav")
    result = stemsplit(*words)
    assert (result.status, result.out) == (2, "")
    assert said in result.err
    assert not (tmp_path / "stems").exists()


def test_a_missing_song_is_said_beside_the_one_that_is_likely_meant(stemsplit: Command, song: Song) -> None:
    song("Loud.wav")
    result = stemsplit("loud.mp3")
    assert result.status == 1
    assert result.err.endswith("cannot read loud.mp3 (there is no such file); did you mean 'Loud.wav'?\n")


def test_all_files_of_an_album_may_be_named(stemsplit: Command, song: Song, tmp_path: Path) -> None:
    song("a.wav")
    for name in ("cover.jpg", "rip.log", "album.m3u"):
        (tmp_path / name).write_bytes(b"\xff\xd8\xff")
    result = stemsplit(*sorted(path.name for path in tmp_path.iterdir()), "--dry-run")
    assert result.status == 0
    assert "3 files of other kinds passed over" in result.err
    alone = stemsplit("cover.jpg")
    assert alone.status == 1
    assert "cannot read cover.jpg (it is a picture)" in alone.err


@unix
def test_a_removed_working_folder_is_named_as_the_cause(stemsplit: Command, tmp_path: Path) -> None:
    (tmp_path / "gone").mkdir()
    os.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    try:
        result = stemsplit(tmp_path / "a.wav")
        assert stemsplit("list").status == 0
    finally:
        os.chdir(tmp_path)
    assert result.status == 2
    assert result.err.startswith("error: the working folder no longer exists; ")


@unix
@pytest.mark.parametrize("coding", ["latin-1", "cp437", "ascii:surrogateescape"])
def test_help_is_shown_on_terminals_that_lack_some_letters(tmp_path: Path, coding: str) -> None:
    import pty

    environment = {**os.environ, "PYTHONIOENCODING": coding, "COLUMNS": "40", "PYTHONUTF8": "0", "TERM": "xterm"}
    ours, theirs = pty.openpty()
    with (tmp_path / "help").open("wb") as file:
        # Help texts have boxes if stderr is a terminal.
        command = [sys.executable, "-m", "stemsplit", "split", "--help"]
        ended = subprocess.run(command, env=environment, stdout=file, stderr=theirs, check=False)
    os.close(theirs)
    os.close(ours)
    assert ended.returncode == 0
    assert b"--output" in (tmp_path / "help").read_bytes()


def test_letters_that_a_stream_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    out = io.BytesIO()
    stream = io.TextIOWrapper(out, encoding="latin-1", errors="strict")
    monkeypatch.setattr(sys, "stdout", stream)
    typed.plain_streams()
    stream.write("\u2026")
    stream.flush()
    assert out.getvalue() == b"?"

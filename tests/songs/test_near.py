"""What was meant by an argument that names no file."""

import os
import re
import unicodedata
from pathlib import Path

import pytest

from stemsplit.songs.find import find
from stemsplit.songs.near import Near, check_marks, check_words
from tests.conftest import unix

COMPOSED = "caf\u00e9"
DECOMPOSED = unicodedata.normalize("NFD", COMPOSED)


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the working folder, and a home folder in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    make("home/a.wav", "My Song.wav", "Loud.WAV")
    return tmp_path


def make(*names: str) -> None:
    for path in map(Path, names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def problem(text: str) -> str:
    (song,) = find([text], Path("stems")).songs
    return song.problem


def path(text: str) -> Path:
    (song,) = find([text], Path("stems")).songs
    assert not song.problem
    return song.path


@unix
@pytest.mark.parametrize(("typed", "there"), [(COMPOSED, DECOMPOSED), (DECOMPOSED, COMPOSED)])
def test_a_name_is_found_however_its_accents_are_encoded(typed: str, there: str) -> None:
    make(f"{there}/{there}.wav")
    assert path(f"{typed}/{typed}.wav").samefile(f"{there}/{there}.wav")


def test_a_home_folder_and_the_address_of_a_file_are_paths(place: Path) -> None:
    assert path("~/a.wav") == place / "home/a.wav"
    assert path((place / "My Song.wav").as_uri()) == place / "My Song.wav"


@unix
@pytest.mark.parametrize("text", ["file://server/a.wav", "smb://nas/a.wav"])
def test_the_address_of_another_machine_s_file_is_no_path(text: str) -> None:
    assert problem(text).startswith(f"cannot read {text} (it is an address); copy or mount the file first")


@pytest.mark.parametrize("text", ["s3:/bucket/a.wav", "S3:bucket/a.wav", "s3:///bucket/a.wav"])
def test_an_address_with_a_slash_too_few_is_shown_with_both(text: str) -> None:
    assert "did you mean 's3://bucket/a.wav'?" in problem(str(Path(text)))


def test_a_folder_called_like_the_home_folder_is_itself() -> None:
    make("~/a.wav")
    assert path("~/a.wav") == Path("~/a.wav")


@pytest.mark.parametrize(
    ("typed", "there"),
    [
        ("loud.wav", "Loud.WAV"),
        ("My Song.mp3", "My Song.wav"),
        ("My Song", "My Song.wav"),
        ("my  song.wav", "My Song.wav"),
        ("My\u00a0Song.wav", "My Song.wav"),
        ("'My Song.wav'", "My Song.wav"),
        ("HOME/A.wav", os.path.join("home", "a.wav")),  # noqa: PTH118
    ],
)
def test_the_file_with_nearly_that_name_is_named(typed: str, there: str) -> None:
    if Path(typed).exists():
        pytest.skip("this disk does not tell them apart")
    assert problem(typed) == f"cannot read {typed} (there is no such file); did you mean {there!r}?"


def test_nothing_is_said_of_files_with_quite_other_names() -> None:
    for typed in ("Silent.wav", "no/where/My Song.wav", ".wav"):
        assert problem(typed) == ""


@pytest.mark.parametrize("text", ["https://www.youtube.com/watch?v=a", "www.example.com/a.mp3", "youtu.be/a"])
def test_a_web_address_is_called_one_and_whole(text: str) -> None:
    assert problem(text).startswith(f"cannot read {text} (it is a web address); download the song first")


@unix
def test_a_path_of_windows_is_shown_as_wsl_has_it() -> None:
    said = problem(r"C:\Users\me\My Song.wav")
    assert said.endswith("(it is a path of Windows); in WSL, write '/mnt/c/Users/me/My Song.wav'")
    assert "put quotes around it" in problem("C:UsersmeSong.wav")


@pytest.mark.parametrize(
    ("word", "said"),
    [("\u2013model", "type --model"), ("\u2014stems=vocals", "type --stems=vocals"), ("\u2212m", "type -m"),
     ("-\u2013quiet", "type --quiet"), ("\u201cMy", "typographic quote")],
)  # fmt: skip
def test_typographic_dashes_and_quotes_are_refused(word: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        check_marks(["My Song.wav", word])
    make(word)
    check_marks([word])


def test_parts_of_a_name_with_spaces_are_refused_together() -> None:
    make("A Day in the Life.wav", "Life.wav")
    for words in (["x", "My", "Song.wav"], ["A", "Day", "in", "the", "Life.wav", "x"]):
        with pytest.raises(ValueError, match="put quotes around its name"):
            check_words(words)
    check_words(["My Song.wav", "Life.wav", "missing", "too.wav"])


def test_a_song_that_begins_with_a_dash_is_not_taken_for_options() -> None:
    make("-song.wav")
    with pytest.raises(ValueError, match=re.escape("write ./-song.wav")):
        check_words(["-song.wav"])
    check_words(["--", "-song.wav"])


def test_a_folder_is_listed_once_however_many_songs_are_missing_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []
    monkeypatch.setattr(os, "listdir", lambda folder: listed.append(folder) or ["My Song.wav"])
    near = Near()
    assert {near.closest(f"my song.{number}") for number in range(50)} == {Path("My Song.wav")}
    assert len(listed) == 1


def test_files_that_are_plainly_not_songs_are_passed_over_beside_songs_and_named() -> None:
    others = ["cover.jpg", "notes.TXT", "list.m3u", "rip.log"]
    make(*others)
    search = find([*others, "Loud.WAV", "strange.dat"], Path("stems"))
    assert [song.path.name for song in search.songs] == ["Loud.WAV", "strange.dat"]
    assert search.passed_over == 4
    assert any("cover.jpg" in note and "and 1 more are not songs" in note for note in search.notes)


def test_a_file_that_is_plainly_not_a_song_is_called_what_it_is_if_it_is_alone() -> None:
    make("cover.jpg", "a.srt")
    assert problem("cover.jpg") == "cannot read cover.jpg (it is a picture); name a song"
    assert [song.problem for song in find(["cover.jpg", "a.srt"], Path("stems")).songs if "subtitles" in song.problem]


def test_a_song_with_the_extension_of_a_picture_is_a_song() -> None:
    Path("a.jpg").write_bytes(b"fLaC\0\0\0\x22" + bytes(60))
    assert path("a.jpg") == Path("a.jpg")
    assert len(find(["a.jpg", "Loud.WAV"], Path("stems")).songs) == 2


@unix
def test_pipes_and_sockets_in_a_folder_are_nobodys_songs() -> None:
    make("lib/a.wav")
    os.mkfifo("lib/p.wav")
    search = find(["lib"], Path("stems"))
    assert [song.path.name for song in search.songs] == ["a.wav"]
    assert search.passed_over == 1

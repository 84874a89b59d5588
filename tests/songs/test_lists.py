"""Which songs a list means, in whatever form people's programs write it."""

import io
from pathlib import Path

import pytest

from stemsplit.errors import AudioError
from stemsplit.songs.find import find
from stemsplit.songs.lists import read_list

NAMES = ["caf\u00e9 \u97f3.wav", "b.wav"]


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the working folder, and songs in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "music").mkdir()
    for name in NAMES:
        (tmp_path / name).touch()
        (tmp_path / "music" / name).touch()
    return tmp_path


def songs(*arguments: str, listed: bytes = b"") -> list[str]:
    return [song.path.as_posix() for song in find(arguments, Path("stems"), io.BytesIO(listed)).songs]


@pytest.mark.parametrize("argument", ["@list.txt", "-"])
@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_list_may_be_in_any_unicode_encoding_that_says_which_it_is(argument: str, coding: str, end: str) -> None:
    mark = "\ufeff" if coding == "utf-16-be" else ""
    data = (mark + end.join([*NAMES, ""])).encode(coding)
    Path("list.txt").write_bytes(data)
    assert songs(argument, listed=data) == NAMES


@pytest.mark.parametrize("data", ["a.wav\r\nb.wav\r\n", "a.wav", "song.wav\n"])
@pytest.mark.parametrize("coding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_said_not_taken_for_many_short_names(data: str, coding: str) -> None:
    with pytest.raises(AudioError, match=r"UTF-16 without a mark.*; save it as UTF-8"):
        songs("-", listed=data.encode(coding))


def test_songs_of_one_letter_may_stand_between_nuls() -> None:
    for name in "abc":
        Path(name).touch()
    assert songs("-", listed=b"a\0b\0c\0") == ["a", "b", "c"]


def test_a_list_cut_in_mid_letter_is_refused() -> None:
    with pytest.raises(AudioError, match="cut off"):
        songs("-", listed="a.wav".encode("utf-16")[:-1])


PLAYLISTS = {
    "list.m3u": "#EXTM3U\r\n#EXTINF:1,Artist - A\r\n{0}\r\n\r\n#EXTINF:1,B\r\n{1}\r\n",
    "plain.m3u8": "# comment\n{0}\n{1}",
    "list.pls": "[playlist]\nFile1={0}\nTitle1=A\nFile2={1}\nNumberOfEntries=2\nVersion=2\n",
    "album.cue": 'REM x\nFILE "{0}" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\nFILE {1} WAVE\n',
    "called.txt": "#EXTM3U\n{0}\n{1}\n",
}


@pytest.mark.parametrize("playlist", PLAYLISTS)
def test_a_playlist_means_its_songs_in_its_own_folder_and_not_its_comments(playlist: str) -> None:
    Path("music", playlist).write_text(PLAYLISTS[playlist].format(*NAMES), encoding="utf-8")
    assert songs(f"@music/{playlist}") == [f"music/{name}" for name in NAMES]


def test_entries_of_playlists_may_be_absolute_or_addresses_of_files_or_have_other_slashes(place: Path) -> None:
    where = (place / "music" / NAMES[0]).as_uri()
    text = f"#EXTM3U\n{place / 'b.wav'}\n{where}\nmusic\\b.wav\n"
    Path("list.m3u").write_text(text, encoding="utf-8")
    assert songs("@list.m3u") == [str(place / "b.wav"), str(place / "music" / NAMES[0]), "music/b.wav"]


def test_an_address_in_a_playlist_fails_alone_and_is_called_what_it_is() -> None:
    Path("list.m3u").write_text("http://radio.example/stream.mp3\nb.wav\n")
    address, song = find(["@list.m3u"], Path("stems")).songs
    assert (song.path, song.problem) == (Path("b.wav"), "")
    assert "cannot read http://radio.example/stream.mp3 (it is a web address); download" in address.problem


def test_players_write_playlists_in_the_encoding_of_their_system() -> None:
    Path("caf\u00e9.wav").touch()
    Path("list.m3u").write_bytes("caf\u00e9.wav".encode("cp1252"))
    assert songs("@list.m3u") == ["caf\u00e9.wav"]


def test_a_playlist_in_xml_is_refused_with_what_to_do() -> None:
    with pytest.raises(AudioError, match=r"in XML.*; save it as M3U"):
        list(read_list(io.BytesIO(b'<?xml version="1.0"?>\n<playlist/>'), "a.xspf"))


def test_quoted_lines_are_songs_unless_a_file_has_the_quotes_in_its_name() -> None:
    assert songs("-", listed=b'"b.wav"\n') == ["b.wav"]
    Path('"b.wav"').touch()
    assert songs("-", listed=b'"b.wav"\n') == ['"b.wav"']

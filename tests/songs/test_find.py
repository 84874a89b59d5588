"""Which songs the arguments mean. Only the names and first bytes of files count, so most songs here are empty."""

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from stemsplit.errors import AudioError
from stemsplit.songs.find import Search
from stemsplit.songs.find import find as find_songs
from stemsplit.songs.found import Found
from stemsplit.words import natural
from tests.conftest import noise, unix

OUT = Path("stems")


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the working folder."""
    folder = tmp_path / "place"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def make(*names: str, content: bytes = b"") -> None:
    for path in map(Path, names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def find(*arguments: str, out: Path = OUT, listed: bytes = b"") -> Search:
    return find_songs(arguments, out, io.BytesIO(listed))


def found(*arguments: str, out: Path = OUT, listed: bytes = b"") -> list[str]:
    return [song.path.as_posix() for song in find(*arguments, out=out, listed=listed).songs]


def test_a_named_file_is_always_a_song() -> None:
    make("a.dat", ".hidden", "stems/vocals.wav", "stems/stemsplit.json")
    names = ["a.dat", "missing.flac", ".hidden", "stems/vocals.wav", "/nowhere/at/all.mp3"]
    assert find(*names) == Search(tuple(Found(Path(name), Path()) for name in names), 0)


def test_a_folder_gives_its_audio_files_and_counts_the_others() -> None:
    make("album/a.wav", "album/b.FLAC", "album/c.Mp4", "album/cover.jpg", "album/cd2/notes.txt", "album/cd2/d.ogg")
    search = find("album")
    assert search.songs == (
        Found(Path("album/a.wav"), Path()),
        Found(Path("album/b.FLAC"), Path()),
        Found(Path("album/c.Mp4"), Path()),
        Found(Path("album/cd2/d.ogg"), Path("cd2")),
    )
    assert search.passed_over == 2


@pytest.mark.parametrize("folder", [".", "..", "../place", "{here}"])
def test_the_tree_of_folders_is_kept_however_the_top_is_named(place: Path, folder: str) -> None:
    make("a/b/song.wav")
    (song,) = find(folder.format(here=place)).songs
    assert song.path.samefile("a/b/song.wav")
    assert song.below == (Path("place/a/b") if folder == ".." else Path("a/b"))


def test_an_empty_argument_is_not_the_working_folder() -> None:
    """It usually comes from a script's variable that is not set."""
    make("song.wav")
    with pytest.raises(ValueError, match="empty"):
        find("")


def test_songs_are_in_natural_order() -> None:
    names = ["a/1.wav", "a/02.wav", "a/2.wav", "a/10.wav", "B/1.wav", "c 9/x.wav", "c 10/x.wav", "É.wav", "f.wav"]
    make(*(f"album/{name}" for name in reversed(names)))
    assert found("album") == [f"album/{name}" for name in names]


@given(st.permutations(["a", "A", "a1", "a01", "a2", "a10", "ä", "a\u0308", "B", "b", "٣", "²", "\udcff", "1a", "a.b"]))
def test_the_order_does_not_depend_on_how_the_disk_lists_them(names: list[str]) -> None:
    assert sorted(names, key=natural) == sorted(sorted(names), key=natural)


def test_arguments_keep_their_order_and_a_song_is_listed_once_where_it_comes_first() -> None:
    make("album/1.wav", "album/2.wav", "album/cd/3.wav", "z.wav")
    Path("album/2 again.wav").symlink_to("2.wav")
    arguments = ["z.wav", "album/cd", "album/2.wav", "album", "./z.wav", "*.wav", "album/**/*.wav", "no.wav", "no.wav"]
    assert found(*arguments) == ["z.wav", "album/cd/3.wav", "album/2.wav", "album/1.wav", "no.wav"]


def test_a_file_passed_over_in_a_folder_is_a_song_if_it_is_named() -> None:
    make("album/a.txt", "album/b.txt")
    search = find("album", "album/a.txt", "album/", "album/*.txt")
    assert ([song.path for song in search.songs], search.passed_over) == ([Path("album/a.txt")], 1)


def test_hidden_files_are_not_counted_and_stems_beside_a_record_that_cannot_be_read_are() -> None:
    make("a.wav", "._a.wav", ".DS_Store", ".git/b.wav", "stems/a/vocals.wav", "old/a/stemsplit.json", "old/a/bass.wav")
    make("old/song.wav")
    search = find(".")
    assert search == Search((Found(Path("a.wav")), Found(Path("old/song.wav"), Path("old"))), 0, stems=1)
    (unknown, unreadable) = sorted(search.notes)
    assert "stems/a/vocals.wav" in unknown
    assert "old/a" in unreadable


def test_the_output_folder_is_searched_if_it_is_named() -> None:
    """As in `stemsplit . -o .`; stems of an earlier run are recognised by the record beside them."""
    make("a.wav", "a/vocals.wav", "a/stemsplit.json")
    assert found(".", out=Path()) == ["a.wav"]


def test_links_are_followed_and_loops_are_not() -> None:
    make("elsewhere/b.wav", "album/a.wav")
    Path("album/link").symlink_to("../elsewhere")
    Path("album/loop").symlink_to("../album")
    Path("elsewhere/loop").symlink_to("../album")
    Path("album/itself").symlink_to("itself")
    Path("album/gone.wav").symlink_to("nothing")
    search = find("album")
    assert [song.path.as_posix() for song in search.songs] == ["album/a.wav", "album/gone.wav", "album/link/b.wav"]
    assert search.passed_over == 1
    assert found("album/**/*.wav", "album/*/*.wav", "album/**") == ["album/a.wav", "album/gone.wav", "album/link/b.wav"]


def test_a_folder_that_cannot_be_listed_is_a_song_that_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    make("album/a.wav", "album/closed/b.wav", "album/d.wav")
    listing = os.scandir

    def scandir(folder: Path | str | int) -> Any:
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return listing(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    assert found("album") == ["album/a.wav", "album/closed", "album/d.wav"]
    assert find("album/closed").songs == (Found(Path("album/closed")),)


@unix
def test_a_pipe_in_a_folder_is_not_read() -> None:
    make("album/a.wav")
    os.mkfifo("album/pipe")
    assert find("album") == Search((Found(Path("album/a.wav")),), 1)


def test_finding_nothing_is_not_an_error() -> None:
    Path("empty").mkdir()
    assert find("empty") == find() == find("-") == Search((), 0)


@pytest.mark.parametrize("format_", ["WAV", "WAVEX", "RF64", "W64", "FLAC", "OGG", "MP3", "AIFF", "AU", "CAF"])
def test_audio_is_recognised_by_its_content(format_: str) -> None:
    Path("album").mkdir()
    soundfile.write("album/song", noise(2_000), 44_100, format=format_)
    Path("album/song").rename("album/song.dat")
    assert found("album") == ["album/song.dat"]


@pytest.mark.parametrize(
    "head",
    [
        b"ID3\x04\x00\x00\x00\x00\x02\x10TSSE",
        b"\xff\xf1\x50\x80\x02\x1f\xfc",
        b"\x00\x00\x00\x20ftypM4A \x00\x00",
        b"\x1a\x45\xdf\xa3\x9fB\x86\x81\x01",
        b"\x30\x26\xb2\x75\x8e\x66\xcf\x11\xa6\xd9",
        b"MAC \x96\x0f\x00\x00",
        b"wvPK\xd8\x5a\x01\x00\x10\x04",
    ],
)
def test_audio_that_only_ffmpeg_decodes_is_recognised_too(head: bytes) -> None:
    make("album/song", content=head)
    assert found("album") == ["album/song"]


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff\xd8\xff\xe0\x00\x10JFIF",
        b"\x89PNG\r\n\x1a\n",
        b"RIFF\x00\x10\x00\x00WEBPVP8 ",
        b"\x00\x00\x00\x18ftypheic\x00\x00",
        b"\x00\x00\x00\x1cftypavif\x00\x00",
        b"%PDF-1.7\n",
        b"PK\x03\x04\x14\x00",
        b"\xff" * 64,
        "Mörike\n".encode("utf-16"),
        b"\xef\xbb\xbftext",
        *(
            f"{word}: first line of a text\n".encode()
            for word in ("ID3", "fLaC", "OggS", ".snd", "caff", "MAC ", "RIFF")
        ),
    ],
)
def test_text_and_pictures_are_not_audio(head: bytes) -> None:
    make("album/file", content=head)
    assert find("album") == Search((), 1)


def test_a_glob_keeps_the_tree_below_its_first_wildcard() -> None:
    make("music/x/1.wav", "music/y/2.wav", "music/y/z/3.wav", "music/y/cover.jpg", "music/y/.4.wav")
    assert find("music/**/*.wav").songs == (
        Found(Path("music/x/1.wav"), Path("x")),
        Found(Path("music/y/2.wav"), Path("y")),
        Found(Path("music/y/z/3.wav"), Path("y/z")),
    )
    assert find("music/y/?.w[ao]v") == Search((Found(Path("music/y/2.wav")),), 0)
    assert find("music/*/*") == Search((*find("music/**/*.wav").songs,), 1)
    assert find("music/**") == find("music/*") == find("music/*/*")
    assert found("mus**/y/.*") == ["music/y/.4.wav"]


def test_a_path_with_wildcards_is_a_name_if_it_exists() -> None:
    make("[live].wav", "l.wav", "Live [1999]/1.wav", "what?.wav")
    assert found("[live].wav", "what?.wav") == ["[live].wav", "what?.wav"]
    assert find("Live [1999]/*.wav").songs == (Found(Path("Live [1999]/1.wav")),)


@pytest.mark.parametrize("glob", ["no*.wav", "no/**/*.wav", "[", "*/../*.wav", "*/" + "x" * 300, "/no*where/*"])
def test_a_glob_without_a_match_is_a_missing_song(glob: str) -> None:
    make("album/a.flac")
    assert find(glob) == Search((Found(Path(glob)),), 0)


def test_a_glob_leaves_out_the_output_folder_unless_it_names_it() -> None:
    make("a.wav", "stems/a/vocals.wav", "stems/a/stemsplit.json")
    assert found("**/*.wav") == ["a.wav"]
    assert found("stems/*/vocals.wav") == ["stems/a/vocals.wav"]


@pytest.mark.parametrize(
    "data",
    [
        b"album\nb.wav\n\n  \nc*.wav\n",
        b"\xef\xbb\xbfalbum\r\nb.wav\r\nc*.wav",
        b"album\0b.wav\0c*.wav\0",
    ],
)
@pytest.mark.parametrize("argument", ["@list.txt", "-"])
def test_a_list_stands_for_its_lines(argument: str, data: bytes) -> None:
    make("album/1/a.wav", "b.wav", "c d.wav")
    make("list.txt", content=data)
    search = find("z.wav", argument, "y.wav", listed=data)
    assert [song.path.as_posix() for song in search.songs] == [
        "z.wav",
        "album/1/a.wav",
        "b.wav",
        "c d.wav",
        "y.wav",
    ]
    assert search.songs[1].below == Path("1")


def test_a_line_of_a_list_is_never_another_list() -> None:
    make("-", "@song.wav", "inner", " spaces .wav ")
    assert found("-", listed=b"-\n@inner\n@song.wav\n spaces .wav ") == ["-", "@inner", "@song.wav", " spaces .wav "]


def test_names_between_nuls_may_have_line_breaks() -> None:
    assert found("-", listed=b"a\nb.wav\r\0c.wav\0") == ["a\nb.wav\r", "c.wav"]


def test_names_need_not_be_valid_text() -> None:
    name = b"caf\xe9.wav"
    assert [os.fsencode(song.path) for song in find("-", listed=name).songs] == [name]


def test_a_song_may_begin_with_an_at_sign() -> None:
    make("@home.wav", content=b"x.wav")
    assert found("@home.wav") == ["@home.wav"]


@pytest.mark.parametrize("name", ["missing.txt", "", "folder"])
def test_a_list_that_cannot_be_read_is_an_error(name: str) -> None:
    Path("folder").mkdir()
    with pytest.raises(AudioError, match=f"cannot read the list {name}"):
        find(f"@{name}")


def test_a_song_given_as_a_list_is_an_error(song: Callable[..., Path]) -> None:
    path = song("a.wav")
    with pytest.raises(AudioError, match="it is audio"):
        find(f"@{path}")
    with pytest.raises(AudioError, match="on stdin"):
        find("-", listed=path.read_bytes())


def test_stdin_is_read_only_if_it_is_named_and_may_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", None)
    assert find_songs([Path("a.wav"), "-"], OUT) == Search((Found(Path("a.wav")),), 0)


def test_many_loops_of_links_take_no_longer() -> None:
    """Each link that leads back up would multiply the paths at every step."""
    make("a/song.wav")
    for link in ("x", "y", "z"):
        Path("a", link).symlink_to(".")
    assert found("a", "a/**/*.wav", "**") == ["a/song.wav"]

"""Stems of earlier runs are not songs, wherever a template puts them; a record hides nothing else."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stemsplit.songs.find import Search, find
from stemsplit.songs.found import Found
from stemsplit.songs.naming import Template
from tests.conftest import unix
from tests.songs.test_record import RECORD, STEM

TEMPLATES = [
    "{track}/{stem}",
    "{track}.{stem}",
    "{stem}/{track}",
    "{stem}",
    "{stem} of {track}",
    "{parent}/{stem}/{track}.{ext}",
    "{artist} - {stem}/{title}/{track}",
    "{stem}/{artist}/{model}/{ext}/{title}/{track}",
    "{stem}/{track}.{stem}",
    "stemsplit {stem}/{track}",
    "x/{stem}{stem}",
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def make(*names: str, size: int = 3) -> None:
    for path in map(Path, names):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))


def write_record(path: str, *files: str, song: str = "a.wav", **earlier: int) -> None:
    stems = {f"stem {number}": {**STEM, "file": file, "size": 3} for number, file in enumerate(files)}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_text(replace(RECORD, song={**RECORD.song, "name": song}, stems=stems, earlier=earlier).text())


def split(song: str, template: str = "{track}.{stem}", below: str = "") -> None:
    """Write what a run would write of a song, beside it."""
    path = Path(song)
    names = Template(template).of_song(
        track=path.stem, model="m", parent=path.parent.name, ext=path.suffix[1:], artist=None, title=None
    )
    record = Path(below, names.record)
    files = [f"{names.path(stem)}.mp3" for stem in ("bass", "no_bass")]
    make(*(f"{below}/{file}" if below else file for file in files))
    write_record(str(record), *(os.path.relpath(file, Path(names.record).parent) for file in files), song=path.name)


def look(*arguments: str, out: str = "nowhere") -> tuple[list[str], int]:
    search = find(arguments, Path(out))
    return [found.path.as_posix() for found in search.songs], search.stems


@pytest.mark.parametrize("template", TEMPLATES)
@pytest.mark.parametrize("way", ["music", ".", "../place/music", "link", "music/album", "moved"])
def test_stems_are_passed_over_and_counted(template: str, way: str) -> None:
    """However the folder is named, by a link, from below, or moved elsewhere; one template in each folder."""
    make("music/album/a.mp3", "music/album/stemsplit demo.mp3")
    for song in ("a.mp3", "stemsplit demo.mp3"):
        split(f"music/album/{song}", template, "music/album")
    if way == "link":
        Path("link").symlink_to("music")
    if way == "moved":
        Path("music").rename("moved")
    songs, stems = look(way)
    assert [Path(song).name for song in songs] == ["a.mp3", "stemsplit demo.mp3"]
    assert stems == (2 if template in ("{stem}", "x/{stem}{stem}") else 4)


def test_records_are_not_counted_as_other_files() -> None:
    make("a.mp3", "cover.jpg")
    for template in ("{track}.{stem}", "{stem}/{track}", "{track}/{stem}"):
        split("a.mp3", template)
    assert find(["."], Path("nowhere")) == Search((Found(Path("a.mp3")),), 1, stems=6)


def test_stems_of_other_runs_in_other_formats_are_known_too() -> None:
    make("a.wav", "a.drums.flac", "a.bass.mp3")
    write_record("a.stemsplit.json", "a.bass.mp3", **{"a.drums.flac": 3})
    assert look(".") == (["a.wav"], 2)


def test_a_folder_of_one_stem_is_known_by_the_records_beside_it() -> None:
    split("a.mp3", "{stem}/{track}")
    assert look("bass") == ([], 1)
    assert look("bass/a.mp3") == (["bass/a.mp3"], 0)


def test_a_stem_that_is_named_is_split_further_and_said() -> None:
    make("a.mp3")
    split("a.mp3")
    search = find(["a.bass.mp3"], Path("nowhere"))
    assert [found.path.name for found in search.songs] == ["a.bass.mp3"]
    assert "a.bass.mp3 is a stem of an earlier run" in search.notes[0]
    assert look(".", "a.bass.mp3") == (["a.mp3", "a.bass.mp3"], 1)


def test_a_stem_that_is_named_with_its_song_is_passed_over_and_said() -> None:
    """As a shell names them for `*.mp3`."""
    make("a.mp3", "b.mp3")
    split("a.mp3")
    search = find(["a.bass.mp3", "a.mp3", "a.no_bass.mp3", "b.mp3"], Path("nowhere"))
    assert ([found.path.name for found in search.songs], search.stems) == (["a.mp3", "b.mp3"], 2)
    (note,) = search.notes
    assert note.startswith("2 stems of earlier runs named together with their songs")
    assert look("a.bass.mp3", "b.mp3") == (["a.bass.mp3", "b.mp3"], 0)


def test_a_glob_gives_stems_only_if_it_names_them() -> None:
    make("a.mp3", "bass/song.mp3")
    split("a.mp3")
    split("a.mp3", "{stem}/{track}")
    assert look("*.mp3") == (["a.mp3"], 2)
    assert look("**/*.mp3") == (["a.mp3", "bass/song.mp3"], 4)
    assert look("*.bass.mp3") == (["a.bass.mp3"], 0)
    assert look("bass/*.mp3") == (["bass/a.mp3", "bass/song.mp3"], 0)
    assert look("*/a.mp3") == (["bass/a.mp3", "no_bass/a.mp3"], 0)


def test_a_stem_that_was_changed_is_still_none_and_said() -> None:
    make("a.mp3")
    split("a.mp3")
    make("a.bass.mp3", size=9)
    search = find(["."], Path("nowhere"))
    assert ([found.path.name for found in search.songs], search.stems) == (["a.mp3"], 2)
    (note,) = search.notes
    assert "a.bass.mp3" in note
    assert "no_bass" not in note


def test_songs_beside_stems_are_songs() -> None:
    """Only what a record names is passed over, also in the folder of `stemsplit.json`."""
    make("album/b.mp3", "album/bass.b.mp3")
    split("album/b.mp3", "{stem}", "album")
    assert look("album") == (["album/b.mp3", "album/bass.b.mp3"], 2)


@pytest.mark.parametrize(
    ("record", "file"),
    [
        ("planted/stemsplit.json", "../album/a.mp3"),
        ("planted/a.stemsplit.json", "../album/a.mp3"),
        ("planted/x.stemsplit.json", "../album/x.mp3"),
        ("stemsplit/b.json", "../album/a.mp3"),
        ("album/b.stemsplit.json", "a.mp3"),
        ("album/stemsplit/a.json", "../a.mp3"),
        ("album/stemsplit/a.json", "../../album/a.mp3"),
        ("x/stemsplit.json", "../../place/album/a.mp3"),
        ("album/a.json", "a.mp3"),
        ("album/stemsplit.json", "../album/a.mp3"),
        ("album/b.stemsplit.json", "/a.mp3"),
        ("album/b.stemsplit.json", "./a.mp3"),
        ("album/b.stemsplit.json", "b.x/../a.mp3"),
    ],
)
def test_a_planted_record_hides_no_song_that_is_not_named_like_its_stems(record: str, file: str) -> None:
    make("album/a.mp3", "album/x.mp3")
    write_record(record, file)
    assert look("album", ".") == (["album/a.mp3", "album/x.mp3"], 0)


def test_a_name_made_of_many_stemsplits_takes_no_time() -> None:
    """A pattern with that many gaps would be tried for ever."""
    name = "stemsplit" * 20
    make(f"{'a' * 200}.mp3", "a.mp3")
    write_record(f"{name}x.json", f"{'a' * 200}.mp3")
    assert look(".")[1] == 0


@unix
def test_a_record_that_is_a_link_names_nothing() -> None:
    make("a.mp3", "a.bass.mp3")
    write_record("elsewhere/a.stemsplit.json", "a.bass.mp3")
    Path("a.stemsplit.json").symlink_to("elsewhere/a.stemsplit.json")
    assert look(".")[0] == ["a.bass.mp3", "a.mp3"]


@unix
def test_a_record_hides_nothing_by_a_link() -> None:
    """A link in a stem's place leads to a song elsewhere, which stays one."""
    make("music/a.mp3", "songs/b.mp3")
    write_record("music/a.stemsplit.json", "a.bass.mp3")
    Path("music/a.bass.mp3").symlink_to("../songs/b.mp3")
    assert look("music") == (["music/a.bass.mp3", "music/a.mp3"], 0)


@pytest.mark.parametrize("content", [b"", b"[]", b'{"stemsplit_record": 99}', b"\xff" * 9])
def test_audio_beside_a_record_that_cannot_be_read_is_passed_over_and_said(content: bytes) -> None:
    make("a.mp3", "a/bass.mp3", "a/more/song.mp3")
    Path("a/stemsplit.json").write_bytes(content)
    search = find(["."], Path("nowhere"))
    assert ([found.path.as_posix() for found in search.songs], search.stems) == (["a/more/song.mp3", "a.mp3"], 1)
    assert "stemsplit.json cannot be read" in search.notes[0]


def test_clips_of_a_comparison_are_passed_over() -> None:
    make("a.mp3", "compare/a/vocals-1.wav", "compare/a/mine.wav")
    content = {"files": ["vocals-1.wav", "../../a.mp3", "/a.mp3", 5]}
    Path("compare/a/comparison.json").write_text(json.dumps(content))
    assert look(".") == (["a.mp3", "compare/a/mine.wav"], 1)


def test_the_output_folder_is_counted_and_what_is_not_ours_in_it_is_said() -> None:
    make("a.mp3", "stems/live.mp3")
    split("a.mp3", "{track}/{stem}", "stems")
    search = find(["."], Path("stems"))
    assert ([found.path.name for found in search.songs], search.stems) == (["a.mp3"], 2)
    assert "stems/live.mp3" in search.notes[0]
    named = find([".", "stems/live.mp3", "stems/a/bass.mp3"], Path("stems"))
    assert ([found.path.name for found in named.songs], named.stems) == (["a.mp3", "live.mp3", "bass.mp3"], 1)
    assert look("stems", ".", out="stems") == (["stems/live.mp3", "a.mp3"], 2)


def test_each_record_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    from stemsplit.songs import record

    read: list[Path] = []
    original: Callable[[Path], record.Record | None] = record.read

    def counted(path: Path) -> record.Record | None:
        read.append(path)
        return original(path)

    monkeypatch.setattr(record, "read", counted)
    for number in range(20):
        make(f"{number}.mp3")
        split(f"{number}.mp3")
        split(f"{number}.mp3", "{stem}/{track}")
    songs, stems = look(".", "bass", "*.mp3")
    assert (len(songs), stems) == (20, 80)
    assert len(read) == len(set(read)) == 40


def multitrack(folder: str, *names: str) -> None:
    make(*(f"{folder}/{name}.wav" for name in names))


def test_of_a_multitrack_only_the_mixture_is_a_song() -> None:
    multitrack("set/one", "vocals", "drums", "bass", "other", "mixture")
    multitrack("set/two", "Vocals", "Mixture", "bonus")
    search = find(["set"], Path("nowhere"))
    assert [found.path.as_posix() for found in search.songs] == [
        "set/one/mixture.wav",
        "set/two/bonus.wav",
        "set/two/Mixture.wav",
    ]
    assert (search.true_stems, search.passed_over) == (5, 0)
    assert "set/one, set/two hold multitracks" in search.notes[0]
    assert [found.path.name for found in find(["set/one/*.wav"], Path("x")).songs] == ["mixture.wav"]
    assert [found.path.name for found in find(["set/one/bass.wav"], Path("x")).songs] == ["bass.wav"]


def test_a_sum_of_stems_is_a_true_stem_and_another_name_with_a_plus_is_not() -> None:
    multitrack("set", "vocals", "drums", "bass+other", "mixture", "vocals+fx", "bass+")
    search = find(["set"], Path("nowhere"))
    assert {found.path.stem for found in search.songs} == {"mixture", "vocals+fx", "bass+"}
    assert search.true_stems == 3


def test_true_stems_without_a_mixture_are_songs_and_said() -> None:
    multitrack("one", "vocals", "drums")
    multitrack("two", "vocals", "drums", "a song of another name")
    search = find(["one", "two"], Path("nowhere"))
    assert (len(search.songs), search.true_stems) == (5, 0)
    (note,) = search.notes
    assert note.startswith("one: stems such as vocals and drums, but no mixture")

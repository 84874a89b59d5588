"""What is found below a folder, and what of it is played: only files that records name, as the records say."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from stemsplit.disk.digest import sha256
from stemsplit.errors import AudioError
from stemsplit.listening.arguments import gathered
from stemsplit.listening.mixtures import Mixtures
from stemsplit.listening.piece import Piece, Role
from stemsplit.listening.pieces import opened
from stemsplit.listening.shelf import Item, Kind, Shelf, found_below
from tests.conftest import noise, unix
from tests.listening.making import RATE, changed, comparison, facts, split_song, write


@pytest.fixture(autouse=True)
def working(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def only(root: Path, mixtures: Mixtures | None = None) -> Piece:
    """The one piece below a folder."""
    (item,) = found_below(str(root))
    return opened(item, mixtures or Mixtures())


def names(piece: Piece) -> list[tuple[str, Role]]:
    return [(track.name, track.role) for track in piece.tracks]


def test_a_song_plays_with_its_stems(tmp_path: Path) -> None:
    split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    piece = only(tmp_path / "stems")
    assert (piece.title, piece.kind, piece.sample_rate, piece.frames) == ("a", "song", RATE, 5_000)
    assert names(piece) == [("a.flac", Role.song), ("drums", Role.stem), ("vocals", Role.stem)]
    assert piece.adds_up
    assert not piece.no_song
    assert not piece.notes


@pytest.mark.parametrize(
    ("record", "title"),
    [
        ("album/b/stemsplit.json", "album/b"),
        ("b - stemsplit.json", "b"),
        ("stemsplit/b.json", "b"),
        ("stemsplit.json", "root"),
    ],
)
def test_records_of_other_names_are_found_too(tmp_path: Path, record: str, title: str) -> None:
    """As with `--name "{track} - {stem}"` and `--name "{stem}/{track}"`."""
    path = split_song(tmp_path / "made", tmp_path / "b.flac")
    place = tmp_path / "root" / record
    place.parent.mkdir(parents=True)
    path.rename(place)
    (tmp_path / "root/package.json").write_text("{}")
    assert [item.title for item in found_below(str(tmp_path / "root"))] == [title]


def test_a_search_is_blind_to_case_and_wants_every_word() -> None:
    shelf = Shelf([Item(title, Kind.song, "", "") for title in ("Blue Sky", "Blue Sea", "Äther")])
    assert shelf.page("sky BLUE", 0, 9) == (1, [0])
    assert shelf.page("äTHER", 0, 9) == (1, [2])
    assert shelf.page("", 1, 1) == (3, [1])


def test_the_song_is_looked_for_by_its_content_in_likely_places(tmp_path: Path) -> None:
    """`stemsplit album -o stems` reads songs from a folder beside that of the stems."""
    split_song(tmp_path / "stems/cd/a", tmp_path / "album/cd/a.flac")
    assert only(tmp_path / "stems").tracks[0].role == Role.song
    write(tmp_path / "album/cd/a.flac", noise(5_000, seed=7))
    piece = only(tmp_path / "stems")
    assert piece.tracks[0].role == Role.stem
    assert "--songs" in piece.no_song


def test_the_song_is_found_anywhere_below_the_folder_of_songs(tmp_path: Path) -> None:
    split_song(tmp_path / "stems/a", tmp_path / "far/x/y/z/a.flac")
    assert only(tmp_path / "stems").no_song
    assert not only(tmp_path / "stems", Mixtures(folder=tmp_path / "far")).no_song


def test_of_a_song_that_was_split_in_part_that_part_plays(tmp_path: Path) -> None:
    record = split_song(tmp_path / "stems/a", tmp_path / "a.wav")
    whole = write(tmp_path / "a.wav", noise(44_100))
    about = json.loads(record.read_text())["song"]
    about |= {"size": whole.stat().st_size, "sha256": sha256(whole)}
    changed(record, song=about, options={"start": 0.25, "duration": 5_000 / RATE})
    piece = only(tmp_path / "stems")
    assert (piece.tracks[0].role, piece.tracks[0].start) == (Role.song, 0.25)
    changed(record, options={"start": -1.0, "duration": None})
    assert only(tmp_path / "stems").no_song


def test_a_stem_that_is_not_as_recorded_is_left_out_and_told(tmp_path: Path) -> None:
    record = split_song(tmp_path / "stems/a", tmp_path / "a.flac", ["drums", "vocals", "bass", "other"])
    folder = record.parent
    (folder / "drums.wav").unlink()
    (folder / "vocals.wav").write_bytes(b"other")
    stems = json.loads(record.read_text())["stems"]
    stems["bass"]["size"] = write(folder / "bass.wav", noise(5_000), 48_000).stat().st_size
    stems["other"]["size"] = write(folder / "other.wav", noise(4_000)).stat().st_size
    changed(record, stems=stems)
    piece = only(tmp_path / "stems")
    assert names(piece) == [("a.flac", Role.song)]
    assert not piece.adds_up
    assert [note.split(":")[0] for note in piece.notes] == [
        f"{name} is left out" for name in ("drums", "vocals", "bass", "other")
    ]


@unix
@pytest.mark.parametrize(
    "planted", ["../../secret.wav", "link.wav", "linked/secret.wav", "fifo", "b/../../../secret.wav"]
)
def test_files_elsewhere_are_not_played(tmp_path: Path, planted: str) -> None:
    """A record is a stranger's: neither `..` nor a link leads out of the folder that was named."""
    record = split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    secret = write(tmp_path / "secret.wav", noise(5_000))
    (record.parent / "link.wav").symlink_to(secret)
    (record.parent / "linked").symlink_to(tmp_path)
    os.mkfifo(record.parent / "fifo")
    stems = json.loads(record.read_text())["stems"]
    changed(record, stems={**stems, "drums": facts(secret, planted, [0.0, 1.0, 0.0])})
    try:
        piece = only(tmp_path / "stems")
    except AudioError:
        return  # not a record at all
    assert secret not in [track.path for track in piece.tracks]
    assert ("drums", Role.stem) not in names(piece)
    assert piece.notes


@unix
def test_links_to_folders_and_records_are_not_followed(tmp_path: Path) -> None:
    record = split_song(tmp_path / "elsewhere/a", tmp_path / "a.flac")
    root = tmp_path / "root"
    (root / "b").mkdir(parents=True)
    (root / "linked").symlink_to(tmp_path / "elsewhere")
    (root / "b/stemsplit.json").symlink_to(record)
    assert found_below(str(root)) == []


@unix
@pytest.mark.parametrize("name", ["../secret.wav", "/etc/passwd", "secret.wav\0", ""])
def test_a_record_cannot_name_a_song_elsewhere(tmp_path: Path, name: str) -> None:
    record = split_song(tmp_path / "stems/a", tmp_path / "secret.wav")
    changed(record, song={**json.loads(record.read_text())["song"], "name": name})
    assert only(tmp_path / "stems").no_song


@pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b'{"stemsplit_record": 1}', b"x" * 17_000_000])
def test_damaged_and_huge_records_are_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "stemsplit.json").write_bytes(content)
    with pytest.raises(AudioError, match=r"stemsplit\.json"):
        only(tmp_path)


@pytest.mark.parametrize("figures", [{"frames": 2**60}, {"sample_rate": 7}, {"channels": 100_000}, {"frames": 0}])
def test_figures_that_no_song_has_are_refused(tmp_path: Path, figures: dict[str, int]) -> None:
    record = split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    changed(record, figures={**json.loads(record.read_text())["figures"], **figures})
    with pytest.raises(AudioError, match=r"stemsplit\.json"):
        only(tmp_path / "stems")


def test_a_record_of_very_many_stems_opens_few_files(tmp_path: Path) -> None:
    record = split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    stem = json.loads(record.read_text())["stems"]["drums"]
    changed(record, stems={f"s{number}": stem for number in range(3_000)})
    piece = only(tmp_path / "stems")
    assert len(piece.tracks) <= 101
    assert "3000" in piece.notes[-1]


def test_a_sum_is_heard_alone_and_several_tracks_may_be_in_one_file(tmp_path: Path) -> None:
    """As in a .stem.mp4, whose first track is the song."""
    record = split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    stems = json.loads(record.read_text())["stems"]
    karaoke = facts(write(record.parent / "k.wav", noise(5_000)), "k.wav", [1.0, 0.0, -1.0])
    changed(record, stems={**stems, "karaoke": karaoke})
    assert names(only(tmp_path / "stems"))[-1] == ("karaoke", Role.sum)


def test_the_clips_of_a_comparison_play_with_their_models(tmp_path: Path) -> None:
    comparison(tmp_path / "compare/a")
    piece = only(tmp_path / "compare")
    assert (piece.kind, piece.title, piece.start, piece.frames) == ("comparison", "a", 60.0, 5_000)
    assert names(piece) == [
        ("a.flac", Role.song),
        ("one", Role.candidate),
        ("two", Role.candidate),
        ("reference", Role.reference),
    ]
    assert {track.stem for track in piece.tracks[1:]} == {"vocals"}
    assert piece.tracks[1].gain == -1.5


def test_a_clip_that_is_missing_or_not_listed_is_left_out(tmp_path: Path) -> None:
    record = comparison(tmp_path / "compare/a", ["one", "two", "three"])
    (record.parent / "vocals - one.wav").unlink()
    changed(record, files=[name for name in json.loads(record.read_text())["files"] if "two" not in name])
    piece = only(tmp_path / "compare")
    assert [track.name for track in piece.tracks] == ["a.flac", "three", "reference"]
    assert len(piece.notes) == 2


@pytest.mark.parametrize("part", ["files", "mixture", "stems", "duration"])
def test_a_damaged_comparison_is_one_line(tmp_path: Path, part: str) -> None:
    record = comparison(tmp_path / "compare/a")
    changed(record, **{part: [[]]})
    with pytest.raises(AudioError, match=r"comparison\.json"):
        only(tmp_path / "compare")


def test_a_song_that_was_named_brings_its_stems_or_plays_alone(tmp_path: Path) -> None:
    split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    write(tmp_path / "b.flac", noise(3_000))
    found = gathered([], [tmp_path / "a.flac", tmp_path / "b.flac"])
    first, second = (opened(item, found.mixtures) for item in found.shelf.items)
    assert [track.name for track in first.tracks] == ["a.flac", "drums", "vocals"]
    assert ([track.name for track in second.tracks], second.frames) == (["b.flac"], 3_000)
    assert len(found.notes) == 1


def test_a_song_brings_no_stems_of_another_of_its_name(tmp_path: Path) -> None:
    split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    other = write(tmp_path / "other/a.flac", noise(300))
    assert [item.is_alone for item in gathered([], [other]).shelf.items] == [True]


def test_a_folder_without_records_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "album/a.flac", noise(300))
    with pytest.raises(AudioError, match="split"):
        gathered([tmp_path / "album"], [])


def test_songs_of_another_rate_than_their_stems_play_in_step(tmp_path: Path) -> None:
    """As with Opus, which has 48 kHz whatever the song has."""
    record = split_song(tmp_path / "stems/a", tmp_path / "a.flac", frames=4_800, rate=48_000)
    song = write(tmp_path / "a.flac", np.zeros((4_410, 1), np.float32), 44_100)
    changed(record, song={"name": "a.flac", "size": song.stat().st_size, "sha256": sha256(song)})
    piece = only(tmp_path / "stems")
    assert (piece.tracks[0].role, piece.tracks[0].channels) == (Role.song, 2)
    assert soundfile.info(str(piece.tracks[0].path)).channels == 1


def test_what_cannot_be_played_is_said_at_the_start(tmp_path: Path) -> None:
    record = split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    (tmp_path / "text.flac").write_text("not audio")
    assert [note for note in gathered([], [tmp_path / "a.flac", tmp_path / "text.flac"]).notes if "text.flac" in note]
    with pytest.raises(AudioError, match=r"text\.flac"):
        gathered([], [tmp_path / "text.flac"])
    record.write_text("{}")
    with pytest.raises(AudioError, match=r"stemsplit\.json"):
        gathered([tmp_path / "stems"], [])


@unix
def test_a_folder_may_be_named_in_any_way(tmp_path: Path) -> None:
    split_song(tmp_path / "stems/a", tmp_path / "a.flac")
    (tmp_path / "deep").mkdir()
    (tmp_path / "linked").symlink_to(tmp_path / "stems")
    for root in ("stems", "stems/a", ".", "deep/../stems", "linked", "linked/a", str(tmp_path / "stems")):
        assert len(only(Path(root)).tracks) == 3

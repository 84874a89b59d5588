"""The collections that the built-in model is trained on."""

from pathlib import Path

import pytest

from stemsplit.evaluation.multitracks import multitracks
from stemsplit.training.starter import material
from tests.training.conftest import put, tone

SONGS = {
    "musdb18-7s/band-a": ("bass", "drums", "other", "vocals"),
    "musdb18-7s/group-b": ("bass", "drums", "other", "vocals"),
    "everything-is-free/1-hydrogen-1": ("bass", "drums", "other", "vocals"),
    "everything-is-free/3-sodium-1": ("bass", "drums", "other", "vocals"),
    "everything-is-free/3-sodium-2": ("bass", "drums", "other", "vocals"),
    "songs/eif-sodium-5": ("bass", "drums", "other"),
    "songs/eif-caesium-4": ("drums", "other", "vocals"),
    "songs/cmt-band-1": ("drums", "other", "vocals"),
    "songs/mdn-multitrack-1": ("bass", "drums", "other"),
    "songs/trackswitch-demo-1": ("bass", "drums", "other"),
    "songs/lmms-somebody-song-1": ("bass", "drums", "other"),
    "songs/lmms-somebody-tune-1": ("bass", "drums", "other"),
}


@pytest.fixture
def audio(tmp_path: Path) -> Path:
    """All folders, each with a song or a recording."""
    root = tmp_path / "audio"
    for name, stems in SONGS.items():
        put(root / name, **dict.fromkeys(stems, tone(300, 400)))
    for place in [place for places in material.COLLECTIONS.values() for place in places]:
        if place.stem:
            put(root / place.folder / "deeper", one=tone(300, 400))
    return root


def stems(lists: Path, name: str) -> dict[str, list[str]]:
    return {song.name: list(song.stems) for song in multitracks(lists / f"{name}.csv")}


def test_every_collection_gets_a_list(audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lists = tmp_path / "lists"
    assert material.main([str(audio), "-o", str(lists)]) == 0
    assert capsys.readouterr().out.split() == [str(lists / f"{name}.csv") for name in material.COLLECTIONS]
    names = [song for name in material.COLLECTIONS for song in stems(lists, name)]
    assert len({*names}) == len(names) == len(SONGS) + 7
    assert stems(lists, "guitars") == {"guitar-fof/deeper/one": ["other"]}
    assert stems(lists, "bands")["songs/cmt-band-1"] == ["drums", "other", "vocals"]


def test_bass_and_other_are_one_where_nobody_recorded_them_apart(audio: Path) -> None:
    found = {song.name.rpartition("/")[2]: {*song.stems} for song in material.collection("free", audio)}
    assert found == {
        "1-hydrogen-1": {"bass+other", "drums", "vocals"},
        "3-sodium-1": {"bass", "drums", "other", "vocals"},
        "3-sodium-2": {"drums", "other", "vocals"},
        "eif-sodium-5": {"bass", "drums", "other"},
        "eif-caesium-4": {"bass+other", "drums", "vocals"},
    }


def test_a_folder_that_is_missing_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    put(tmp_path / "musdb18-7s" / "a", vocals=tone(200))
    assert material.main([str(tmp_path), "-o", str(tmp_path / "lists")]) == 1
    assert "everything-is-free" in capsys.readouterr().err


def test_a_fold_is_left_out_of_the_lists(audio: Path, tmp_path: Path) -> None:
    whole = {song.name for name in material.COLLECTIONS for song in material.collection(name, audio)}
    for index in (1, 2):
        lists = tmp_path / str(index)
        assert material.main([str(audio), "-o", str(lists), "--fold", f"{index}/2"]) == 0
        apart = {*stems(lists, "fold")}
        kept = {song for name in material.COLLECTIONS for song in stems(lists, name)}
        assert apart
        assert not apart & kept
        assert apart | kept == whole


def test_recordings_of_one_name_are_refused(audio: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A list with two of them could not be read."""
    put(audio / "voice" / "deeper", suffix="flac", one=tone(300, 400))
    assert material.main([str(audio), "-o", str(tmp_path / "lists")]) == 1
    assert "one.flac and one.wav have one name; keep one of them" in capsys.readouterr().err

"""Folds of the songs that the built-in model is trained on, and what is measured on them."""

from pathlib import Path

import pytest

from stemsplit.evaluation.multitracks import Multitrack
from stemsplit.training.starter import material, scores
from stemsplit.training.starter.folds import Fold, divided, folds_of, origin
from stemsplit.training.starter.material import WITH_SONGS, collection
from stemsplit.training.starter.scores import Score
from tests.training.conftest import put, tone
from tests.training.starter.test_material import audio as audio

RELATED = [
    ("everything-is-free/3-sodium-1", "everything-is-free/3-sodium-3", "songs/eif-sodium-5", "songs/eif-sodium-6"),
    ("songs/lmms-thomasso-axefromthe80s-1", "songs/lmms-thomasso-axefromthe80s-2"),
    ("musdb18-7s/dark-ride-burning-bridges", "songs/cmt-darkride-burningbridges-1"),
    ("musdb18-7s/actions-devil-s-words", "songs/cmt-actions-southofthewater-1"),
    ("musdb18-7s/music-delta-80s-rock", "musdb18-7s/music-delta-disco", "drums-mdb/MusicDelta_80sRock_Drum"),
    ("musdb18-7s/leaf-wicked", "musdb18-7s/leaf-come-around"),
    ("everything-is-free/1-hydrogen-1",),
    ("songs/lmms-esoxlb-cpu-1",),
    ("musdb18-7s/flags-54",),
]


def test_what_comes_from_one_song_or_artist_has_one_origin() -> None:
    origins = [{origin(name) for name in names} for names in RELATED]
    assert all(len(found) == 1 for found in origins)
    assert len(set().union(*origins)) == len(RELATED)


@pytest.mark.parametrize("count", [2, 3, 5])
def test_every_song_is_in_one_fold_and_folds_are_alike(count: int) -> None:
    first = [f"musdb18-7s/{letter}-song" for letter in "abcdefghijklmnopqrst"] + ["musdb18-7s/leaf-one", "x/leaf-two"]
    second = [f"songs/eif-{letter}-{number}" for letter in "uvwxyz" for number in (1, 2)] + ["songs/cmt-leaf-1"]
    places = folds_of([first, second], count)
    for names in (first, second):
        sizes = [sum(places[origin(name)] == fold for name in names) for fold in range(1, count + 1)]
        assert max(sizes) - min(sizes) <= 3
    assert folds_of([first[::-1], second[::-1]], count) == places


def test_a_fold_and_the_rest_have_nothing_in_common() -> None:
    def songs(*names: str) -> list[Multitrack]:
        return [Multitrack(name, {}) for name in names]

    given = {
        "musdb": songs("musdb18-7s/music-delta-80s-rock", "musdb18-7s/leaf-wicked", "musdb18-7s/leaf-come-around"),
        "free": songs("everything-is-free/3-sodium-1", "songs/eif-sodium-5", "songs/eif-caesium-4"),
        "drummers": songs("drums-mdb/MusicDelta_80sRock_Drum", "drums-mdb/somebody"),
    }
    seen: list[str] = []
    for index in (1, 2):
        kept, apart = divided(given, ("musdb", "free"), Fold(index, 2))
        names = [song.name for group in apart.values() for song in group]
        seen += names
        assert not {*map(origin, names)} & {origin(song.name) for group in kept.values() for song in group}
        assert kept["drummers"]
    assert sorted(seen) == sorted(song.name for name in ("musdb", "free") for song in given[name])


@pytest.mark.parametrize("text", ["0/5", "6/5", "1/1", "2", "a/b", "-1/5", "1/2/3"])
def test_what_is_no_fold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="fold"):
        Fold.parsed(text)


def test_a_command_says_what_a_fold_looks_like(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        material.main([str(tmp_path), "-o", str(tmp_path), "--fold", "6/5"])
    assert "there is no fold 6/5; write 1/5 for the first of five" in capsys.readouterr().err


def test_models_are_measured_on_what_is_separate(
    audio: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """By a model that gives every stem a share of the mixture."""

    class Shares:
        stems = ("drums", "bass", "other", "vocals")

        def __init__(self, model: str) -> None:
            assert model == "my.safetensors"
            from tests.training.test_data import FOUR

            self.entry = FOUR

        def separate(self, mixture, sample_rate):  # type: ignore[no-untyped-def]
            assert sample_rate == self.entry.sample_rate
            return dict.fromkeys(self.stems, mixture / 5)

    monkeypatch.setattr(scores, "Separator", Shares)
    out = [tmp_path / f"{index}.csv" for index in (1, 2, 3)]
    for index in (1, 2):
        assert scores.main([str(audio), f"{index}/2=my.safetensors", "-o", str(out[index - 1])]) == 0
    capsys.readouterr()
    assert scores.main([str(audio), *map(str, out[:2]), "-o", str(out[2])]) == 0
    printed = capsys.readouterr().out
    assert scores.read(out[2]) == [*scores.read(out[0]), *scores.read(out[1])]
    found = {(score.song, score.stem) for score in scores.read(out[2])}
    wanted = {
        (song.name, stem)
        for name in WITH_SONGS
        for song in collection(name, audio)
        for stem in song.stems
        if stem != "bass+other"
    }
    assert found == wanted
    assert "| mean of the folds |" in printed
    assert "±" in printed


def test_the_table_has_a_line_for_each_fold_and_collection_and_the_spread() -> None:
    rows = [("1/2", "a", "x", 1.0), ("1/2", "b", "y", 3.0), ("2/2", "a", "z", 6.0)]
    lines = scores.table([Score(fold, group, song, "drums", value) for fold, group, song, value in rows]).splitlines()
    assert lines == [
        "| SDR in dB | songs | drums | mean |",
        "|---|---|---|---|",
        "| fold 1/2 | 2 | 2.00 | 2.00 |",
        "| fold 2/2 | 1 | 6.00 | 6.00 |",
        "| a | 2 | 3.50 | 3.50 |",
        "| b | 1 | 3.00 | 3.00 |",
        "| mean of the folds | 3 | 4.00 ± 2.83 | 4.00 ± 2.83 |",
    ]


@pytest.mark.parametrize("text", ["", "fold,collection\n1/2,a\n", "fold,collection,song,stem,sdr\n1/2,a,b,c,loud\n"])
def test_what_holds_no_scores_is_refused(tmp_path: Path, text: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.csv").write_text(text)
    put(tmp_path / "audio", one=tone(100, 10))
    assert scores.main([str(tmp_path / "audio"), str(tmp_path / "a.csv")]) == 1
    assert "cannot read the scores in" in capsys.readouterr().err


def test_no_scores_at_all_are_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scores.write(tmp_path / "a.csv", [])
    assert scores.main([str(tmp_path), str(tmp_path / "a.csv")]) == 1
    assert "there are no scores" in capsys.readouterr().err

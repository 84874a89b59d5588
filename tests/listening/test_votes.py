"""Votes of blind comparisons: kept beside the comparison, and through a new one."""

import json
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from stemsplit.audio import WAV, Song
from stemsplit.comparison import clip_files
from stemsplit.comparison.clips import Clip
from stemsplit.errors import AudioError
from stemsplit.listening import votes
from stemsplit.listening.mixtures import Mixtures
from stemsplit.listening.piece import Piece
from stemsplit.listening.pieces import opened
from stemsplit.listening.shelf import found_below
from tests.conftest import noise, unix
from tests.listening.making import RATE, changed, comparison

VOTE = {"stem": "vocals", "candidates": [1, 2], "choice": 2, "seconds": 3.5}


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return comparison(tmp_path / "compare/a")


def piece(record: Path) -> Piece:
    (item,) = found_below(str(record.parent))
    return opened(item, Mixtures())


def test_votes_are_kept_with_what_was_compared(record: Path) -> None:
    votes.save(piece(record), VOTE)
    votes.save(piece(record), {**VOTE, "candidates": [3, 1], "choice": None})
    first, second = votes.of_piece(piece(record))
    assert first["candidates"] == ["vocals - one.wav", "vocals - two.wav"]
    assert (first["models"], first["choice"], first["seconds"]) == (["one", "two"], "vocals - two.wav", 3.5)
    assert (second["models"], second["choice"]) == (["reference", "one"], None)


@pytest.mark.parametrize(
    "wrong",
    [
        {"stem": "drums"},
        {"stem": []},
        {"candidates": [1]},
        {"candidates": [1, 1]},
        {"candidates": [0, 1]},
        {"candidates": [1, 99]},
        {"candidates": [-1, 1]},
        {"candidates": [True, 2]},
        {"candidates": "12"},
        {"choice": 3},
        {"choice": "2"},
        {"seconds": float("nan")},
        {"seconds": -1},
        {"more": 1},
    ],
)
def test_what_is_not_a_vote_is_refused(record: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(votes.VoteError):
        votes.save(piece(record), {**VOTE, **wrong})
    assert not (record.parent / "votes.json").exists()


@unix
@pytest.mark.parametrize("planted", ["file", "link", "damaged"])
def test_what_others_put_in_their_place_is_never_written_over(record: Path, tmp_path: Path, planted: str) -> None:
    path, target = record.parent / "votes.json", tmp_path / "target"
    content = '{"stemsplit_votes": 1, "votes": [3]}' if planted == "damaged" else '{"polls": []}'
    target.write_text(content)
    path.symlink_to(target) if planted == "link" else path.write_text(content)
    with pytest.raises(AudioError, match=r"votes\.json"):
        votes.save(piece(record), VOTE)
    assert target.read_text() == path.read_text() == content


def test_a_new_comparison_in_the_same_folder_keeps_votes_on_the_old(record: Path) -> None:
    votes.save(piece(record), VOTE)
    figures, samples = json.loads(record.read_text()), noise(5_000).T
    clips = [Clip(record.parent / name, samples, -20.0, 0.5) for name in figures.pop("files")]
    clip_files.write(record.parent, clips, Song(record, RATE, 2, 5_000), WAV, {**figures, "start": 61.0}, force=True)
    assert len(votes.read(piece(record))) == 1
    assert votes.of_piece(piece(record)) == []
    votes.save(piece(record), VOTE)
    assert len(json.loads((record.parent / "votes.json").read_text())["votes"]) == 2


def test_a_comparison_does_not_replace_votes_that_are_not_stemsplits(record: Path) -> None:
    (record.parent / "votes.json").write_text("[]")
    with pytest.raises(AudioError, match="not a clip"):
        clip_files.check(record.parent, force=True)


def test_a_record_cannot_claim_votes_as_its_clips(record: Path) -> None:
    """All that a record lists is removed with it."""
    votes.save(piece(record), VOTE)
    with clip_files.Folder(record.parent) as folder:
        changed(record, files=["votes.json"])
        assert "votes.json" not in clip_files._recorded(folder)


def test_the_file_of_votes_is_as_its_schema_says(record: Path) -> None:
    votes.save(piece(record), VOTE)
    votes.save(piece(record), {**VOTE, "choice": None})
    content = json.loads((record.parent / "votes.json").read_text())
    schema = json.loads((resources.files("stemsplit.docs") / "schemas" / "votes.schema.json").read_text())
    Draft202012Validator(schema).validate(content)
    assert content["votes"][0].keys() == schema["properties"]["votes"]["items"]["properties"].keys()

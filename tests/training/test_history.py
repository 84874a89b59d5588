"""The CSV of a run."""

import csv
import math
from pathlib import Path

import pytest

from stemsplit.errors import StemsplitError
from stemsplit.training.history import History
from stemsplit.training.progress import Progress

STEMS = ("low", "high")


def at(step: int, low: float = 1.5) -> Progress:
    return Progress(step, 0.25, 5e-4, 12.34, {"low": low, "high": 2.5})


def read(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_each_report_is_a_line(tmp_path: Path) -> None:
    history = History(tmp_path / "a.csv", STEMS, 0)
    history.add(at(10))
    history.add(at(20, low=-0.5))
    lines = (tmp_path / "a.csv").read_text().splitlines()
    assert lines == [
        "step,loss,learning_rate,seconds,low,high,mean",
        "10,0.250000,0.0005,12.3,1.5000,2.5000,2.0000",
        "20,0.250000,0.0005,12.3,-0.5000,2.5000,1.0000",
    ]


def test_without_validation_there_are_no_scores(tmp_path: Path) -> None:
    History(tmp_path / "a.csv", (), 0).add(Progress(10, 0.25, 5e-4, 1.0))
    assert read(tmp_path / "a.csv") == [{"step": "10", "loss": "0.250000", "learning_rate": "0.0005", "seconds": "1.0"}]


def test_a_run_that_goes_on_keeps_the_lines_up_to_there(tmp_path: Path) -> None:
    """One that was killed after a line was written, but before its checkpoint was, makes that line again."""
    history = History(tmp_path / "a.csv", STEMS, 0)
    for step in (10, 20, 30):
        history.add(at(step))
    History(tmp_path / "a.csv", STEMS, 20).add(at(30, low=9.0))
    assert [(row["step"], row["low"]) for row in read(tmp_path / "a.csv")] == [
        ("10", "1.5000"),
        ("20", "1.5000"),
        ("30", "9.0000"),
    ]


def test_songs_to_measure_on_may_be_added_later(tmp_path: Path) -> None:
    History(tmp_path / "a.csv", (), 0).add(Progress(10, 0.25, 5e-4, 1.0))
    History(tmp_path / "a.csv", STEMS, 10).add(at(20))
    first, second = read(tmp_path / "a.csv")
    assert (first["loss"], first["low"], second["low"]) == ("0.250000", "", "1.5000")


def test_a_new_run_begins_anew(tmp_path: Path) -> None:
    History(tmp_path / "a.csv", STEMS, 0).add(at(10))
    History(tmp_path / "a.csv", STEMS, 0)
    assert read(tmp_path / "a.csv") == []


@pytest.mark.parametrize("torn", [b"2", b"20,0.25", b"\xff\xfe", b"", b"\0", b"9" * 5_000 + b",1,1,1,1,1,1\n"])
def test_a_line_that_was_cut_off_is_dropped(tmp_path: Path, torn: bytes) -> None:
    History(tmp_path / "a.csv", STEMS, 0).add(at(10))
    with (tmp_path / "a.csv").open("ab") as file:
        file.write(torn)
    History(tmp_path / "a.csv", STEMS, 100).add(at(30))
    assert [row["step"] for row in read(tmp_path / "a.csv")] in (["10", "30"], ["30"])


def test_a_stem_that_no_song_has_leaves_no_number(tmp_path: Path) -> None:
    History(tmp_path / "a.csv", STEMS, 0).add(at(10, low=math.nan))
    (row,) = read(tmp_path / "a.csv")
    assert (row["low"], row["high"], row["mean"]) == ("nan", "2.5000", "2.5000")


def test_what_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StemsplitError, match=r"cannot write .*a\.csv: No such file or directory$"):
        History(tmp_path / "nowhere" / "a.csv", STEMS, 0)
    history = History(tmp_path / "a.csv", STEMS, 0)
    (tmp_path / "a.csv").unlink()
    (tmp_path / "a.csv").mkdir()
    with pytest.raises(StemsplitError, match=r"cannot write .*a\.csv: Is a directory$"):
        history.add(at(10))

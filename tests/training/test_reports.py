"""A run's CSV is read as it grows, whatever is in it."""

import math
import os
from itertools import pairwise
from pathlib import Path

import pytest

from stemsplit.errors import StemsplitError
from stemsplit.training import reports
from stemsplit.training.reports import RunFile

HEADING = "step,loss,learning_rate,seconds,vocals,mean\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "run.csv").write_text(HEADING + "1,0.5,0.1,2.0,3.5,3.5\n")
    return tmp_path / "run.csv"


def read(file: RunFile) -> list[list[float]]:
    while file.read():
        pass
    return file.points


def test_new_lines_are_read_and_a_line_that_is_being_written_is_not_yet(path: Path) -> None:
    file = RunFile(path)
    assert read(file) == [[1, 0.5, 0.1, 2, 3.5, 3.5]]
    seen = file.version
    assert read(file) == [[1, 0.5, 0.1, 2, 3.5, 3.5]]
    assert file.version == seen
    with path.open("a") as csv:
        csv.write("2,0.4,0.1,4.0,4.")
        csv.flush()
        assert len(read(file)) == 1
        csv.write("5,4.5\n")
    assert read(file)[1] == [2, 0.4, 0.1, 4, 4.5, 4.5]
    assert file.version != seen


def test_a_file_that_a_resumed_run_wrote_anew_is_read_anew(path: Path) -> None:
    file = RunFile(path)
    read(file)
    (path.parent / "new").write_text(HEADING + "1,9,9,9,9,9\n2,8,8,8,8,8\n")
    (path.parent / "new").replace(path)
    assert [row[1] for row in read(file)] == [9, 8]
    path.unlink()
    assert read(file) == []


def test_a_file_that_is_not_there_yet_has_no_reports(tmp_path: Path) -> None:
    file = RunFile(tmp_path / "run.csv")
    assert read(file) == []
    (tmp_path / "run.csv").write_text(HEADING + "1,2,3,4,5,6\n")
    assert len(read(file)) == 1


@pytest.mark.parametrize(
    "line",
    ["2,0.4,0.1", "two,1,1,1,1,1", "nan,1,1,1,1,1", "-5,1,1,1,1,1", "1e999,1,1,1,1,1", '"', "\0,\0", "x" * 200_000],
)
def test_a_line_that_is_not_a_report_is_counted_and_passed_over(path: Path, line: str) -> None:
    with path.open("a") as csv:
        csv.write(f"{line}\n3,0.3,0.1,6.0,nan,\n")
    file = RunFile(path)
    assert [row[0] for row in read(file)] == [1, 3]
    assert all(map(math.isnan, file.points[1][4:]))
    assert file.bad == 1


def test_a_huge_file_is_read_in_parts_and_thinned(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "PART", 1_000)
    with path.open("a") as csv:
        csv.writelines(f"{step},{step / 7},0,0,0,0\n" for step in range(2, 20_001))
    file = RunFile(path)
    assert file.read()
    assert file.count < 1_000
    points = read(file)
    assert file.count == 20_000
    assert len(points) <= 2 * reports.MOST_POINTS + 1
    assert (points[0][0], points[-1][0]) == (1, 20_000)
    assert len({after[0] - before[0] for before, after in pairwise(points[:-1])}) == 1


@pytest.mark.parametrize(
    "content", ["song,stem,status,sdr\nx,y,z,1\n", "\x00\x01\x02\n", "step\n1\n", "[live]\n", "\ufeffstep;loss\n1;2\n"]
)
def test_another_file_is_refused_again_and_again(tmp_path: Path, content: str) -> None:
    (tmp_path / "other.csv").write_text(content)
    file = RunFile(tmp_path / "other.csv")
    for _ in range(2):
        with pytest.raises(StemsplitError, match=r"other\.csv is not the CSV of a training run; name the one"):
            file.read()


def test_a_folder_and_a_pipe_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path, tmp_path / "pipe.csv"):
        with pytest.raises(StemsplitError, match="cannot read"):
            RunFile(path).read()


def test_names_and_columns_are_bounded(tmp_path: Path) -> None:
    names = ["step", "x\x1b[31m" + "y" * 500, *(f"c{number}" for number in range(500))]
    (tmp_path / "wide.csv").write_text(",".join(names) + "\n" + ",".join(["1"] * len(names)) + "\n")
    file = RunFile(tmp_path / "wide.csv")
    assert len(read(file)[0]) == len(file.columns) + 1 <= reports.MOST_COLUMNS + 1
    assert max(map(len, file.columns)) <= reports.LONGEST_NAME
    assert "\x1b" not in "".join(file.columns)

"""`stemsplit train --watch`, and `stemsplit listen run.csv`."""

import json
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.cli.watching import watching
from tests.cli.conftest import Result

Command = Callable[..., Result]

HEADING = "step,loss,learning_rate,seconds\n"


def test_curves_are_served_from_when_they_may_be_until_the_run_ends(tmp_path: Path) -> None:
    told: list[str] = []
    with watching(tmp_path / "run.csv", told.append, wanted=True) as show:
        assert told == []
        show()
        show()
        (line,) = told
        address = line.removeprefix("curves of the run: ")
        for content, state in ((None, "No report yet"), (HEADING + "7,0.5,0.1,3\n", "Step 7, loss 0.5, after 0:03")):
            if content:
                (tmp_path / "run.csv").write_text(content)
            with urllib.request.urlopen(f"{address}run.json", timeout=60) as answer:
                assert json.loads(answer.read())["state"].startswith(state)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(address, timeout=60)


def test_nothing_is_served_unless_it_is_asked_for(tmp_path: Path) -> None:
    told: list[str] = []
    with watching(tmp_path / "run.csv", told.append, wanted=False) as show:
        show()
    assert told == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("scores.csv",), "scores.csv is not the CSV of a training run"),
        (("none.csv",), "there is no file none.csv"),
        (("run.csv", "scores.csv"), "the CSV of a training run is shown alone"),
        (("run.csv", "."), "the CSV of a training run is shown alone"),
        (("run.csv", "--at", "1:00"), "the CSV of a training run is shown alone"),
        (("folder.csv",), "cannot read folder.csv"),
    ],
)
def test_what_is_not_a_run_is_refused(
    stemsplit: Command, tmp_path: Path, arguments: tuple[str, ...], complaint: str
) -> None:
    (tmp_path / "run.csv").write_text(HEADING)
    (tmp_path / "scores.csv").write_text("song,stem,status\n")
    (tmp_path / "folder.csv").mkdir()
    result = stemsplit("listen", *arguments, "--no-open")
    assert (result.status, result.out) == (2, "")
    assert complaint in result.err

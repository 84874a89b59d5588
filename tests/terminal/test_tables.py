"""Columns, on a terminal and elsewhere."""

import re
import sys

import pytest

from stemsplit.terminal.tables import aligned, print_table

ROWS = [("drums", "9.5"), ("vocals", "10")]


def test_words_begin_below_each_other() -> None:
    assert aligned(ROWS) == ["drums   9.5", "vocals  10"]


def test_figures_end_below_each_other() -> None:
    assert aligned(ROWS, words=1) == ["drums   9.5", "vocals   10"]


@pytest.mark.parametrize("terminal", [True, False])
def test_rows_are_printed_whole(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], terminal: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    print_table([("name", "starter"), ("description", "for a first try, and " + "for more " * 20)])
    text = re.sub("\x1b[^m]*m", "", capsys.readouterr().out)
    assert text.count("more") == 20
    assert (max(map(len, text.splitlines())) <= 40) == terminal

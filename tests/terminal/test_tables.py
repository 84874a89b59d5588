"""Columns, on a terminal and elsewhere."""

import sys

import pytest

from stemsplit.terminal.tables import aligned, print_table

ROWS = [("drums", "9.5"), ("vocals", "10")]


def test_words_begin_below_each_other() -> None:
    assert aligned(ROWS) == ["drums   9.5", "vocals  10"]


def test_figures_end_below_each_other() -> None:
    assert aligned(ROWS, words=1) == ["drums   9.5", "vocals   10"]


@pytest.mark.parametrize(("width", "shown"), [(119, False), (120, True)])
def test_a_narrow_terminal_has_no_room_for_the_last_column(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], width: int, shown: bool
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    print_table([("starter", "for a first try")], ("model", "what for"))
    text = capsys.readouterr().out
    assert "starter" in text
    assert ("for a first try" in text) == shown

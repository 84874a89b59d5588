"""Options that several commands have."""

from typing import get_args

import pytest
import typer

from stemsplit.cli.options import COMPUTING, Device, listed, seconds, under


@pytest.mark.parametrize(
    ("text", "time"), [("90", 90), ("90s", 90), ("1.5m", 90), ("1:30", 90), ("1:02:03.5", 3_723.5), ("2 h", 7_200)]
)
def test_a_time_can_be_written_in_many_ways(text: str, time: float) -> None:
    assert seconds(text) == time


@pytest.mark.parametrize("text", ["", "-1", "1:", "nan", "1e3", "1:30s"])
def test_what_is_not_a_time_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="is not a time"):
        seconds(text)


def test_words_may_have_commas_between_them_or_options_of_their_own() -> None:
    assert listed(["a, b", "c,"]) == ["a", "b", "c"]
    assert listed(None) == []


def test_an_option_in_another_panel_is_the_same_but_for_that() -> None:
    _, device = get_args(Device)
    moved = under("Elsewhere", Device)
    assert (device.rich_help_panel, moved.rich_help_panel) == (COMPUTING, "Elsewhere")
    assert vars(moved) == {**vars(device), "rich_help_panel": "Elsewhere"}

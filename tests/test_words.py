"""Figures and names as people read them."""

import pytest

from stemsplit.words import minutes, printable, size


@pytest.mark.parametrize(("count", "text"), [(0, "?"), (10_766_674, "10.8 MB"), (3_764_030_874, "3.8 GB")])
def test_sizes_are_for_people(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3_723, "1:02:03")])
def test_times_are_for_people(seconds: float, said: str) -> None:
    assert minutes(seconds) == said


@pytest.mark.parametrize(
    ("name", "shown"), [("Ärger.wav", "Ärger.wav"), ("\x1b[2J\n", r"\x1b[2J\n"), ("\udcff", r"\udcff")]
)
def test_what_would_command_a_terminal_is_spelled_out(name: str, shown: str) -> None:
    assert printable(name) == shown

"""Times, sizes, counts and names as people read them."""

import subprocess
import sys

import pytest

from stemsplit.words import clock, counted, did_you_mean, printable, size


@pytest.mark.parametrize(("count", "text"), [(0, "?"), (10_766_674, "10.8 MB"), (3_764_030_874, "3.8 GB")])
def test_a_size_is_in_megabytes_or_gigabytes(count: int, text: str) -> None:
    assert size(count) == text


@pytest.mark.parametrize(
    ("number", "noun", "text"),
    [(0, "song", "0 songs"), (1, "song", "1 song"), (2, "song", "2 songs"), (1, "process", "1 process")]
    + [(2, "process", "2 processes")],
)
def test_a_noun_agrees_with_its_number(number: int, noun: str, text: str) -> None:
    assert counted(number, noun) == text


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3_723, "1:02:03")])
def test_a_time_is_rounded_to_seconds(seconds: float, text: str) -> None:
    assert clock(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0:00"), (60, "1:00"), (60.5, "1:00.5"), (60.3, "1:00.3"), (59.9996, "1:00"), (3_725.25, "1:02:05.25")],
)
def test_a_time_in_milliseconds_has_no_zeros_at_its_end(seconds: float, text: str) -> None:
    assert clock(seconds, 3) == text


@pytest.mark.parametrize(("name", "hint"), [("tow", "; did you mean 'two'?"), ("something else", "")])
def test_a_mistyped_name_gets_the_closest_known_one(name: str, hint: str) -> None:
    assert did_you_mean(name, ["one", "two"]) == hint


@pytest.mark.parametrize(
    ("name", "shown"), [("Ärger.wav", "Ärger.wav"), ("\x1b[2J\n", r"\x1b[2J\n"), ("\udcff", r"\udcff")]
)
def test_control_characters_are_escaped(name: str, shown: str) -> None:
    assert printable(name) == shown


def test_words_imports_nothing_slow() -> None:
    """`stemsplit list` imports it."""
    code = "import sys, stemsplit.words; sys.exit(len({'numpy', 'torch', 'difflib'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

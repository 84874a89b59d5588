"""Curves and bars of characters: in the right place, of the right size, and of ASCII where nothing else is shown."""

import math

import pytest

from stemsplit.pictures.text import bar, curve, has_blocks


@pytest.mark.parametrize("blocks", [True, False])
def test_a_curve_that_falls_begins_above_and_ends_below(blocks: bool) -> None:
    name, *lines = curve("loss", [(step, 8.0 - step) for step in range(9)], 40, 4, blocks)
    assert name.strip() == "loss"
    assert len(lines) == 4
    assert {len(line) for line in (name, *lines)} == {40}
    assert lines[0].startswith("8.00 ")
    assert lines[-1].startswith("   0 ")
    drawn = [line[5:] for line in lines]
    firsts = [len(line) - len(line.lstrip()) for line in drawn]
    assert firsts == sorted(firsts)
    assert drawn[0][0] != " "
    assert drawn[-1][-1] != " "
    assert all(line.strip() for line in drawn)


@pytest.mark.parametrize(
    "points", [[], [(1.0, math.nan)], [(1.0, 2.0)], [(1, 3), (2, 3)], [(5, 1), (5, 2)], [(3, 1e300)]]
)
def test_odd_figures_make_lines_of_the_same_size(points: list[tuple[float, float]]) -> None:
    lines = curve("a", points, 30, 5)
    assert [len(line) for line in lines] == [30] * 6


@pytest.mark.parametrize(("share", "plain"), [(0, ""), (0.5, "####"), (1, "########"), (7, "########"), (-1, "")])
def test_a_bar_is_as_long_as_its_share(share: float, plain: str) -> None:
    assert bar(share, 8, blocks=False) == plain.ljust(8)
    assert bar(share, 8) == plain.replace("#", "█").ljust(8)
    assert bar(math.nan, 8) == " " * 8


def test_eighths_of_a_character_tell_bars_apart() -> None:
    assert len({bar(number / 64, 8) for number in range(65)}) == 65


@pytest.mark.parametrize(
    ("encoding", "term", "blocks"),
    [
        ("utf-8", "xterm", True),
        ("ascii", "xterm", False),
        ("latin-1", "xterm", False),
        (None, "xterm", False),
        ("no such", "xterm", False),
        ("utf-8", "linux", False),
        ("utf-8", "dumb", False),
    ],
)
def test_blocks_are_drawn_only_where_they_are_shown(
    monkeypatch: pytest.MonkeyPatch, encoding: str | None, term: str, blocks: bool
) -> None:
    monkeypatch.setenv("TERM", term)
    assert has_blocks(encoding) == blocks

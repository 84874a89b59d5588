"""Draws curves and bars of characters, for a terminal: of braille and blocks, or of ASCII where these do not exist."""

import os
from collections.abc import Sequence

from stemsplit.pictures.scale import LARGEST
from stemsplit.pictures.svg import shortened

BRAILLE = 0x2800
"""The braille character without dots. A dot in column c of two and row r of four adds `DOTS[c][r]`."""

DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))

EIGHTHS = " ▏▎▍▌▋▊▉"
"""Bars of 0 to 7 eighths of a character."""

PLAIN_TERMINALS = ("dumb", "linux")
"""Terminals whose fonts have no braille, whatever the encoding."""


def has_blocks(encoding: str | None) -> bool:
    """Return whether a terminal of this encoding shows braille and blocks."""
    try:
        "⣿█▏".encode(encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return False
    return os.environ.get("TERM") not in PLAIN_TERMINALS


def bar(share: float, width: int, blocks: bool = True) -> str:
    """Return a bar.

    Args:
        share: length of the bar, from 0 to 1.
        width: number of characters of the longest bar.
        blocks: whether the terminal shows blocks.

    Returns:
        Text of `width` characters.
    """
    share = min(max(share, 0.0), 1.0) if share == share else 0.0  # NaN has no length
    if not blocks:
        return ("#" * round(share * width)).ljust(width)
    whole, rest = divmod(round(8 * width * share), 8)
    return ("█" * whole + (EIGHTHS[rest] if rest else "")).ljust(width)


def _figure(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1e-2 or abs(value) >= 1e4 else f"{value:.2f}"


def line_between(start: tuple[int, int], end: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the places on a straight line from a place (x, y) to another."""
    steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
    return [
        (round(start[0] + (end[0] - start[0]) * step / steps), round(start[1] + (end[1] - start[1]) * step / steps))
        for step in range(steps + 1)
    ]


def curve(name: str, points: Sequence[tuple[float, float]], width: int, height: int, blocks: bool = True) -> list[str]:
    """Return a curve under its name, with its highest and lowest value to the left.

    Args:
        name: what the curve shows.
        points: points (x, y) in order; those that cannot be drawn are left out.
        width: number of characters of each line.
        height: number of lines of the curve, without its name.
        blocks: whether the terminal shows braille.

    Returns:
        `height` + 1 lines of `width` characters.
    """
    known = [(x, y) for x, y in points if abs(x) < LARGEST and abs(y) < LARGEST]
    heading = shortened(name, width).ljust(width)
    if not known:
        return [heading, *[" " * width] * height]
    low, high = min(y for _, y in known), max(y for _, y in known)
    marks = [_figure(high), *[""] * (height - 2), _figure(low)]
    margin = max(map(len, marks)) + 1
    columns, fine = max(width - margin, 1), (2, 4) if blocks else (1, 1)
    across, down = columns * fine[0], height * fine[1]
    first, last = known[0][0], max(known[-1][0], known[0][0])

    def place(x: float, y: float) -> tuple[int, int]:
        column = round((across - 1) * (x - first) / (last - first)) if last > first else 0
        row = round((down - 1) * (high - y) / (high - low)) if high > low else down // 2
        return min(max(column, 0), across - 1), row

    cells = [[0] * columns for _ in range(height)]
    before: tuple[int, int] | None = None
    for point in known:
        column, row = place(*point)
        for x, y in line_between(before or (column, row), (column, row)):
            cells[y // fine[1]][x // fine[0]] |= DOTS[x % fine[0]][y % fine[1]]
        before = column, row
    shown = ("".join((chr(BRAILLE + cell) if blocks else "*") if cell else " " for cell in line) for line in cells)
    return [heading, *(f"{mark:>{margin - 1}} {line}" for mark, line in zip(marks, shown, strict=True))]

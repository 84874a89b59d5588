"""Prints tables: drawn by rich on a terminal, as aligned plain lines elsewhere."""

import sys
from collections.abc import Callable, Sequence

from stemsplit.terminal.stdout import print_text

Row = Sequence[str]

Line = tuple[str, str]
"""A text, and the name of its style in rich."""


def aligned(rows: Sequence[Row], words: int | None = None) -> list[str]:
    """Return a table's lines, with aligned columns. However long a line is, it is not cut: a script may read it.

    Args:
        rows: rows with the same number of cells each.
        words: number of the first columns that are left-aligned; the others, for figures, are right-aligned. None if
            all are left-aligned.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:words], widths[:words], strict=True)]
        if words is not None:
            cells += [cell.rjust(width) for cell, width in zip(row[words:], widths[words:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def is_terminal() -> bool:
    """Return whether stdout is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def print_table(rows: Sequence[Row]) -> None:
    """Print rows of words; the first column holds their names."""
    if is_terminal():
        _draw(rows)
    else:
        print_text(*aligned(rows))


def draw(lines: Callable[[int], Sequence[Line]]) -> None:
    """Print lines on a terminal.

    Args:
        lines: function that returns the lines for a width of the terminal, in columns.
    """
    from rich.console import Console  # only for a terminal: it takes longer to import than to read the registry
    from rich.text import Text

    console = Console(highlight=False)
    for text, style in lines(console.width):
        console.print(Text(text, style))


def _draw(rows: Sequence[Row]) -> None:
    # Only for a terminal: it takes longer to import than to read the registry.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, show_header=False)
    for place in range(len(rows[0])):
        table.add_column(overflow="fold", no_wrap=place == 0, style="bold" if place == 0 else "")
    for cells in rows:
        table.add_row(*map(Text, cells))
    Console(highlight=False).print(table)

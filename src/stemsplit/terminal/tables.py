"""Columns: drawn by rich on a terminal, aligned in plain lines elsewhere."""

import sys
from collections.abc import Sequence

from stemsplit.terminal.stdout import print_text

Row = Sequence[str]

LAST_COLUMN_WIDTH = 120
"""Columns of a terminal from which on there is room for a table's last one."""


def aligned(rows: Sequence[Row], words: int | None = None) -> list[str]:
    """Whole lines however long: nobody is to find half a name in a pipe.

    Args:
        rows: as many cells each.
        words: how many columns are words, which begin below each other; the others are figures, which end so. None
            for all.
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:words], widths[:words], strict=True)]
        if words is not None:
            cells += [cell.rjust(width) for cell, width in zip(row[words:], widths[words:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines


def print_table(rows: Sequence[Row], header: Row | None = None) -> None:
    """Rows of words, with names of the columns or without."""
    if sys.stdout is not None and sys.stdout.isatty():
        _draw(rows, header)
    else:
        print_text(*aligned([header, *rows] if header else rows))


def _draw(rows: Sequence[Row], header: Row | None) -> None:
    # Only for a terminal: it takes longer to import than to read the registry.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=header is not None, header_style="bold")
    columns = header or ("", "")
    if header and console.width < LAST_COLUMN_WIDTH:
        columns = columns[:-1]
    for place, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=place == 0, style="bold" if place == 0 and not header else "")
    for cells in rows:
        table.add_row(*(Text(cell) for cell in cells[: len(columns)]))
    console.print(table)

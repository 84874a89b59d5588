"""Shows what `bench` measured as bars: in a terminal, and as a page."""

import math
import shutil
import sys
from typing import TYPE_CHECKING

from stemsplit.pictures import pages, svg
from stemsplit.pictures.pages import element
from stemsplit.pictures.text import bar, has_blocks
from stemsplit.terminal.bench import COLUMNS, KERNEL_COLUMNS, cells, facts, kernel_cells, songs_in_words

if TYPE_CHECKING:
    from stemsplit.bench import Report

SPEED = "Speed, as a multiple of real time"
SHARE = "Share of the machine's rate in products of large matrices (GEMM)"

MOST_WIDTH = 40
"""Length of the longest bar in a terminal, in characters."""


def _names(report: "Report") -> list[str]:
    """Return a name for each row, with the batch size if there are several."""
    several = len({row.batch_size for row in report.rows}) > 1
    return [f"{row.precision}, batch size {row.batch_size}" if several else row.precision for row in report.rows]


def _bars(report: "Report") -> dict[str, list[tuple[str, float, str]]]:
    """Return the bars of each picture: name, value and its text. What did not fit into the memory has no value."""
    names = _names(report)
    missing = (math.nan, "out of memory")
    figures = [row.figures for row in report.rows]
    speeds = ((each.real_time, f"{each.real_time:,.2f}x") if each else missing for each in figures)
    shares = ((each.share, f"{each.share:.0%}") if each else missing for each in figures)
    return {
        SPEED: [(name, *each) for name, each in zip(names, speeds, strict=True)],
        SHARE: [(name, *each) for name, each in zip(names, shares, strict=True)],
    }


def bars_in_lines(report: "Report", width: int, blocks: bool) -> list[str]:
    """Return bars as lines for a terminal.

    Args:
        report: what was measured.
        width: width of the terminal, in characters.
        blocks: whether the terminal shows blocks.
    """
    lines = list[str]()
    for title, rows in _bars(report).items():
        left, right = max(len(name) for name, *_ in rows), max(len(text) for *_, text in rows)
        length = min(width - left - right - 5, MOST_WIDTH)
        if length < 4:
            return []
        longest = max([*(value for _, value, _ in rows if value == value), 1.0 if title == SHARE else 1e-9])
        lines += ["", title]
        lines += [f"  {name:<{left}} {bar(value / longest, length, blocks)} {text}" for name, value, text in rows]
    return lines


def bars_for_stdout(report: "Report") -> list[str]:
    """Return bars for stdout; none where that is not a terminal."""
    if not sys.stdout.isatty():
        return []
    return bars_in_lines(report, shutil.get_terminal_size().columns, has_blocks(sys.stdout.encoding))


def page_of_bench(report: "Report") -> bytes:
    """Return a page about a model's speed on this machine."""
    pictures = []
    for title, rows in _bars(report).items():
        told = "; ".join(f"{name}: {text}" for name, _, text in rows)
        whole = 1.0 if title == SHARE else None
        drawn = svg.bars(title, told, [svg.Bar(*row) for row in rows], whole)
        heading = title.partition(",")[0].partition(" of")[0].lower()
        pictures.append(pages.figure(title, drawn, ("precision", heading), [(name, text) for name, _, text in rows]))
    about = pages.table("What was measured", ("what", "figures"), facts(report), words=2)
    figures = pages.table("All figures", COLUMNS, map(cells, report.rows))
    chosen = []
    if report.kernels:
        told = pages.table("Kernels", KERNEL_COLUMNS, map(kernel_cells, report.kernels), words=3)
        chosen = [element("h2", "What computes it"), told]
    return pages.page(
        f"Speed of {report.entry.name}",
        about,
        element("div", *pictures, kind="pictures"),
        element("h2", "All figures"),
        figures,
        *chosen,
        *(element("p", line) for line in songs_in_words(report)),
    )

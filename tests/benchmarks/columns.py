"""Makes one table of what benchmarks measured on several machines: `python -m tests.benchmarks.columns FILE ...`.

Each FILE is what `python -m tests.benchmarks.goals` or `.gpu` wrote. Files of one machine make one column, in which a
later file's rows replace an earlier one's. Below the table: the machines, and which goals hold on all of them.
"""

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import machine
from tests.benchmarks.parts import Row, head, line_of

TELLING = ("AMX-BF16", "BF16", "VNNI", "AVX512", "AVX2", "SVE", "NEON")
"""Capabilities by which machines are named, the most telling one first."""

FILLERS = r"\(R\)|\(TM\)|\bProcessor\b|\bCPU\b|@.*|\b\d+-Core\b"
"""What says nothing in a processor's name."""


@dataclass
class Column:
    """A machine: its name in the table, what it is, and its rows by name."""

    name: str
    what: str
    rows: dict[str, Row] = field(default_factory=dict)


def name_of(known: dict[str, Any]) -> str:
    """A short name of a machine: its GPU, or its processor with its most telling capability."""
    if known["gpu"]:
        return str(known["gpu"]["name"])
    processor = " ".join(re.sub(FILLERS, " ", known["processor"]).split())
    able = next((name for name in TELLING if name in known["capabilities"]), "")
    limited = "".join(f", {value}" for value in known["limited"].values())
    return f"{processor}{f', {able}' if able else ''}{limited}"


def columns(reports: Sequence[dict[str, Any]]) -> list[Column]:
    """A column for each machine, in the order of its first report.

    Raises:
        ValueError: a report is of a rehearsal, or of no known machine.
    """
    found: dict[str, Column] = {}
    for report in reports:
        if report.get("rehearsal"):
            raise ValueError("a rehearsal measures nothing")
        if not report["machine"]:
            raise ValueError("nothing was measured")
        what = machine(report["machine"])
        if what not in found:
            name = name_of(report["machine"])
            same = sum(column.name.partition(" #")[0] == name for column in found.values())
            found[what] = Column(f"{name} #{same + 1}" if same else name, what)
        for row in report["rows"]:
            given = {key: value for key, value in row.items() if key != "part"}
            found[what].rows[row["name"]] = Row(**given)
    return list(found.values())


def cell(row: Row | None) -> str:
    """What a column says in a row: the ratio first, then our figure and the error; nothing if it was not measured."""
    if row is None:
        return ""
    figure = row.ratio.partition(" (")[0] or row.ours
    more = [text for text in (row.ours if row.ratio else "", row.error) if text]
    told = f"{figure} ({', '.join(more)})" if more and figure else figure or ", ".join(more)
    return f"{told}, missed" if row.met is False else told


def names(machines: Sequence[Column]) -> list[str]:
    """The names of all rows, each new one after the row that it follows on its machine."""
    ordered: list[str] = []
    for column in machines:
        place = 0
        for name in column.rows:
            if name not in ordered:
                ordered.insert(place, name)
            place = ordered.index(name) + 1
    return ordered


def goal_of(rows: Sequence[Row]) -> str:
    """The goal of a row, all of them where machines have different ones."""
    return ", ".join(dict.fromkeys(row.goal for row in rows if row.goal))


def table(machines: Sequence[Column]) -> list[str]:
    """The lines of the table, of its machines, and of the goals that are missed somewhere."""
    lines = [head(["what", "goal", *(column.name for column in machines)])]
    missed = []
    for name in names(machines):
        rows = [column.rows.get(name) for column in machines]
        lines.append(line_of([name, goal_of([row for row in rows if row]), *map(cell, rows)]))
        where = [column.name for column, row in zip(machines, rows, strict=True) if row and row.met is False]
        if where:
            missed.append(f"- {name}: missed on {'; '.join(where)}")
    lines += ["", *(f"- **{column.name}**: {column.what}" for column in machines)]
    return [*lines, "", "Goals that do not hold on all of these machines:", *(missed or ["- none"])]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.columns")
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="what a benchmark wrote")
    given = parser.parse_args()
    try:
        found = columns([json.loads(path.read_text(encoding="utf-8")) for path in given.files])
    except ValueError as error:
        parser.error(str(error))
    print("\n".join(table(found)))


if __name__ == "__main__":
    main()

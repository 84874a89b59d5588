"""What `list` and `info` print on stdout: tables for a terminal, plain lines for a script."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stemsplit.registry import ModelEntry

COLUMNS = ("model", "stems", "size", "licence", "what for")
DESCRIPTION_WIDTH = 120
"""Columns of a terminal from which on there is room to say what a model is for."""


def size(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count else "?"


def row(entry: ModelEntry) -> tuple[str, ...]:
    """An entry's cells under `COLUMNS`."""
    stems = ", ".join(entry.outputs) if len(entry.outputs) <= 8 else f"{len(entry.outputs)} stems"
    return entry.name, stems, size(entry.size), entry.license or "not stated", entry.description


def print_models(entries: Iterable[ModelEntry]) -> None:
    """One line a model."""
    rows = [row(entry) for entry in entries]
    if sys.stdout.isatty():
        _print_table(COLUMNS, rows)
    else:
        _print_lines([COLUMNS, *rows])


def print_facts(facts: Mapping[str, Any]) -> None:
    """One line a fact: name and value."""
    rows = [(name, as_text(value)) for name, value in facts.items()]
    if sys.stdout.isatty():
        _print_table(None, rows)
    else:
        _print_lines(rows)


def as_data(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    """Everything in an entry and where its weights are on this machine, as JSON has it."""
    return {**asdict(entry), "outputs": entry.outputs, "path": None if path is None else str(path)}


def facts(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    """Everything in an entry and where its weights are on this machine, for people."""
    found = {name.replace("_", " "): value for name, value in asdict(entry).items() if value not in ("", {}, (), 0)}
    for name in ("chunk", "hop"):
        found[name] = f"{found[name]} samples ({found[name] / entry.sample_rate:.4g} s)"
    found["sample rate"] = f"{entry.sample_rate} Hz"
    if entry.size:
        found["size"] = size(entry.size)
    if entry.author:
        found["license"] = entry.license or "not stated"
        if not (entry.sha256 or entry.git_sha1):
            found["sha256"] = "none was published; the first download's is remembered"
    found["on this machine"] = "no" if path is None else f"{path} ({size(path.stat().st_size)})"
    return found


def facts_of_file(entry: ModelEntry, path: Path | None, assumed: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a checkpoint of the user's own: what it and its config tell, apart from what is only usual."""
    told = {name: value for name, value in entry.config.items() if name not in assumed}
    return facts(entry, path) | {"config": told, "taken as usual": assumed}


def print_json(data: Any) -> None:
    """Data for a script."""
    print(json.dumps(data, indent=2, ensure_ascii=False))


def as_text(value: Any) -> str:
    """A value of an entry for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)


def _print_lines(rows: Sequence[Sequence[str]]) -> None:
    """Columns, whole lines however long: nobody is to find half a name in a pipe."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


def _print_table(header: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> None:
    # Only for a terminal: it takes longer to import than to read the registry.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=header is not None, header_style="bold")
    columns = header or ("", "")
    if header and console.width < DESCRIPTION_WIDTH:
        columns = columns[:-1]
    for place, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=place == 0, style="bold" if place == 0 and not header else "")
    for cells in rows:
        table.add_row(*(Text(cell) for cell in cells[: len(columns)]))
    console.print(table)

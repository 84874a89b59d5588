"""Shows models, as `list` and `info` do: in groups on a terminal, in a plain table elsewhere, as data."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from stemsplit.registry import ModelEntry, redacted
from stemsplit.registry.scores import Scale, score
from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import Line, aligned, draw, is_terminal, print_table
from stemsplit.words import printable, size

COLUMNS = ("model", "stems", "size", "licence", "what for")
"""Columns of the plain table."""

MANY = 8
"""Largest number of stems that are named one by one."""


def row(entry: ModelEntry) -> tuple[str, ...]:
    """Return an entry's cells under `COLUMNS`."""
    cells = (entry.name, stems_in_words(entry), size(entry.size), entry.license or "not stated", entry.description)
    return tuple(map(printable, cells))


def print_models(
    entries: Sequence[ModelEntry],
    here: Collection[str] = (),
    advice: str = "",
    rows: Sequence[Sequence[str]] = (),
    lines: Sequence[Line] = (),
) -> None:
    """Print models: in groups on a terminal, else as a table.

    The table is for scripts as well: a header, then one whole line per model, however long. The columns are those of
    `COLUMNS`, in that order, with two spaces or more between them; new ones would come last. A name has no spaces.

    Args:
        entries: all models asked for.
        here: names of the models whose weights are on this machine; they are marked on a terminal.
        advice: line to show above them on a terminal, if there is one.
        rows: rows of what is listed besides models, in the table.
        lines: the same as lines for a terminal, shown above the models.
    """
    if is_terminal():
        head: list[Line] = [(printable(advice), "bold"), ("", "")] if advice else []
        draw(lambda width: [*head, *lines, *listing(entries, here, width)])
    else:
        print_text(*aligned([COLUMNS, *map(row, entries), *rows]))


ONE_LINE = 100
"""Smallest width of a terminal, in columns, at which each model gets one line; its description may be cut off."""

SHORTEST = 12
"""Smallest width in columns for the beginning of a description; with less, it gets a line of its own."""


def score_in_words(entry: ModelEntry) -> str:
    """Return all published scores of a model, with their measure and test set."""
    figures = [f"{name} {figure}" for name, figure in entry.score.items() if name not in ("measure", "test_set")]
    about = [str(entry.score[name]) for name in ("measure", "test_set") if name in entry.score]
    return f"{', '.join(figures)} ({'; '.join(about)})" if figures else "none published"


def stems_in_words(entry: ModelEntry) -> str:
    """Return the names of a model's stems, or how many there are."""
    return ", ".join(entry.outputs) if len(entry.outputs) <= MANY else f"{len(entry.outputs)} stems"


def _heading(entry: ModelEntry, scale: Scale | None) -> str:
    if scale is None:
        return f"{stems_in_words(entry)}: no published score"
    name, measure, test_set = scale
    what = f"mean {measure}" if name == "mean" else f"{measure} of {name}"
    return f"{stems_in_words(entry)}: {what}, {test_set}"


def _purpose(entry: ModelEntry) -> str:
    """Return a model's description without the stem, which the heading names."""
    stem = entry.stems[0].replace("_", " ").capitalize()
    return entry.description.removeprefix(f"{stem}; ").removeprefix(f"{stem}, ")


def listing(entries: Sequence[ModelEntry], here: Collection[str], width: int) -> list[Line]:
    """Return the lines that show models on a terminal, those with the same stems and scores of one scale together.

    Args:
        entries: the models to show.
        here: names of the models whose weights are on this machine.
        width: width of the terminal, in columns.
    """
    groups: dict[tuple[str, ...], dict[Scale | None, list[ModelEntry]]] = {}
    for entry in entries:
        found = score(entry)
        groups.setdefault(entry.outputs, {}).setdefault(found and found[0], []).append(entry)
    lines: list[Line] = []
    for tables in groups.values():
        widths = _widths([entry for table in tables.values() for entry in table])
        for scale in sorted(tables, key=lambda scale: scale is None):
            lines.append((printable(_heading(tables[scale][0], scale)), "bold"))
            for entry in sorted(tables[scale], key=lambda entry: -(score(entry) or (None, 0.0))[1]):
                lines += [(line, "") for line in _rows(entry, here, widths, width)]
            lines.append(("", ""))
    lines += [("*: on this machine; +: recommended", "dim"), ("all about one model: stemsplit info NAME", "dim")]
    return lines


def _cells(entry: ModelEntry) -> tuple[str, str, str, str]:
    """Return name, score, size and licence."""
    found = score(entry)
    figure = f"{found[1]:.2f}" if found else ""
    return printable(entry.name), figure, size(entry.size), printable(entry.license or "not stated")


def _widths(entries: Sequence[ModelEntry]) -> list[int]:
    return [max(map(len, column)) for column in zip(*map(_cells, entries), strict=True)]


def _rows(entry: ModelEntry, here: Collection[str], widths: Sequence[int], width: int) -> list[str]:
    """Return the one line that shows a model, or two where the terminal is narrow."""
    name, figure, bytes_, license_ = _cells(entry)
    cells = (name.ljust(widths[0]), figure.rjust(widths[1]), bytes_.rjust(widths[2]), license_.ljust(widths[3]))
    marks = ("*" if entry.name in here else " ") + ("+" if entry.recommended else "")
    facts = f"{marks.ljust(3)}{'  '.join(cell for cell in cells if cell)}"
    purpose, room = printable(_purpose(entry)), width - len(facts) - 2
    if width < ONE_LINE or room < SHORTEST:
        return [facts.rstrip(), f"    {purpose}"]
    return [f"{facts}  {purpose if len(purpose) <= room else purpose[: room - 1] + '…'}"]


def entry_as_data(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    """Return everything in an entry and where its weights are on this machine, as JSON has it; without passwords."""
    shown = {"sources": _sources(entry), "outputs": entry.outputs, "path": None if path is None else str(path)}
    # JSON keeps a key's first name, and leaves out recommendations, which may change at any time.
    names = {"mixture_consistency": "complete"}
    return {names.get(key, key): value for key, value in vars(entry).items() if key != "recommended"} | shown


def _sources(entry: ModelEntry) -> tuple[str, ...]:
    return tuple(map(redacted, entry.sources))


def _size_of(path: Path) -> str:
    """Return a file's size in brackets; empty if the file was removed just now."""
    try:
        return f" ({size(path.stat().st_size)})"
    except OSError:
        return ""


FIRST = ("name", "description", "recommended", "stems", "license", "license note", "license url", "score", "size")
"""Facts that decide whether a model is the right one."""

PLACE = "on this machine"
"""Name of the fact that says where the weights are."""


def facts(entry: ModelEntry, path: Path | None, verbose: bool = False) -> dict[str, Any]:
    """Return the facts about a model for people, the deciding ones first, without passwords.

    Args:
        entry: entry of the model.
        path: file of the weights; None if they are not on this machine.
        verbose: whether to include the network's hyperparameters.
    """
    found = {name.replace("_", " "): value for name, value in vars(entry).items() if value not in ("", {}, (), 0)}
    found = {name: value for name, value in found.items() if not name.startswith("earlier ")}
    for name in {"chunk", "hop", "shortest", "longest"} & found.keys():
        found[name] = f"{found[name]} samples ({found[name] / entry.sample_rate:.4g} s)"
    if entry.sources:
        found["sources"] = _sources(entry)
    found["stems"] = entry.outputs
    found["stems add up"] = "yes" if entry.adds_up else "no"
    found.pop("mixture consistency", None)
    found["sample rate"] = f"{entry.sample_rate} Hz"
    if entry.size:
        found["size"] = size(entry.size)
    if entry.cost:
        found["cost"] = f"{entry.cost:g} billion floating-point operations for a second of audio"
    if entry.author:
        found["license"] = entry.license or "not stated"
        found["score"] = score_in_words(entry)
        if not (entry.sha256 or entry.git_sha1):
            found["sha256"] = "none was published; the first download's is remembered"
    config = found.pop("config", {})
    found[PLACE] = "no" if path is None else f"{path}{_size_of(path)}"
    return (
        {name: found[name] for name in (*FIRST, PLACE) if name in found}
        | found
        | ({"config": config} if verbose else {})
    )


def facts_of_file(
    entry: ModelEntry, path: Path | None, assumed: Mapping[str, Any], ignored: Sequence[str] = ()
) -> dict[str, Any]:
    """Return `facts` about a user's own checkpoint, with its config; values that are only assumed stand apart.

    Args:
        entry: entry of the checkpoint.
        path: its file.
        assumed: values that neither the weights nor the user gave.
        ignored: names of what is in the file besides the network.
    """
    told = {name: value for name, value in entry.config.items() if name not in assumed}
    return facts(entry, path) | {"config": told, "assumed": assumed} | ({"ignored": ignored} if ignored else {})


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_as_text(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(f"({_as_text(item)})" if isinstance(item, Mapping) else str(item) for item in value)
    return str(value)


def print_facts(facts: Mapping[str, Any]) -> None:
    """Print a line for each fact: its name and its value."""
    print_table([(name, printable(_as_text(value))) for name, value in facts.items()])

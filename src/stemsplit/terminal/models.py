"""What `list` and `info` tell of models."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from stemsplit.registry import ModelEntry, redacted
from stemsplit.terminal.tables import print_table
from stemsplit.words import printable, size

COLUMNS = ("model", "stems", "size", "licence", "what for")


def row(entry: ModelEntry) -> tuple[str, ...]:
    """An entry's cells under `COLUMNS`."""
    stems = ", ".join(entry.outputs) if len(entry.outputs) <= 8 else f"{len(entry.outputs)} stems"
    cells = (entry.name, stems, size(entry.size), entry.license or "not stated", entry.description)
    return tuple(map(printable, cells))


def print_models(entries: Iterable[ModelEntry]) -> None:
    """One line a model."""
    print_table([row(entry) for entry in entries], COLUMNS)


def entry_as_data(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    """Everything in an entry and where its weights are on this machine, as JSON has it; passwords are left out."""
    shown = {"sources": _sources(entry), "outputs": entry.outputs, "path": None if path is None else str(path)}
    return {**vars(entry), **shown}


def _sources(entry: ModelEntry) -> tuple[str, ...]:
    return tuple(map(redacted, entry.sources))


def _size_of(path: Path) -> str:
    """How large a file is; nothing if it was removed just now."""
    try:
        return f" ({size(path.stat().st_size)})"
    except OSError:
        return ""


def facts(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    """Everything in an entry and where its weights are on this machine, for people; passwords are left out."""
    found = {name.replace("_", " "): value for name, value in vars(entry).items() if value not in ("", {}, (), 0)}
    for name in ("chunk", "hop"):
        found[name] = f"{found[name]} samples ({found[name] / entry.sample_rate:.4g} s)"
    if entry.sources:
        found["sources"] = _sources(entry)
    found["sample rate"] = f"{entry.sample_rate} Hz"
    if entry.size:
        found["size"] = size(entry.size)
    if entry.author:
        found["license"] = entry.license or "not stated"
        if not (entry.sha256 or entry.git_sha1):
            found["sha256"] = "none was published; the first download's is remembered"
    found["on this machine"] = "no" if path is None else f"{path}{_size_of(path)}"
    return found


def facts_of_file(entry: ModelEntry, path: Path | None, assumed: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a checkpoint of the user's own: what it and its config tell, apart from what is only usual."""
    told = {name: value for name, value in entry.config.items() if name not in assumed}
    return facts(entry, path) | {"config": told, "taken as usual": assumed}


def _as_text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_as_text(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(f"({_as_text(item)})" if isinstance(item, Mapping) else str(item) for item in value)
    return str(value)


def print_facts(facts: Mapping[str, Any]) -> None:
    """One line a fact: name and value."""
    print_table([(name, printable(_as_text(value))) for name, value in facts.items()])

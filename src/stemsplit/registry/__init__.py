"""Reads models.toml, the package's and the user's own, and finds models in it."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import MISSING, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from stemsplit.disk import read_text
from stemsplit.disk.folders import user_folder
from stemsplit.errors import RegistryError
from stemsplit.registry.checks import entry_problem, table_problem
from stemsplit.registry.entry import SCHEMES, ModelEntry, redacted
from stemsplit.words import did_you_mean

__all__ = [
    "AUTO",
    "DEFAULT_MODEL",
    "RESERVED",
    "SCHEMES",
    "ModelEntry",
    "as_json",
    "as_toml",
    "document",
    "entries",
    "entry_of",
    "entry_problem",
    "files",
    "find",
    "packaged_path",
    "read",
    "read_reserved",
    "redacted",
    "select",
    "table_of",
]

DEFAULT_MODEL = "starter"
"""The model that ships inside the package."""

AUTO = "auto"
"""Name that stands for the recommended model, unless a model is called so."""

LIMIT = 1_000_000
"""Largest size of a registry in bytes, enough for some thousand models."""

EARLIER_KEYS: Mapping[Any, str] = {"complete": "mixture_consistency"}
"""Key of earlier versions, still read -> its present name."""

DOTS = 500
"""Largest number of dots in a line of TOML. A key of 20,000 parts takes Python's reader seconds, and the time is
quadratic.
"""


def entry_of(name: str, table: object, origin: Path) -> ModelEntry:
    """Make an entry from a table.

    Args:
        name: name of the model.
        table: values of the table, from TOML or JSON.
        origin: file of the table.

    Raises:
        RegistryError: a key is unknown or missing, or a value has the wrong type or is invalid.
    """
    if not isinstance(table, dict):
        raise RegistryError(f"{origin}: {name!r} is not a table")
    if twice := [key for key, present in EARLIER_KEYS.items() if key in table and present in table]:
        raise RegistryError(f"{origin}: [{name}] has both {twice[0]} and {EARLIER_KEYS[twice[0]]}, which are the same")
    table = {EARLIER_KEYS.get(key, key): value for key, value in table.items()}
    if problem := table_problem(table):
        raise RegistryError(f"{origin}: [{name}] {problem}")
    values: dict[str, Any] = {key: tuple(value) if isinstance(value, list) else value for key, value in table.items()}
    values["architecture"] = values["architecture"].lower().replace("-", "_")
    # Copies, because the table may be read again.
    values |= {key: dict(value) for key, value in values.items() if isinstance(value, dict)}
    entry = ModelEntry(name=name, **values)
    if problem := entry_problem(entry):
        raise RegistryError(f"{origin}: [{name}] {problem}")
    return replace(entry, sources=tuple(_beside(origin, source) for source in entry.sources))


def _beside(origin: Path, source: str) -> str:
    """Return a source; if it is a file, with its path taken relative to the registry's folder."""
    path = source.removeprefix("file:")
    return source if path == source else f"file:{origin.absolute().parent / path}"


def table_of(entry: ModelEntry) -> dict[str, Any]:
    """Return an entry as a table, without its name and without values that are the defaults."""
    defaults = {field.name: field.default for field in fields(entry) if field.default is not MISSING}
    values = {field.name: getattr(entry, field.name) for field in fields(entry) if field.name != "name"}
    values |= {key: dict(value) for key, value in values.items() if isinstance(value, Mapping)}
    return {key: value for key, value in values.items() if value != defaults.get(key) and value != {}}


def as_toml(entry: ModelEntry) -> str:
    """Return an entry as models.toml has it."""
    import tomli_w  # imported here: who only reads the registry does not need it

    text = tomli_w.dumps({entry.name: table_of(entry)})
    # Lists of plain values come with one on each line. No text has a line break in it: that is written as \\n.
    return re.sub(r"\[\n((?: +[^\s\[\]{}][^\n]*,\n)+) *\]", lambda found: f"[{_on_one_line(found[1])}]", text)


def as_json(entry: ModelEntry) -> str:
    """Return an entry as a file of weights holds it, under its keys' first names: earlier versions read it too."""
    first = {present: earlier for earlier, present in EARLIER_KEYS.items()}
    unknown = ("cost", "shortest", "longest", "bfloat16", "earlier_chunks", "earlier_hops")  # to earlier versions
    table = {key: value for key, value in table_of(entry).items() if key not in unknown}
    return json.dumps({first.get(key, key): value for key, value in table.items()}, ensure_ascii=False)


def _on_one_line(items: str) -> str:
    # Not splitlines: it also splits at characters that a text may contain.
    return ", ".join(line.strip(" ").removesuffix(",") for line in items.rstrip("\n").split("\n"))


RESERVED = ("wish", "preset")
"""Tables of a registry file that are not entries but hold tables of another kind."""


@lru_cache(4)
def _parsed(text: str, path: Path) -> dict[str, Any]:
    """Parse TOML. Entries, wishes and presets are read apart, and parsing takes as long as all else of `list`."""
    import tomllib  # imported late: `--version` should start fast

    if any(line.count(".") > DOTS for line in text.splitlines()):
        raise RegistryError(f"{path} has a line with more than {DOTS} dots, which would take too long to read")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # or too long a number
        raise RegistryError(f"{path} is not valid TOML: {error}") from error


def _text(path: Path) -> str:
    try:
        return read_text(path, LIMIT)
    except OSError as error:
        raise RegistryError(f"cannot read the registry {path}: {error.strerror}") from error
    except ValueError as error:  # not UTF-8
        raise RegistryError(f"{path} is not valid TOML: {error}") from error


def document(path: Path) -> dict[str, Any]:
    """Parse a registry file.

    Raises:
        RegistryError: it is missing or not TOML.
    """
    return _parsed(_text(path), path)


def _is_reserved(name: str, table: object) -> bool:
    """Return whether a table of a file is not an entry. A model may have such a name: earlier versions allowed it."""
    return name in RESERVED and not (isinstance(table, dict) and "architecture" in table)


@lru_cache(4)
def _entries_of(text: str, path: Path, folder: Path) -> dict[str, ModelEntry]:  # noqa: ARG001  # sources depend on it
    """Make entries of a file's text. A command asks for them many times, and checking takes longer than parsing."""
    tables = _parsed(text, path)
    return {name: entry_of(name, table, path) for name, table in tables.items() if not _is_reserved(name, table)}


def read(path: Path) -> dict[str, ModelEntry]:
    """Read the entries of a registry file, in its order.

    Raises:
        RegistryError: it is missing or not TOML, or one of its tables is invalid.
    """
    return dict(_entries_of(_text(path), path, path.absolute().parent))


def read_reserved(path: Path, kind: str) -> dict[str, dict[str, Any]]:
    """Read the tables of one of the `RESERVED` kinds in a registry file, unchecked: name -> table.

    Raises:
        RegistryError: the file cannot be read, or one of them is not a table.
    """
    tables = document(path).get(kind, {})
    if not _is_reserved(kind, tables):
        return {}
    if not isinstance(tables, dict) or not all(isinstance(table, dict) for table in tables.values()):
        raise RegistryError(f"{path}: [{kind}] holds tables, each [{kind}.NAME]")
    return tables


def packaged_path() -> Path:
    """Return the package's own models.toml: inside the package in a wheel, at the top in a checkout."""
    package = Path(__file__).parents[1]
    installed = package / "models.toml"
    return installed if installed.is_file() else package.parents[1] / "models.toml"


def files(more: Path | None = None) -> list[Path]:
    """Return the registry files that there are: the package's, the user's own, `more`. Later ones override others."""
    found = [packaged_path()]
    with suppress(RegistryError):
        own = user_folder() / "models.toml"
        # Path.is_file raises for a folder that may not be entered.
        found += [own] if os.path.isfile(own) else []  # noqa: PTH113
    return found + ([more] if more else [])


def entries(more: Path | None = None) -> dict[str, ModelEntry]:
    """Return all models by name: the package's, then the user's own, then those in `more`.

    Args:
        more: another registry file. Later files override earlier ones.

    Raises:
        RegistryError: a registry cannot be read. Only the user's own may be missing.
    """
    return {name: entry for file in files(more) for name, entry in read(file).items()}


def select(
    models: Iterable[ModelEntry], stems: str | None = None, architecture: str | None = None, licence: str | None = None
) -> list[ModelEntry]:
    """Return the entries that match all criteria.

    Args:
        models: entries to choose from.
        stems: comma-separated names, all of which the model gives.
        architecture: words of the architecture's name, in any spelling: "mel-roformer".
        licence: part of the licence's name, in any letter case; "none" for weights whose licence is not stated.
    """
    names = {name.strip().lower() for name in (stems or "").split(",")} - {""}
    words = set(re.findall(r"[a-z0-9]+", (architecture or "").lower()))
    return [
        entry
        for entry in models
        if names <= {name.lower() for name in entry.outputs}
        and words <= set(re.findall(r"[a-z0-9]+", entry.architecture.lower()))
        and (licence is None or licence.lower() in (entry.license.lower() or "none"))
    ]


def find(name: str, more: Path | None = None) -> ModelEntry:
    """Return the model of that name; `more` as in `entries`.

    Raises:
        RegistryError: there is no such model.
    """
    models = entries(more)
    if name not in models:
        hint = did_you_mean(name, models) or "; see them all with: stemsplit list --all"
        raise RegistryError(f"no model named {name!r}{hint}")
    return models[name]

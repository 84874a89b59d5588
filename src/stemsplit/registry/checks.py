"""Checks the values of registry entries, and says what is wrong with them."""

import re
from collections.abc import Mapping
from dataclasses import MISSING, fields
from functools import cache
from typing import Any, get_args, get_origin, get_type_hints

from stemsplit.choices import WindowName
from stemsplit.disk.folder import is_plain
from stemsplit.registry.entry import MOST_SHIFTS, SCHEMES, SHOWN, ModelEntry, redacted
from stemsplit.words import did_you_mean

LARGEST = 10**15
"""Largest size of weights in bytes; a larger one is a mistake."""

COSTLIEST = 10**9
"""Largest cost in billions of operations for a second; a larger one is a mistake."""

DEPTH = 20
"""Levels to which a config's tables may be nested."""

LINE = 60
"""Largest length of a recommendation, which has to fit on a line beside the model's name."""

REQUIRED = tuple(
    field.name
    for field in fields(ModelEntry)
    if field.name != "name" and field.default is MISSING and field.default_factory is MISSING
)
"""Keys that every table must have."""


@cache
def _types() -> dict[str, Any]:
    """Return the type of each key that a table may have."""
    return {key: type_ for key, type_ in get_type_hints(ModelEntry).items() if key != "name"}


def _fits(value: object, wanted: Any) -> bool:
    """Return whether a TOML value has the type of an entry's field."""
    if get_origin(wanted) is tuple:
        return isinstance(value, list) and all(type(item) is get_args(wanted)[0] for item in value)
    if get_origin(wanted) is not None:
        return isinstance(value, dict)
    return type(value) is wanted or (wanted is float and type(value) is int)


def _described(wanted: Any) -> str:
    """Return the type of an entry's field in words."""
    if get_origin(wanted) is tuple:
        return "a list of texts" if get_args(wanted)[0] is str else "a list of whole numbers"
    kinds = {str: "a text", int: "a whole number", float: "a number", bool: "true or false"}
    return kinds.get(wanted, "a table")


def _shown(value: object) -> str:
    """Return a value as a message shows it: shortened, and without passwords."""
    if isinstance(value, str):
        return repr(redacted(value))
    if isinstance(value, list | dict):
        return "a list" if isinstance(value, list) else "a table"
    return repr(value)[:SHOWN]


def _is_too_deep(value: object) -> bool:
    """Return whether a value is nested so deeply that printing or writing it could exhaust the stack."""
    level = [value]
    for _ in range(DEPTH):
        tables = [inner for inner in level if isinstance(inner, dict | list)]
        if not tables:
            return False
        level = [item for inner in tables for item in (inner.values() if isinstance(inner, dict) else inner)]
    return bool(level)


def table_problem(table: Mapping[str, object]) -> str:
    """Return what is wrong with a table's keys or the types of its values; empty if nothing is."""
    types = _types()
    for key, value in table.items():
        if key not in types:
            return f"has an unknown key {key!r}{did_you_mean(key, types)}"
        if not _fits(value, types[key]):
            return f"{key} has the wrong type: {_shown(value)}; it must be {_described(types[key])}"
        if _is_too_deep(value):
            return f"{key} is nested too deeply"
    missing = [key for key in REQUIRED if key not in table]
    return f"lacks {', '.join(missing)}" if missing else ""


def _source_problem(source: str) -> str:
    """Return what is wrong with a source; empty if nothing is."""
    if not source.isprintable():
        return "a source contains a character that cannot be printed"
    if not source.startswith(SCHEMES):
        return f"the source {redacted(source)!r} must start with one of {', '.join(SCHEMES)}"
    if source.startswith("package:") and not is_plain(source.removeprefix("package:")):
        return f"the source {source[:SHOWN]!r} is not the name of a file in stemsplit's own folder"
    return ""


def entry_problem(entry: ModelEntry) -> str:
    """Return what is wrong with the values of an entry, all of the right types; empty if nothing is."""
    limits = {"sample_rate": 1_000_000, "channels": 64, "chunk": 2**28, "hop": 2**28, "shifts": MOST_SHIFTS}
    for key, most in limits.items():
        if not 1 <= getattr(entry, key) <= most:
            return f"{key} must be between 1 and {most}"
    if entry.window not in list(WindowName):
        return f"window must be one of {', '.join(WindowName)}, not {_shown(entry.window)}"
    if entry.hop > entry.chunk:
        return "hop must not be longer than chunk"
    if not 0 <= entry.shortest <= entry.chunk:
        return "shortest must be between 0 and chunk"
    if entry.longest and not entry.chunk <= entry.longest <= 2**28:
        return f"longest must be 0, or between chunk and {2**28}"
    if len(entry.earlier_chunks) != len(entry.earlier_hops):
        return "earlier_chunks and earlier_hops must be of the same versions"
    if not all(1 <= hop <= chunk <= 2**28 for chunk, hop in zip(entry.earlier_chunks, entry.earlier_hops, strict=True)):
        return "each of earlier_hops must be between 1 and that of earlier_chunks"
    if not entry.stems or not all(entry.stems) or len({name.casefold() for name in entry.outputs}) < len(entry.outputs):
        return "stems and residual must be different names, and there must be at least one stem"
    if unsafe := [stem for stem in entry.outputs if not re.fullmatch(r"[\w][\w .+-]*", stem)]:
        return f"the stem {_shown(unsafe[0])} cannot be used as a file name"
    if problems := list(filter(None, map(_source_problem, entry.sources))):
        return problems[0]
    if not re.fullmatch("([0-9a-f]{64})?", entry.sha256) or not re.fullmatch("([0-9a-f]{40})?", entry.git_sha1):
        return "sha256 must be 64 and git_sha1 40 lower-case hexadecimal digits"
    if not entry.recommended.isprintable() or len(entry.recommended) > LINE:
        return f"recommended must be one line of at most {LINE} characters"
    if twice := [name for name in entry.from_weights if name in entry.config]:
        return f"{_shown(twice[0])} is both in config and in from_weights"
    if not 0 <= entry.cost <= COSTLIEST:
        return f"cost must be between 0 and {COSTLIEST}"
    return "" if 0 <= entry.size <= LARGEST else f"size must be between 0 and {LARGEST}"

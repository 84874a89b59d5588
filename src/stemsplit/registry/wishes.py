"""Reads the wishes of a registry: what people want of a song, and what decides which model is recommended for it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stemsplit.errors import RegistryError
from stemsplit.registry import files, read_reserved
from stemsplit.words import did_you_mean

LISTS = ("stems", "without")
"""Keys of a wish's table that are lists of stems."""

TEXTS = ("title", "test_set", "model", "reason")
"""Keys of a wish's table that are lines of text."""

LINE = 100
"""Largest length of such a line."""


@dataclass(frozen=True)
class Wish:
    """One table `[wish.NAME]` of models.toml.

    Args:
        name: name that a user types after `stemsplit list`.
        stems: stems that a model must give to be a candidate.
        without: stems that a candidate must not give, as they tell of another purpose.
        title: what the wish is, in a few words; empty if the name says it.
        test_set: test set whose published scores decide; empty for the one that most candidates were tested on.
        model: name of the recommended model where no test set can decide; empty if the scores do.
        reason: why it is that model, on one line.
    """

    name: str
    stems: tuple[str, ...]
    without: tuple[str, ...] = ()
    title: str = ""
    test_set: str = ""
    model: str = ""
    reason: str = ""


def _problem(table: Mapping[str, Any]) -> str:
    """Return what is wrong with a wish's table; empty if nothing is."""
    if unknown := [key for key in table if key not in (*LISTS, *TEXTS)]:
        return f"has an unknown key {unknown[0]!r}{did_you_mean(unknown[0], (*LISTS, *TEXTS))}"
    for key in LISTS:
        stems = table.get(key, [])
        if not isinstance(stems, list) or not all(isinstance(stem, str) and stem for stem in stems):
            return f"{key} must be a list of names"
    if not table.get("stems"):
        return "lacks stems"
    for key in TEXTS:
        text = table.get(key, "")
        if not isinstance(text, str) or not text.isprintable() or len(text) > LINE:
            return f"{key} must be one line of at most {LINE} characters"
    if bool(table.get("model")) != bool(table.get("reason")):
        return "needs both model and reason, or neither: without them, scores decide"
    return ""


def _wish(name: str, table: Mapping[str, Any], path: Path) -> Wish:
    if problem := _problem(table):
        raise RegistryError(f"{path}: [wish.{name}] {problem}")
    texts = {key: table[key] for key in TEXTS if key in table}
    return Wish(name, stems=tuple(table["stems"]), without=tuple(table.get("without", ())), **texts)


def wishes(more: Path | None = None) -> dict[str, Wish]:
    """Return all wishes by name: the package's, then the user's own, then those in `more`, as `registry.entries`.

    Raises:
        RegistryError: a registry cannot be read, or a wish is invalid.
    """
    return {
        name: _wish(name, table, path) for path in files(more) for name, table in read_reserved(path, "wish").items()
    }


def stems_of(names: Iterable[str], known: Mapping[str, Wish], outputs: Iterable[str]) -> list[str]:
    """Return the stems that are meant by names of stems or of wishes, in any letter case.

    Args:
        names: names of stems or of wishes; a stem takes precedence over a wish of its name.
        known: all wishes by name.
        outputs: names of all models' stems.
    """
    stems, found = {output.casefold() for output in outputs}, dict[str, bool]()
    by_name = {name.casefold(): wish for name, wish in known.items()}
    for name in names:
        wish = None if name.casefold() in stems else by_name.get(name.casefold())
        found |= dict.fromkeys(wish.stems if wish else (name,), True)
    return list(found)

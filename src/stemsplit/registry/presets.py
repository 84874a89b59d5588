"""Reads the presets of a registry: models that work together, under a name of their own."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stemsplit.choices import CombineName
from stemsplit.errors import RegistryError
from stemsplit.registry import AUTO, entries, files, packaged_path, read_reserved
from stemsplit.words import did_you_mean

KEYS = ("description", "members", "weights", "combine", "route")
"""Keys of a preset's table."""

LINE = 100
"""Largest length of a description."""

MOST = 32
"""Largest number of models that work together."""


@dataclass(frozen=True)
class Preset:
    """One table `[preset.NAME]` of models.toml: an ensemble, or a route.

    Args:
        name: name of the preset, which `--model` takes.
        description: what the preset is for, on one line.
        members: names of the models of an ensemble, all of them in the registry; empty for a route.
        weights: weight of each member in the mean; empty if they are equal.
        combine: how the members' estimates of a stem become one.
        route: stem -> name of its model or of the ensemble that makes it; the stem "rest" stands for all others. It is
            empty for an ensemble.
        origin: file of the table.
    """

    name: str
    description: str
    members: tuple[str, ...] = ()
    weights: tuple[float, ...] = ()
    combine: CombineName = CombineName.mean
    route: Mapping[str, str] = field(default_factory=dict)
    origin: Path = Path()

    @property
    def place(self) -> str:
        """Where the preset is defined, for messages."""
        return f"{self.origin}: [preset.{self.name}]"


def _is_line(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= LINE and value.isprintable()


def _problem(name: str, table: Mapping[str, Any]) -> str:
    """Return what is wrong with a preset's table; empty if nothing is."""
    members, weights, route = table.get("members", []), table.get("weights", []), table.get("route", {})
    if not _is_line(name):
        return f"needs a name of one line, of at most {LINE} characters"
    if name == AUTO:
        return f"needs another name: {AUTO!r} stands for the recommended model"
    if unknown := [key for key in table if key not in KEYS]:
        return f"has an unknown key {unknown[0]!r}{did_you_mean(unknown[0], KEYS)}"
    if not _is_line(table.get("description")):
        return f"needs a description, one line of at most {LINE} characters"
    if bool(members) == bool(route):
        return "needs either members, a list of models, or route, a table of stems and their models"
    if not isinstance(members, list) or not all(map(_is_line, members)) or not (route or 2 <= len(members) <= MOST):
        return f"members must be a list of 2 to {MOST} names of models"
    if not isinstance(route, dict) or not all(map(_is_line, (*route, *route.values()))) or len(route) > MOST:
        return "route must be a table of stems and names of models"
    if len({stem.casefold() for stem in route}) < len(route):
        return "has two models for one stem in its route"
    if route and (weights or "combine" in table):
        return "has weights or combine, which are for an ensemble, not for a route"
    if not isinstance(weights, list) or any(type(weight) not in (int, float) for weight in weights):
        return "weights must be a list of numbers"
    if any(abs(weight) > sys.float_info.max for weight in weights):
        return "weights must be finite"
    if weights and len(weights) != len(members):
        return f"has {len(weights)} weights for {len(members)} members"
    if table.get("combine", "mean") not in list(CombineName):
        return f"combine must be one of {', '.join(CombineName)}"
    return ""


def _preset(name: str, table: Mapping[str, Any], path: Path) -> Preset:
    if problem := _problem(name, table):
        raise RegistryError(f"{path}: [preset.{name}] {problem}")
    return Preset(
        name,
        table["description"],
        members=tuple(table.get("members", ())),
        weights=tuple(map(float, table.get("weights", ()))),
        combine=CombineName(table.get("combine", "mean")),
        route=table.get("route", {}),
        origin=path,
    )


def presets(more: Path | None = None) -> dict[str, Preset]:
    """Return all presets by name: the package's, then the user's own, then those in `more`, as `registry.entries`.

    A model takes precedence over the package's preset of its name.

    Raises:
        RegistryError: a registry cannot be read, or a preset is invalid or has the name of a model.
    """
    known = entries(more)
    found: dict[str, Preset] = {}
    for path in files(more):
        for name, table in read_reserved(path, "preset").items():
            if name not in known:
                found[name] = _preset(name, table, path)
            elif path != packaged_path():
                raise RegistryError(f"{path}: [preset.{name}] has the name of a model; give it another")
    return found

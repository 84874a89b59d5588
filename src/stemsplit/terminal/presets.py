"""Shows several models that work together, presets among them: in `list`, in `info`, as data."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from stemsplit.engine.combination.entry import Combination, Source
from stemsplit.registry.presets import Preset
from stemsplit.terminal.models import PLACE, entry_as_data
from stemsplit.terminal.tables import Line, aligned
from stemsplit.words import printable, size

Shown = tuple[Preset, Combination]
"""A preset, and what it means."""


def licences(source: Combination) -> str:
    """Return the licences of all models, each once."""
    return ", ".join(dict.fromkeys(entry.license or "not stated" for entry in source.entries))


def sizes(source: Combination) -> str:
    """Return the size of the weights of all models together, as far as it is known."""
    known = [entry.size for entry in source.entries if entry.size]
    least = "" if len(known) == len(source.entries) else "over "
    return f"{least}{size(sum(known))}" if known else "?"


def row(shown: Shown) -> tuple[str, ...]:
    """Return a preset's cells under the columns of the table of models."""
    preset, source = shown
    cells = (preset.name, ", ".join(source.outputs), sizes(source), licences(source), preset.description)
    return tuple(map(printable, cells))


def listing(presets: Sequence[Shown]) -> list[Line]:
    """Return the lines that show presets on a terminal."""
    if not presets:
        return []
    cells = [(preset.name, sizes(source), licences(source)) for preset, source in presets]
    lines: list[Line] = [("several models together (presets), no score of which was measured", "bold")]
    for line, (preset, _) in zip(aligned(cells), presets, strict=True):
        lines += [(f"  {printable(line)}", ""), (f"    {printable(preset.description)}", "")]
    return [*lines, ("", "")]


def maker(source: Combination, stem: str) -> str:
    """Return which models make a stem, and how."""
    taken = dict(source.takes).get(stem)
    if taken is None:
        return "what the other stems leave of the song"
    names = [source.members[index].name for index in taken]
    if len(names) == 1:
        return names[0]
    shares = [source.weights[index] for index in taken]
    weighted = [f"{name}:{share:g}" for name, share in zip(names, shares, strict=True)]
    return f"{source.combine} of {', '.join(weighted if len({*shares}) > 1 else names)}"


def facts(source: Combination, preset: Preset | None, paths: Mapping[str, Path | None]) -> list[tuple[str, str]]:
    """Return what to know about several models that work together: pairs of a name and a text.

    Args:
        source: the models.
        preset: the preset that they are; None if the user put them together.
        paths: name of each model -> file of its weights; None if they are not on this machine.
    """
    found = [("name", source.name)]
    found += [("description", preset.description)] if preset else []
    found += [(stem, maker(source, stem)) for stem in source.outputs]
    found += [("stems add up", "yes" if source.adds_up else "no"), ("size", sizes(source))]
    found += [("score", "none: nobody has published how well these models work together")]
    for entry in source.entries:
        note = f" ({entry.license_note})" if entry.license_note else ""
        place = f"{PLACE}: {paths[entry.name]}" if paths[entry.name] else f"not {PLACE}"
        found.append(
            ("model", f"{entry.name}: {size(entry.size)}, license {entry.license or 'not stated'}{note}, {place}")
        )
    return [(name, printable(text)) for name, text in found]


def as_data(source: Combination, preset: Preset | None, paths: Mapping[str, Path | None]) -> dict[str, Any]:
    """Return the same as JSON has it, with each model as `info --json` has it."""

    def member(one: Source) -> dict[str, Any]:
        return as_data(one, None, paths) if isinstance(one, Combination) else entry_as_data(one, paths[one.name])

    return {
        "name": source.name,
        "description": preset.description if preset else "",
        "outputs": list(source.outputs),
        "stems": {stem: [source.members[index].name for index in indices] for stem, indices in source.takes},
        "residual": source.residual,
        "adds_up": source.adds_up,
        "combine": source.combine.value,
        "weights": list(source.weights),
        "members": [member(one) for one in source.members],
    }

"""Understands the models that `stemsplit compare` is given, each with settings of its own."""

import re
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from stemsplit.choices import CombineName, Estimates, PrecisionName, WindowName
from stemsplit.cli import choose, several
from stemsplit.cli.options import usage_errors

if TYPE_CHECKING:
    from stemsplit.engine.combination.entry import Source


MODELS = "--models"


def complete_models(incomplete: str) -> list[tuple[str, str]]:
    """Complete a list of models' names, for the shell."""
    *before, last = incomplete.split(",")
    found = choose.complete_model(last)
    return [(",".join([*before, name]), description) for name, description in found if name not in before]


SETTINGS = ("chunk_seconds", "overlap", "window", "estimates", "batch_size", "precision", "tta", "shifts", "combine")
"""Settings that each model may have of its own."""

SETTING = re.compile(r"([A-Za-z][A-Za-z_-]*)=(.*)", re.S)


def _number(text: str, least: float, most: float) -> float:
    value = float(text)
    if not isfinite(value) or not least <= value <= most:
        raise ValueError(f"it must be from {least:g} to {most:g}")
    return value


def _switch(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValueError("it must be true or false")
    return text.lower() == "true"


def setting(text: str) -> tuple[str, "str | int | float"]:
    """Return the name and value of a model's own setting, such as `overlap=0.75`, as `Separator` takes them.

    Raises:
        typer.BadParameter: there is no such setting, or its value is impossible.
    """
    from stemsplit.words import did_you_mean

    option, _, value = text.partition("=")
    name = option.replace("-", "_").lower()
    known = [each.replace("_", "-") for each in SETTINGS]
    if name not in SETTINGS:
        hint = did_you_mean(option, known) or f"; a model has {', '.join(known)}"
        raise typer.BadParameter(f"there is no setting {option!r}{hint}", param_hint=MODELS)
    try:
        match name:
            case "chunk_seconds":
                return name, _number(value, 0.1, 600)
            case "overlap":
                return name, _number(value, 0, 0.99)
            case "batch_size":
                return name, int(_number(str(int(value)), 1, 1 << 20))
            case "window":
                return name, WindowName(value).value
            case "combine":
                return name, CombineName(value).value
            case "tta":
                return name, _switch(value)
            case "shifts":
                return name, int(_number(str(int(value)), 1, several.MOST_SHIFTS))
            case "estimates":
                return name, Estimates(value).value
        return name, PrecisionName(value).value
    except ValueError as error:
        raise typer.BadParameter(f"{text!r} is impossible: {error}", param_hint=MODELS) from None


def named(words: list[str]) -> list[tuple[str, dict[str, Any]]]:
    """Return models with their own settings, from the parts of `one,two:overlap=0.75,window=hann`.

    Raises:
        typer.BadParameter: a setting is impossible, or stands before all models.
    """
    models: list[tuple[str, dict[str, Any]]] = []
    for word in words:
        name, _, first = word.rpartition(":")
        # A file's name may have an equals sign, too.
        if SETTING.fullmatch(word) and not Path(word).exists():
            if not models:
                raise typer.BadParameter(f"{word!r} belongs to a model; write NAME:{word}", param_hint=MODELS)
            models[-1][1].update([setting(word)])
        elif name and SETTING.fullmatch(first) and not Path(word).exists():
            if SETTING.fullmatch(name.rpartition(":")[2]) and ":" in name and not Path(name).exists():
                raise typer.BadParameter(f"{word!r} has a colon between two settings; write a comma", param_hint=MODELS)
            models.append((name, dict([setting(first)])))
        else:
            models.append((word, {}))
    return [(name, {each: own[each] for each in SETTINGS if each in own}) for name, own in models]


Contender = tuple[str, dict[str, Any]]
"""A model or several, as typed, and its own settings."""


def chosen(
    models: list[Contender], routes: list[str], combine: CombineName | None, registry_file: Path | None, quiet: bool
) -> "list[Source]":
    """Return what is compared: first the models and ensembles, then the routes.

    Raises:
        typer.BadParameter: no model is named, one is named twice with the same settings, or a text is malformed.
        RegistryError: no model has one of the names.
        WeightsError: a checkpoint file cannot be used.
    """
    if not models and not routes:
        raise typer.BadParameter("name at least one model; separate several with commas", param_hint=MODELS)
    if twice := [name for place, (name, own) in enumerate(models) if (name, own) in models[:place]]:
        advice = f"give it other settings, e.g. {twice[0]}:overlap=0.75"
        raise typer.BadParameter(f"{twice[0]} is named twice; {advice}", param_hint=MODELS)
    if twice := [route for place, route in enumerate(routes) if route in routes[:place]]:
        raise typer.BadParameter(f"{twice[0]} is named twice", param_hint="--route")
    # What is assumed about a checkpoint is printed once.
    known, found, has_combined = several.models(registry_file, quiet=quiet), list["Source"](), False
    with usage_errors(MODELS):
        for name, own in models:
            known.combine, known.has_combined = CombineName(own["combine"]) if "combine" in own else combine, False
            found.append(known.source(name))
            if "combine" in own:
                known.check_combine(f"{name}:combine={known.combine}")
            has_combined |= known.has_combined
    with usage_errors("--route"):
        known.combine = combine
        found += [known.route(route) for route in routes]
    with usage_errors():
        known.has_combined |= has_combined
        known.check_combine("--combine")
    return found

"""Defines the options that choose what splits a song, one model or several, and finds what they mean."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.choices import CombineName
from stemsplit.cli import choose
from stemsplit.cli.options import COMPUTING, usage_errors

if TYPE_CHECKING:
    from stemsplit.engine.combination.entry import Source
    from stemsplit.engine.combination.typed import Models

SEVERAL = "Several models"
"""Panel of the help."""

MOST_SHIFTS = 64
"""Largest number of shifts, as in `registry.entry`, which takes time to import."""


def limit(text: str | None) -> int | None:
    """Return the limit of `--fit-memory` in bytes; None if there is none.

    Raises:
        typer.BadParameter: the text is not a size.
    """
    from stemsplit.words import bytes_in

    with usage_errors("--fit-memory"):
        return None if text is None else bytes_in(text)


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        help="Name of a model or preset, as shown by `stemsplit list`; a checkpoint file; auto, the recommended model "
        "for the stems asked for; or several, whose stems are combined: a+b, or with weights a:0.6+b:0.4. Default: "
        "the built-in model.",
        autocompletion=choose.complete_model,
    ),
]
Ensemble = Annotated[
    list[str] | None,
    typer.Option(
        "--ensemble",
        metavar="MODEL,MODEL",
        help="Combine the stems of several models, as --model a+b does.",
        rich_help_panel=SEVERAL,
        autocompletion=choose.complete_model,
    ),
]
Combine = Annotated[
    CombineName | None,
    typer.Option(
        "--combine",
        help="How several estimates of a stem become one. Default: their mean.",
        rich_help_panel=SEVERAL,
    ),
]
Route = Annotated[
    list[str] | None,
    typer.Option(
        "--route",
        metavar="STEM=MODEL,...",
        help="Take each stem from a model of its own, e.g. vocals=mel-roformer-vocals,rest=bs-roformer.",
        rich_help_panel=SEVERAL,
        autocompletion=choose.complete_route,
    ),
]
Tta = Annotated[
    bool,
    typer.Option(
        "--tta",
        help="Also split the song with its polarity inverted, its channels swapped, and as mid and side, and take the "
        "mean (test-time augmentation). It takes up to four times as long.",
        rich_help_panel=COMPUTING,
    ),
]
Shifts = Annotated[
    int | None,
    typer.Option(
        "--shifts",
        min=1,
        max=MOST_SHIFTS,
        help="Split the song this many times, with chunks at other places, and take the mean.",
        rich_help_panel=COMPUTING,
    ),
]
FitMemory = Annotated[
    str | None,
    typer.Option(
        "--fit-memory",
        metavar="SIZE",
        help="Largest memory for the networks' weights, e.g. 6G. Several models that do not fit take turns.",
        rich_help_panel=COMPUTING,
    ),
]


def models(registry_file: Path | None, combine: CombineName | None = None, quiet: bool = False) -> "Models":
    """Return the models that can be named; what has to be assumed about a checkpoint is printed.

    Raises:
        RegistryError: a registry cannot be read.
    """
    from stemsplit.engine.combination.typed import Models

    # What was typed are names and paths, never entries.
    return Models(lambda name: choose.model(str(name), registry_file, quiet=quiet, first=False), registry_file, combine)


def source(
    model: str | None,
    ensemble: list[str] | None,
    route: list[str] | None,
    combine: CombineName | None,
    registry_file: Path | None,
    config: Path | None = None,
    settings: list[str] | None = None,
    *,
    quiet: bool = False,
) -> "Source":
    """Return what splits the songs: a model, or several together.

    Args:
        model: name, path or ensemble; None for the built-in model.
        ensemble: texts of `--ensemble`.
        route: texts of `--route`.
        combine: how the estimates of ensembles are combined; None for the mean, or a preset's own way.
        registry_file: registry with more models.
        config: config file of a checkpoint.
        settings: values for the checkpoint, each NAME=VALUE.
        quiet: whether to print no warnings and hints.

    Raises:
        typer.BadParameter: the options contradict each other, or one is malformed.
        RegistryError: there is no such model, or the config is invalid.
        WeightsError: a checkpoint file cannot be used.
    """
    from stemsplit.registry import DEFAULT_MODEL

    given = {"--model": model is not None, "--ensemble": bool(ensemble), "--route": bool(route)}
    if len(both := [name for name, is_there in given.items() if is_there]) > 1:
        raise typer.BadParameter(f"{both[0]} and {both[1]} both choose the models; leave out one of them")
    text = model if model is not None else DEFAULT_MODEL
    known = models(registry_file, combine, quiet)
    single = not ensemble and not route and known.is_single(text)
    if single:
        known.look_up = lambda name: choose.model(str(name), registry_file, config, settings, quiet=quiet)
    elif config or settings:
        option = "--config" if config else "--set"
        what = f"{option} is about one checkpoint; with several models, describe it in a file for --registry"
        raise typer.BadParameter(what)
    with usage_errors():
        found = known.route(route) if route else known.ensemble(ensemble) if ensemble else known.source(text)
        known.check_combine("--combine")
    return found

"""Runs `stemsplit compare`."""

import re
from contextlib import nullcontext
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.choices import BitDepth, CombineName, Estimates, FormatName, PrecisionName, WindowName
from stemsplit.cli import choose, several
from stemsplit.cli.options import (
    SCRIPTS,
    BatchSize,
    Bitrate,
    ChunkSeconds,
    Device,
    EstimatesChoice,
    Format,
    Overlap,
    Precision,
    Quiet,
    Threads,
    Window,
    likely_song,
    listed,
    seconds,
    usage_errors,
    writable,
)

if TYPE_CHECKING:
    from stemsplit.comparison.comparison import Comparison
    from stemsplit.comparison.plan import Plan
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


def compare(
    song: Annotated[
        Path,
        typer.Argument(metavar="SONG", readable=False, callback=likely_song, help="The song to split with each model."),
    ],
    models: Annotated[
        list[str] | None,
        typer.Option(
            MODELS,
            "-m",
            help="Names of models, as shown by `stemsplit list`, checkpoint files, or several models together (a+b), "
            "separated by commas. Each may have settings of its own: NAME:overlap=0.75,tta=true.",
            autocompletion=complete_models,
        ),
    ] = None,
    combine: several.Combine = None,
    routes: Annotated[
        list[str] | None,
        typer.Option(
            "--route",
            metavar="STEM=MODEL,...",
            help="Also compare models that each give stems of their own, e.g. vocals=mel-roformer-vocals,"
            "rest=bs-roformer. May be repeated.",
            rich_help_panel=several.SEVERAL,
            autocompletion=choose.complete_route,
        ),
    ] = None,
    start: Annotated[
        str | None, typer.Option("--start", help="Start of the excerpt, e.g. 1:00. Default: a third into the song.")
    ] = None,
    duration: Annotated[str, typer.Option("--duration", help="Length of the excerpt, up to 10 minutes.")] = "20s",
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            readable=False,
            callback=writable,
            help="Folder to write to; each excerpt gets a subfolder.",
        ),
    ] = Path("compare"),
    stems: Annotated[
        str | None,
        typer.Option(
            "--stems", "-s", help="Stems to compare, e.g. vocals,drums. Default: those that at least two models have."
        ),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            "--references",
            readable=False,
            help="Folder with the song's true stems (vocals.wav and so on), to score each model against them.",
        ),
    ] = None,
    format_: Format = FormatName.wav,
    bit_depth: Annotated[
        BitDepth | None, typer.Option("--bit-depth", help="Bits per sample of the clips. Default: 24 for wav and flac.")
    ] = None,
    bitrate: Bitrate = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the excerpt's folder if it already exists.")] = False,
    quiet: Quiet = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the figures as JSON on stdout.", rich_help_panel=SCRIPTS)
    ] = False,
    device: Device = "auto",
    chunk_seconds: ChunkSeconds = None,
    overlap: Overlap = None,
    window: Window = None,
    estimates: EstimatesChoice = Estimates.consistent,
    batch_size: BatchSize = None,
    precision: Precision = PrecisionName.auto,
    threads: Threads = None,
    tta: several.Tta = False,
    shifts: several.Shifts = None,
    fit_memory: several.FitMemory = None,
    registry_file: choose.RegistryFile = None,
) -> None:
    """Write clips of one excerpt from several models, to listen to.

    A clip holds what splitting the whole song would give for the excerpt.
    All clips of a stem are made equally loud: as loud as the true stem, if
    there is one, or else as the first model's clip. All figures are measured
    before that. "vs 1" is the energy of the difference from model 1's clip,
    relative to the louder of the two clips. The paths of the clips go to
    stdout, messages to stderr.
    """
    from stemsplit import libraries
    from stemsplit.audio import formats
    from stemsplit.cli.loading import check_memory
    from stemsplit.cli.obtain import obtain_all
    from stemsplit.comparison import comparison, plan
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.engine.combination.entry import adjusted
    from stemsplit.terminal import console
    from stemsplit.terminal.comparison import comparison_as_data, comparison_in_lines
    from stemsplit.terminal.stdout import print_json, print_paths
    from stemsplit.words import clock

    begin, length = None if start is None else seconds(start), seconds(duration)
    if not 0 < length <= plan.LONGEST_SECONDS:
        longest = clock(plan.LONGEST_SECONDS)
        raise typer.BadParameter(f"--duration must be longer than 0 s and at most {longest}")
    if models is None and not routes:
        raise typer.BadParameter("missing option '--models'; name the models to compare, separated by commas")
    limit = several.limit(fit_memory)
    contenders = named(listed(models))
    entries = chosen(contenders, routes or [], combine, registry_file, quiet)
    contenders += [("", {}) for _ in routes or ()]
    entries = [
        adjusted(
            adjusted(entry, "with_chunks", chunk_seconds, overlap, window and window.value),
            "with_passes",
            tta or None,
            shifts,
        ).with_estimates(own.get("estimates", estimates))
        for entry, (_, own) in zip(entries, contenders, strict=True)
    ]
    with usage_errors():
        planned = plan.plan(
            song,
            entries,
            settings=[own for _, own in contenders],
            start=begin,
            duration=length,
            stems=None if stems is None else listed([stems]),
            reference_folder=references,
            out=output,
            file_format=formats.Format(format_, bit_depth, bitrate),
            force=force,
        )
    if caution := planned.format.caution(planned.song.channels, planned.song.speakers):
        console.warning(f"{song}: {caution}")
    for note in planned.song.notes:
        console.warning(f"{song}: {note}")
    # Before any download: a missing device, or a library that does not load, is reported at once. Both import PyTorch,
    # which takes seconds.
    from stemsplit.fast.device import dtype_of, pick_device

    used = [ChainEntry(entry) for entry in planned.entries]
    for models_, own in zip(used, planned.settings, strict=True):
        dtype_of(own.get("precision", precision.value), pick_device(device))
        check_memory(models_, limit, device, own.get("precision", precision.value))
    libraries.load_torchaudio()
    for models_ in used:
        obtain_all(models_, quiet)
    if not quiet:
        tell(planned, chosen=begin is not None or planned.duration == planned.song.seconds)
    settings = {
        "device": device,
        "batch_size": batch_size,
        "precision": precision.value,
        "threads": threads,
        "fit_memory": limit,
        "tell": console.warning,
    }
    try:
        found = run(planned, settings, quiet)
        figures = comparison_as_data(found)
        paths = comparison.write(found, figures, force)
    except KeyboardInterrupt:
        console.error("interrupted; no clip was left half-written")
        raise typer.Exit(130) from None
    if as_json:
        print_json(figures)
    else:
        print_paths(paths)
    if not quiet:
        for line in comparison_in_lines(found):
            console.note(line)


def tell(plan: "Plan", chosen: bool) -> None:
    """Print what is compared, and unless the user chose the excerpt, how to choose another."""
    from stemsplit.terminal import console

    names = plan.labels
    other = "" if chosen else "; another excerpt: --start 1:00"
    console.note(f"{plan.song.path}: {plan.span} by {', '.join(names)}{other}")
    if plan.left_out:
        left = (f"{stem} ({', '.join(names[place] for place in places)})" for stem, places in plan.left_out.items())
        console.note(f"not compared: {', '.join(left)}; to compare others: --stems")
    if plan.references and (missing := [stem for stem in plan.stems if stem not in plan.references]):
        console.note(f"no true stem of {', '.join(missing)} to score against")


def run(plan: "Plan", settings: dict[str, Any], quiet: bool) -> "Comparison":
    """Compare the models, and show which one is running."""
    from stemsplit.cli.loading import prepare_torch
    from stemsplit.comparison import comparison
    from stemsplit.terminal import console

    prepare_torch()
    with nullcontext() if quiet else console.PEOPLE.status("") as line:

        def show(place: int, share: float) -> None:
            label = f"{place + 1} of {len(plan.entries)}: {plan.labels[place]}"
            if line and console.PEOPLE.is_terminal:
                line.update(f"{label}, {share:.0%}")
            elif line and not share:
                console.note(label)

        return comparison.compare(plan, settings, show)

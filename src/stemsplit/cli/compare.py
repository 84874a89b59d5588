"""`stemsplit compare`."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.choices import BitDepth, FormatName, PrecisionName
from stemsplit.cli import choose
from stemsplit.cli.options import (
    SCRIPTS,
    BatchSize,
    ChunkSeconds,
    Device,
    Format,
    Overlap,
    Precision,
    Quiet,
    Threads,
    Window,
    listed,
    seconds,
    usage_errors,
)

if TYPE_CHECKING:
    from stemsplit.comparison.comparison import Comparison
    from stemsplit.comparison.plan import Plan
    from stemsplit.registry import ModelEntry


def complete_models(incomplete: str) -> list[tuple[str, str]]:
    """Lists of models' names that begin like that, for the shell."""
    *before, last = incomplete.split(",")
    found = choose.complete_model(last)
    return [(",".join([*before, name]), description) for name, description in found if name not in before]


def chosen(names: list[str], registry_file: Path | None, quiet: bool) -> "list[ModelEntry]":
    """The entries that the arguments mean.

    Raises:
        RegistryError: there is none of that name.
        WeightsError: a checkpoint's file cannot be used.
    """
    if not names:
        raise typer.BadParameter("name models, with commas between them", param_hint="--models")
    if twice := [name for place, name in enumerate(names) if name in names[:place]]:
        raise typer.BadParameter(f"{twice[0]} is named twice", param_hint="--models")
    return [choose.model(name, registry_file, quiet=quiet, first=False) for name in names]


def compare(
    song: Annotated[Path, typer.Argument(metavar="SONG", readable=False, help="One song.")],
    models: Annotated[
        list[str],
        typer.Option(
            "--models",
            "-m",
            help="From `stemsplit list`, or checkpoints' files, with commas between them.",
            autocompletion=complete_models,
        ),
    ],
    start: Annotated[
        str | None, typer.Option("--start", help="Where the part begins, e.g. 1:00. Default: a third into the song.")
    ] = None,
    duration: Annotated[str, typer.Option("--duration", help="Of the part, up to 10 minutes.")] = "20s",
    output: Annotated[
        Path, typer.Option("--output", "-o", readable=False, help="Gets a folder for this part of the song.")
    ] = Path("compare"),
    stems: Annotated[
        str | None,
        typer.Option("--stems", "-s", help="Compare these. Default: all that at least two of the models give."),
    ] = None,
    references: Annotated[
        Path | None,
        typer.Option(
            "--references",
            readable=False,
            help="Folder with the song's true stems, vocals.wav and so on: tells how close each model comes.",
        ),
    ] = None,
    format_: Format = FormatName.wav,
    bit_depth: Annotated[BitDepth | None, typer.Option("--bit-depth", help="Default: 24 for wav and flac.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Make the part's folder anew if it is there.")] = False,
    quiet: Quiet = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The figures as JSON on stdout.", rich_help_panel=SCRIPTS)
    ] = False,
    device: Device = "auto",
    chunk_seconds: ChunkSeconds = None,
    overlap: Overlap = None,
    window: Window = None,
    batch_size: BatchSize = None,
    precision: Precision = PrecisionName.auto,
    threads: Threads = None,
    registry_file: choose.RegistryFile = None,
) -> None:
    """Hear what models make of the same part of a song: clips side by side, all of a stem equally loud.

    Each clip is what splitting the whole song would give there, brought to the loudness of the stem's reference or else
    of the first model's clip. Figures are of the clips before that; "vs 1" is the energy of the difference from model
    1's, relative to the louder one. The paths go to stdout, all else to stderr.
    """
    from stemsplit import libraries
    from stemsplit.cli.obtain import obtain
    from stemsplit.comparison import comparison, plan
    from stemsplit.terminal import console
    from stemsplit.terminal.comparison import comparison_as_data, comparison_in_lines
    from stemsplit.terminal.stdout import print_json, print_paths
    from stemsplit.words import minutes

    begin, length = None if start is None else seconds(start), seconds(duration)
    if not 0 < length <= plan.LONGEST_SECONDS:
        longest = minutes(plan.LONGEST_SECONDS)
        raise typer.BadParameter(f"a part lasts more than 0 s and up to {longest}", param_hint="--duration")
    entries = chosen(listed(models), registry_file, quiet)
    entries = [entry.with_chunks(chunk_seconds, overlap, window and window.value) for entry in entries]
    with usage_errors():
        planned = plan.plan(
            song,
            entries,
            start=begin,
            duration=length,
            stems=None if stems is None else listed([stems]),
            reference_folder=references,
            out=output,
            format_=format_.value,
            bit_depth=bit_depth and bit_depth.value,
            force=force,
        )
    # Before any download: a device that is missing, or a library that does not load, is known at once. Both bring
    # PyTorch in, which takes seconds.
    plan.check_device(device, precision.value)
    libraries.load_torchaudio()
    for entry in entries:
        obtain(entry, quiet)
    if not quiet:
        tell(planned, chosen=begin is not None or planned.duration == planned.song.seconds)
    settings = {
        "device": device,
        "batch_size": batch_size,
        "precision": precision.value,
        "threads": threads,
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
    """Say what is compared; and, unless somebody chose the part, that another can be."""
    from stemsplit.terminal import console

    names = [entry.name for entry in plan.entries]
    other = "" if chosen else "; another part: --start 1:00"
    console.note(f"{plan.song.path}: {plan.span} by {', '.join(names)}{other}")
    if plan.left_out:
        left = (f"{stem} ({', '.join(names[place] for place in places)})" for stem, places in plan.left_out.items())
        console.note(f"left out: {', '.join(left)}; to compare others: --stems")
    if plan.references and (missing := [stem for stem in plan.stems if stem not in plan.references]):
        console.note(f"no reference of {', '.join(missing)}")


def run(plan: "Plan", settings: dict[str, Any], quiet: bool) -> "Comparison":
    """Compare, and show which model is at work."""
    from stemsplit.cli.loading import prepare_torch
    from stemsplit.comparison import comparison
    from stemsplit.terminal import console

    prepare_torch()
    with nullcontext() if quiet else console.PEOPLE.status("") as line:

        def show(place: int, share: float) -> None:
            label = f"{place + 1} of {len(plan.entries)}: {plan.entries[place].name}"
            if line and console.PEOPLE.is_terminal:
                line.update(f"{label}, {share:.0%}")
            elif line and not share:
                console.note(label)

        return comparison.compare(plan, settings, show)

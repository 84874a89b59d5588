"""`stemsplit split`, which is also what `stemsplit SONG` does."""

from enum import StrEnum
from functools import cache
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli import choose

if TYPE_CHECKING:
    from stemsplit.registry import ModelEntry
    from stemsplit.separator import Separator


class Format(StrEnum):
    """The audio files that can be written."""

    wav = "wav"
    flac = "flac"
    ogg = "ogg"
    mp3 = "mp3"


class BitDepth(StrEnum):
    """Bits of a sample; f is floating point."""

    b16 = "16"
    b24 = "24"
    b32f = "32f"


class WindowName(StrEnum):
    """How overlapping chunks are joined."""

    hann = "hann"
    linear = "linear"
    mean = "mean"


MORE = "Computing"


def chosen_stems(entry: "ModelEntry", wanted: str | None) -> tuple[str, ...]:
    """The names in a list with commas, in the model's order; all of them for None."""
    if wanted is None:
        return entry.outputs
    names = [name.strip().lower() for name in wanted.split(",") if name.strip()]
    if unknown := [name for name in names if name not in entry.outputs]:
        raise typer.BadParameter(
            f"{entry.name} has no stem {unknown[0]!r}; it gives {', '.join(entry.outputs)}", param_hint="--stems"
        )
    if not names:
        raise typer.BadParameter("name at least one stem", param_hint="--stems")
    return tuple(name for name in entry.outputs if name in names)


def finite(value: float | None) -> float | None:
    """The number, or a usage error: `nan` passes every check of a range."""
    if value is not None and not isfinite(value):
        raise typer.BadParameter(f"{value} is no number to work with")
    return value


def split(
    songs: Annotated[
        list[Path], typer.Argument(metavar="SONG", readable=False, help="wav, flac, ogg, mp3, m4a, video ...")
    ],
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="From `stemsplit list`, or a checkpoint's file.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", readable=False, help="Gets one folder a song.")] = Path(
        "stems"
    ),
    stems: Annotated[str | None, typer.Option("--stems", "-s", help="Write only these, e.g. vocals,drums.")] = None,
    format_: Annotated[Format, typer.Option("--format", "-f", help="Of the stems.")] = Format.wav,
    bit_depth: Annotated[
        BitDepth | None, typer.Option("--bit-depth", help="Default: 32f for wav, 24 for flac.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Write over stems that are there.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only errors and the paths.")] = False,
    device: Annotated[
        str, typer.Option("--device", "-d", help="auto, cpu, cuda, cuda:1 or mps.", rich_help_panel=MORE)
    ] = "auto",
    chunk_seconds: Annotated[
        float | None,
        typer.Option(
            "--chunk-seconds",
            min=0.1,
            max=600,
            callback=finite,
            help="Given to the network at once.",
            rich_help_panel=MORE,
        ),
    ] = None,
    overlap: Annotated[
        float | None,
        typer.Option(
            min=0, max=0.99, callback=finite, help="Share of a chunk that the next covers too.", rich_help_panel=MORE
        ),
    ] = None,
    window: Annotated[
        WindowName | None, typer.Option(help="How chunks are joined. Default: the model's.", rich_help_panel=MORE)
    ] = None,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Chunks computed together.", rich_help_panel=MORE)
    ] = 1,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Split songs into stems, each in a folder of its own: stems/SONG/vocals.wav and so on.

    The paths of the stems go to stdout, all else to stderr.
    """
    from stemsplit import batch, console, registry
    from stemsplit.cli.download import obtain
    from stemsplit.job import Options

    entry, described = choose.model(model or registry.DEFAULT_MODEL, registry_file, config, settings)
    if described and not quiet:
        choose.tell(described)
    options = Options(output, chosen_stems(entry, stems), format_.value, bit_depth and bit_depth.value, force)
    try:
        jobs = batch.plan(songs, options)
    except batch.PlanError as error:
        raise typer.BadParameter(str(error)) from error
    if model is None and not quiet and not all(job.problem for job in jobs):
        console.hint("this is the small built-in model; published ones sound better: see stemsplit list, then --model")
    if not all(job.problem for job in jobs):
        # Before any song is read: a network that is not there is known at once.
        obtain(entry, quiet)

    @cache
    def load() -> "Separator":
        # Only now: it brings PyTorch in, which takes seconds, and every cheaper reason to stop has been looked for.
        from stemsplit.separator import Separator

        return Separator(
            entry, device, chunk_seconds=chunk_seconds, overlap=overlap, window=window, batch_size=batch_size
        )

    failed = False
    try:
        with console.SplitReport(jobs, quiet) as report:
            for outcome in batch.run(jobs, load, report.progress):
                report.outcome(outcome)
                failed = failed or bool(outcome.error)
                try:
                    console.paths(outcome.paths)
                except OSError as error:
                    # Whoever read them is gone; the songs are still wanted.
                    console.error(f"cannot write to stdout ({error.strerror})")
                    failed = True
    except KeyboardInterrupt:
        console.error("interrupted; no stem was left half-written")
        raise typer.Exit(130) from None
    if failed:
        raise typer.Exit(1)

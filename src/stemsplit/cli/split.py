"""`stemsplit split`, which is also what `stemsplit SONG` does."""

import time
from enum import StrEnum
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.choices import BitDepth, FormatName, PrecisionName
from stemsplit.cli import choose
from stemsplit.cli.options import (
    SCRIPTS,
    BatchSize,
    ChunkSeconds,
    Compile,
    Device,
    Format,
    Overlap,
    Precision,
    Quiet,
    Threads,
    Window,
    seconds,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from stemsplit.engine.base import Splitter
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.job import Job, Outcome, Totals
    from stemsplit.terminal.songs import SplitReport


class ProgressKind(StrEnum):
    """How to show how far a song is."""

    auto = "auto"
    json = "json"
    none = "none"


FILES = "Files"
"""A panel of the help."""


def split(
    songs: Annotated[
        list[str],  # no paths: an empty one would be the working folder
        typer.Argument(metavar="SONG", help="Songs, folders, 'quoted/*.wav', @list.txt, or - for stdin."),
    ],
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="From `stemsplit list`, or a checkpoint's file.", autocompletion=choose.complete_model
        ),
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", readable=False, help="Gets one folder a song.")] = Path(
        "stems"
    ),
    stems: Annotated[
        str | None,
        typer.Option(
            "--stems", "-s", help="Write only these, e.g. vocals,drums.", autocompletion=choose.complete_stems
        ),
    ] = None,
    two_stems: Annotated[
        str | None, typer.Option("--two-stems", help="Write this stem, and the song without it.", metavar="STEM")
    ] = None,
    mixes: Annotated[
        list[str] | None,
        typer.Option("--mix", metavar="NAME=SUM", help="Write a sum too, e.g. karaoke=mixture-vocals."),
    ] = None,
    then: Annotated[
        list[str] | None,
        typer.Option(
            "--then",
            metavar="[STEM:]MODEL",
            help="Split a stem on, e.g. vocals:mel-roformer-denoise.",
            autocompletion=choose.complete_then,
        ),
    ] = None,
    format_: Format = FormatName.wav,
    bit_depth: Annotated[
        BitDepth | None, typer.Option("--bit-depth", help="Default: 32f for wav, 24 for flac.")
    ] = None,
    like_source: Annotated[
        bool, typer.Option("--like-source", help="Format and bit depth of each song instead.")
    ] = False,
    start: Annotated[str, typer.Option("--start", help="Leave out what comes before, e.g. 1:00.")] = "0",
    duration: Annotated[str | None, typer.Option("--duration", help="Split no more than that, e.g. 20s.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Split again, and write over what is there.")] = False,
    quiet: Quiet = False,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            help="Where files go: {track} {stem} {model} {parent} {ext} {artist} {title}.",
            rich_help_panel=FILES,
        ),
    ] = "{track}/{stem}",
    drop_silent: Annotated[
        bool, typer.Option("--drop-silent", help="Write no silent stems.", rich_help_panel=FILES)
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and touch nothing.", rich_help_panel=SCRIPTS)
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="A line of JSON a song on stdout, a summary last.", rich_help_panel=SCRIPTS)
    ] = False,
    progress: Annotated[
        ProgressKind,
        typer.Option("--progress", help="json: lines of JSON on stderr, for other programs.", rich_help_panel=SCRIPTS),
    ] = ProgressKind.auto,
    device: Device = "auto",
    chunk_seconds: ChunkSeconds = None,
    overlap: Overlap = None,
    window: Window = None,
    batch_size: BatchSize = None,
    precision: Precision = PrecisionName.auto,
    threads: Threads = None,
    compile_: Compile = False,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Split songs into stems, each song in a folder of its own: stems/SONG/vocals.wav and so on.

    Songs that were split before, with the same model and options, are skipped. The paths of the stems go to stdout,
    all else to stderr.
    """
    from stemsplit import registry
    from stemsplit.audio import formats
    from stemsplit.cli.obtain import obtain
    from stemsplit.fetch import digests
    from stemsplit.songs import find as search
    from stemsplit.songs import naming, outputs, plan, speeds
    from stemsplit.songs.job import Options
    from stemsplit.terminal import console
    from stemsplit.terminal.songs import SplitReport
    from stemsplit.words import minutes

    begin, length = seconds(start), None if duration is None else seconds(duration)
    if length == 0:
        raise typer.BadParameter("a duration of nothing leaves nothing to split", param_hint="--duration")
    entry, described = choose.model(model or registry.DEFAULT_MODEL, registry_file, config, settings)
    if described and not quiet:
        choose.tell(described)
    entry = entry.with_chunks(chunk_seconds, overlap, window and window.value)
    models = choose.chain(entry, then or (), registry_file, quiet)
    try:
        wanted = None if stems is None else [name for name in stems.split(",") if name.strip()]
        chosen = outputs.chosen(models.stems, wanted, mixes or [], two_stems, models.sums)
        template = naming.Template(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    for each in models.entries:
        if not digests.identity(each) and not dry_run:
            # Which weights they are, and so what was made with them before, is known only when they are here.
            obtain(each, quiet)
    options = Options(
        out=output,
        outputs=chosen,
        model=models.identity(precision.value),
        adds_up=models.adds_up,
        format=formats.Format(format_, bit_depth),
        like_source=like_source,
        start=begin,
        duration=length,
        drop_silent=drop_silent,
        force=force,
    )
    try:
        found = search.find(songs, output)
        jobs = plan.plan(found.songs, options, template, "+".join(each.name for each in models.entries))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    if not jobs:
        console.error(f"there is no song among {found.passed_over} files; name songs, or folders that hold some")
        raise typer.Exit(1)
    if (begin or length is not None) and not quiet:
        amount = "each song" if length is None else f"{minutes(length)} of each song"
        console.note(f"only {amount} from {minutes(begin)} on is split")
    if not quiet:
        tell_of_names(jobs)
    if dry_run:
        print_dry_run(jobs, found.passed_over, models, device, as_json)
        raise typer.Exit(1 if any(job.problem for job in jobs) else 0)
    plan.check_room(jobs)
    if not all(job.problem or job.done for job in jobs):
        if model is None and not quiet:
            console.hint("this is the small built-in model; published ones sound better: stemsplit list, then --model")
        # Before any song is read: a network that is not there is known at once.
        for each in models.entries:
            obtain(each, quiet)

    @cache
    def load() -> "Splitter":
        # Only now: it brings PyTorch in, which takes seconds, and every cheaper reason to stop has been looked for.
        import gc

        import torch

        from stemsplit.engine.chain import Chain
        from stemsplit.engine.separator import Separator

        # PyTorch's own million objects stay as long as we do: nobody has to look for rubbish among them.
        gc.freeze()

        # For all but the network, which has threads of its own: too little to share, and it would wait for them.
        torch.set_num_threads(1)
        loaded = partial(
            Separator,
            device=device,
            precision=precision.value,
            threads=threads,
            compiled=compile_,
            tell=console.warning,
        )
        separator: Splitter = loaded(entry, batch_size=batch_size)
        for stem, other in models.then:
            separator = Chain(separator, stem, loaded(other))
        return separator

    report = SplitReport(jobs, quiet, progress.value)
    totals = run(jobs, load, report, found.passed_over, as_json)
    speeds.remember(models.name, device, totals.speed)
    if totals.failed or totals.untold:
        raise typer.Exit(1)


FEW = 5
"""Songs that are named one by one."""


def tell_of_names(jobs: "Sequence[Job]") -> None:
    """Say which files are not called as their songs are."""
    from stemsplit.terminal import console

    renamed = [job for job in jobs if not job.problem and job.is_renamed]
    for job in renamed[:FEW]:
        target = next(iter(job.targets.values()))
        console.note(f"not every system can have the name of {job.path}: its files are called {target} and so on")
    if len(renamed) > FEW:
        console.note(f"the same goes for {len(renamed) - FEW} more songs")


def print_dry_run(jobs: "Sequence[Job]", passed_over: int, models: "ChainEntry", device: str, as_json: bool) -> None:
    """Say what would be done."""
    from stemsplit.fetch import store
    from stemsplit.songs import speeds
    from stemsplit.terminal import console
    from stemsplit.terminal.songs import job_as_data, plan_as_data, plan_in_words, print_plan
    from stemsplit.terminal.stdout import print_line

    missing = {entry.name: entry.size for entry in models.entries if not store.local(entry, remember=False)}
    # One of unknown size makes the sum unknown.
    download = sum(missing.values()) * all(missing.values()) if missing else None
    summary = plan_as_data(jobs, passed_over, speeds.known(models.name, device), download)
    if as_json:
        for job in jobs:
            print_line(job_as_data(job))
        print_line({"summary": summary})
    else:
        print_plan(jobs)
        console.note(plan_in_words(summary))


def run(
    jobs: "Sequence[Job]",
    load: "Callable[[], Splitter]",
    report: "SplitReport",
    passed_over: int,
    as_json: bool,
) -> "Totals":
    """Split the songs, and tell what becomes of each and of all."""
    from stemsplit.songs import pipeline
    from stemsplit.songs.job import Totals
    from stemsplit.terminal import console
    from stemsplit.terminal.songs import outcome_as_data, totals_as_data
    from stemsplit.terminal.stdout import print_line, print_paths

    totals, begun = Totals(), time.monotonic()

    def tell(outcome: "Outcome") -> None:
        report.outcome(outcome)
        totals.add(outcome)
        totals.seconds = time.monotonic() - begun
        try:
            if as_json:
                print_line(outcome_as_data(outcome))
            else:
                print_paths(outcome.paths)
        except OSError as error:
            # Whoever read it is gone; the songs are still wanted.
            console.error(f"cannot write to stdout ({error.strerror})")
            totals.untold += 1

    try:
        with report:
            pipeline.run(jobs, load, report.progress, tell, console.warning)
    except KeyboardInterrupt:
        console.error("interrupted; no stem was left half-written, and the same command goes on from here")
        raise typer.Exit(130) from None
    report.total(totals, passed_over)
    if as_json:
        print_line(totals_as_data(totals, passed_over))
    return totals

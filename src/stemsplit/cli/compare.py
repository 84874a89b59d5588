"""Runs `stemsplit compare`."""

from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.choices import BitDepth, Estimates, FormatName, PageAudio, PrecisionName
from stemsplit.cli import choose, several, split_extras
from stemsplit.cli.contenders import MODELS, chosen, complete_models, named
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


PAGE = "listen.html"
"""Name of the page among the clips."""


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
        BitDepth | None,
        typer.Option("--bit-depth", help="Bits per sample of the clips. Default: 24 for wav, flac and aiff."),
    ] = None,
    bitrate: Bitrate = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the excerpt's folder if it already exists.")] = False,
    page: split_extras.Page = False,
    page_audio: split_extras.Audio = None,
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
    from stemsplit.listening.song_pages import page_of_clips
    from stemsplit.terminal import console
    from stemsplit.terminal.compare_report import REPORT, page_of_comparison
    from stemsplit.terminal.comparison import comparison_as_data, comparison_in_lines
    from stemsplit.terminal.stdout import print_json, print_paths
    from stemsplit.words import clock

    begin, length = None if start is None else seconds(start), seconds(duration)
    if not 0 < length <= plan.LONGEST_SECONDS:
        longest = clock(plan.LONGEST_SECONDS)
        raise typer.BadParameter(f"--duration must be longer than 0 s and at most {longest}")
    if models is None and not routes:
        raise typer.BadParameter("missing option '--models'; name the models to compare, separated by commas")
    limit, audio = several.limit(fit_memory), split_extras.audio_of(page, page_audio)
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
    if audio:
        tell_of_page(planned, audio, force, quiet)
    if caution := planned.format.caution(planned.song.channels, planned.song.speakers):
        console.warning(f"{song}: {caution}")
    if change := planned.format.conversion(planned.song.sample_rate, planned.song.channels):
        console.warning(f"{song}: {change}")
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
        figures, further = comparison_as_data(found), dict[str, Any]()
        if audio:
            figures["page"] = str(planned.folder / PAGE)
            further[PAGE] = partial(page_of_clips, planned.folder.name, audio)
        further[REPORT] = lambda _, file: file.write(page_of_comparison(found, has_page=audio is not None))
        paths = comparison.write(found, figures, force, further)
        paths.remove(planned.folder / REPORT)
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
        console.note(f"report: {planned.folder / REPORT}")


def tell_of_page(plan: "Plan", audio: PageAudio, force: bool, quiet: bool) -> None:
    """Print how large the comparison's page will be.

    Raises:
        typer.BadParameter: it would be too large.
        AudioError: no browser plays the song.
    """
    from stemsplit.errors import AudioError
    from stemsplit.listening.song_pages import too_large
    from stemsplit.listening.standalone import expected_size, refusal
    from stemsplit.terminal import console

    song, tracks = plan.song, 1 + len(plan.references) + sum(map(len, plan.stems.values()))
    if why := refusal(song.sample_rate, song.channels):
        raise AudioError(f"cannot write a page of {song.path}: {why}")
    bits = 16 if plan.format.depth == BitDepth.b16 else 24
    expected = expected_size(plan.end - plan.begin, song.sample_rate, song.channels, tracks, audio, bits)
    if (why := too_large(expected, audio)) and not force:
        raise typer.BadParameter(f"cannot write a page of {song.path}: {why}")
    if not quiet:
        console.note(f"{song.path}: {PAGE} will take {split_extras.amount_in_words(expected)}")


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

"""Runs `stemsplit split`, for which `stemsplit SONG` is short."""

from functools import partial
from typing import Annotated

import typer

from stemsplit.choices import BitDepth, Estimates, FormatName, PrecisionName, ProgressKind
from stemsplit.cli import choose, recommending, several, split_cloud, split_extras, split_ray, split_shards, split_tries
from stemsplit.cli.ending import account, closing_json
from stemsplit.cli.obtain import obtain_all, obtain_unidentified
from stemsplit.cli.options import (
    SCRIPTS,
    BatchSize,
    Bitrate,
    ChunkSeconds,
    Compile,
    Csv,
    Device,
    EstimatesChoice,
    Format,
    Overlap,
    Precision,
    Quiet,
    Threads,
    Window,
    seconds,
    usage_errors,
)
from stemsplit.cli.split_notes import (
    hint_at_models,
    print_dry_run,
    tell_of_plan,
    tell_of_whole,
)
from stemsplit.cli.split_plan import planned
from stemsplit.cli.split_run import close, run
from stemsplit.cli.stems import chosen_outputs

FILES = "Files"
"""Panel of the command's help."""


@closing_json
def split(
    songs: Annotated[
        list[str],  # not paths: an empty one would be the working folder
        typer.Argument(
            metavar="SONG",
            help="Audio files, folders, patterns in quotes ('*.wav'), or a list of these: @list.txt, or - for stdin.",
        ),
    ],
    model: several.Model = None,
    output: split_cloud.Output = "stems",
    stems: Annotated[
        str | None,
        typer.Option(
            "--stems",
            "-s",
            help="Stems to write, e.g. vocals,drums. Default: all.",
            autocompletion=choose.complete_stems,
        ),
    ] = None,
    two_stems: Annotated[
        str | None, typer.Option("--two-stems", help="Write only this stem, and the song without it.", metavar="STEM")
    ] = None,
    mixes: Annotated[
        list[str] | None,
        typer.Option("--mix", metavar="NAME=SUM", help="Also write a sum of stems, e.g. karaoke=mixture-vocals."),
    ] = None,
    then: Annotated[
        list[str] | None,
        typer.Option(
            "--then",
            metavar="[STEM:]MODEL",
            help="Split a stem further with a second model, e.g. vocals:mel-roformer-denoise.",
            autocompletion=choose.complete_then,
        ),
    ] = None,
    ensemble: several.Ensemble = None,
    combine: several.Combine = None,
    route: several.Route = None,
    format_: Format = FormatName.wav,
    bit_depth: Annotated[
        BitDepth | None,
        typer.Option(
            "--bit-depth",
            help="Bits per sample of the stems. Default: 32f (floating point) for wav, 24 for flac and aiff. m4a and "
            "stem.mp4 are lossless (ALAC) with 16 or 24, and AAC without.",
        ),
    ] = None,
    bitrate: Bitrate = None,
    like_source: Annotated[
        bool, typer.Option("--like-source", help="Write stems in the format and bit depth of their song.")
    ] = False,
    start: Annotated[str, typer.Option("--start", help="Start here in each song, e.g. 1:00.")] = "0",
    duration: Annotated[
        str | None, typer.Option("--duration", help="Stop after this much, e.g. 20s. Default: at the end of the song.")
    ] = None,
    track: Annotated[
        str,
        typer.Option(
            "--track",
            metavar="NUMBER|LANGUAGE|TITLE",
            help="Audio track of a video, or of another file that has several: its number from 1 on, its language "
            "(eng), or its title. Default: the file's default track.",
        ),
    ] = "",
    shard: split_shards.Share = None,
    staging: split_cloud.Staging = None,
    staging_size: split_cloud.StagingSize = split_cloud.STAGING_SIZE,
    force: Annotated[bool, typer.Option("--force", help="Split again, and overwrite existing files.")] = False,
    quiet: Quiet = False,
    name: Annotated[
        str,
        typer.Option(
            "--name",
            help="Path of each stem in the output folder; fields are {track} {stem} {model} {parent} {ext} {artist} "
            "{title}.",
            rich_help_panel=FILES,
        ),
    ] = "{track}/{stem}",
    drop_silent: Annotated[
        bool, typer.Option("--drop-silent", help="Do not write silent stems.", rich_help_panel=FILES)
    ] = False,
    page: split_extras.Page = False,
    page_audio: split_extras.Audio = None,
    session: split_extras.Session = None,
    skip_known_failures: Annotated[
        bool,
        typer.Option(
            "--skip-known-failures",
            help="Remember songs that cannot be read, and do not try them again until they change.",
            rich_help_panel=SCRIPTS,
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and write nothing.", rich_help_panel=SCRIPTS)
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json", help="Print a line of JSON per song on stdout, and a summary at the end.", rich_help_panel=SCRIPTS
        ),
    ] = False,
    csv: Csv = None,
    progress: Annotated[
        ProgressKind,
        typer.Option(
            "--progress",
            help="How to show progress; json prints lines of JSON on stderr, for other programs.",
            rich_help_panel=SCRIPTS,
        ),
    ] = ProgressKind.auto,
    ray: split_ray.Address = None,
    gpus_per_worker: split_ray.Gpus = None,
    cpus_per_worker: split_ray.Cpus = None,
    workers: split_ray.Workers = None,
    max_failures: split_tries.MaxFailures = None,
    cost_per_hour: split_tries.Cost = None,
    device: Device = "auto",
    chunk_seconds: ChunkSeconds = None,
    overlap: Overlap = None,
    window: Window = None,
    estimates: EstimatesChoice = Estimates.consistent,
    batch_size: BatchSize = None,
    precision: Precision = PrecisionName.auto,
    threads: Threads = None,
    compile_: Compile = False,
    tta: several.Tta = False,
    shifts: several.Shifts = None,
    fit_memory: several.FitMemory = None,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Split songs into stems.

    The stems of song.flac are stems/song/vocals.wav and so on. Songs that
    were already split, with the same model and options, are skipped. The
    paths of the stems go to stdout, messages to stderr.
    """
    from stemsplit.audio import formats
    from stemsplit.cli.loading import check_memory, load_models
    from stemsplit.engine.combination.entry import adjusted
    from stemsplit.songs import pipeline, plan, speeds
    from stemsplit.songs.job import Options
    from stemsplit.songs.known_failures import KnownFailures
    from stemsplit.songs.naming import Template
    from stemsplit.songs.whole import STEMS, check_choices
    from stemsplit.terminal import console
    from stemsplit.terminal.csv_files import SplitTable

    begin, length = seconds(start), None if duration is None else seconds(duration)
    limit, share = several.limit(fit_memory), split_shards.chosen(shard, quiet)
    if length == 0:
        raise typer.BadParameter("--duration must be longer than 0 s")
    if like_source and bitrate:
        raise typer.BadParameter("--bitrate needs --format; with --like-source, each song's own format is written")
    if csv and dry_run:
        raise typer.BadParameter("--dry-run writes nothing, so it has no --csv")
    away = split_cloud.addresses(output, staging, staging_size, force, csv)
    cluster = split_ray.joined(ray, gpus_per_worker, cpus_per_worker, workers, device, dry_run)
    machines = split_tries.Machines(workers, cost_per_hour, dry_run)
    further = split_extras.further(page, page_audio, session, force)
    file_format = formats.Format(format_, bit_depth, bitrate)
    if whole := file_format.holds_all:
        with usage_errors():
            check_choices(
                file_format,
                stems=stems,
                two_stems=two_stems,
                mix=mixes,
                drop_silent=drop_silent,
                like_source=like_source,
                session=session,
            )
    named = model
    if recommending.is_automatic(model, registry_file):
        named = recommending.automatic(
            ",".join(STEMS) if whole else stems, two_stems, mixes, then, registry_file, quiet
        )
    first = several.source(named, ensemble, route, combine, registry_file, config, settings, quiet=quiet)
    first = adjusted(first, "with_chunks", chunk_seconds, overlap, window and window.value)
    first = adjusted(first, "with_passes", tta or None, shifts)
    models = choose.chain(first, then or (), several.models(registry_file, quiet=quiet), estimates)
    with usage_errors():
        chosen = chosen_outputs(models, stems, two_stems, mixes, registry_file, file_format if whole else None)
        template = Template(name, needs_stem=not whole)
        table = SplitTable(split_shards.table(csv, share, quiet), [output.name for output in chosen])
    if not dry_run:
        obtain_unidentified(models, quiet)
    options = Options(
        out=away.out,
        outputs=chosen,
        model=models.identity(precision.value),
        earlier_models=models.earlier_identities(precision.value),
        adds_up=models.adds_up,
        format=file_format,
        like_source=like_source,
        start=begin,
        duration=length,
        track=track,
        drop_silent=drop_silent,
        force=force,
    )
    known = KnownFailures(options) if skip_known_failures else None
    if not dry_run:
        away.check()
    jobs, found = planned(songs, options, template, models, known, share, quiet, away)
    away.refuse(page=page, known=skip_known_failures, session=bool(session))
    notes = split_shards.notes_of(options, share, away.place, wanted=ray is not None)
    jobs, note = split_tries.settled(jobs, notes, is_shared=bool(ray or away.place))
    pace = speeds.Settings(device, threads, precision.value, batch_size, compile_)
    if not quiet:
        tell_of_plan(found, options, jobs)
        if whole:
            tell_of_whole(file_format, chosen, models)
    needed = split_extras.tell_of_extras(further, jobs, quiet, alone=len(found.songs) == 1)
    check_memory(models, limit, device, precision.value, compiled=compile_)
    if dry_run:
        fits = print_dry_run(
            jobs, found, models, pace, away.out, as_json, partial(split_extras.foreseen, further), machines
        )
        account().closed = True
        raise typer.Exit(0 if fits else 1)
    plan.check_room(jobs, needed)
    if any(not job.problem and not job.done for job in jobs):
        if not (model or ensemble or route or quiet):
            hint_at_models(registry_file)
        obtain_all(models, quiet)
    # Loaded only when a song was found readable: PyTorch takes seconds to import.
    load = partial(
        load_models,
        models,
        batch_size,
        device=device,
        precision=precision.value,
        threads=threads,
        compiled=compile_,
        fit_memory=limit,
    )
    report, watch = split_ray.report(cluster, jobs, quiet, progress.value), speeds.Stopwatch(models, pace)
    queue = split_tries.Queue(jobs)
    notices = [report.outcome, watch.add, table.add, *([known.add] if known else []), *([note] if note else [])]
    with table, away.staged():
        with report:
            work = partial(pipeline.run, queue, watch.loads(load), watch.watches(report.progress), tell=console.warning)
            if cluster:
                work = cluster.work(jobs, load, models, options, report, away.opening)
            limited = split_tries.limited(work, queue, jobs, max_failures, ends_by_itself=not cluster)
            totals = run(limited, notices, as_json, further, quiet)
        close(totals, found, report, known, as_json, further, notes)
    watch.remember()
    if totals.failed or totals.untold or totals.lacking or table.failed:
        raise typer.Exit(1)

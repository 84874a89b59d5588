"""Runs `stemsplit bench`."""

import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli import choose
from stemsplit.cli.options import COMPUTING, ChunkSeconds, Device, HtmlReport, Json, Threads, listed, usage_errors

if TYPE_CHECKING:
    from stemsplit.bench import Report


def sizes(text: str | None) -> list[int]:
    """Parse batch sizes separated by commas; return an empty list if no text is given.

    Raises:
        typer.BadParameter: one is not a whole number from 1 on.
    """
    words = [] if text is None else text.split(",")
    if not all(word.strip().isdecimal() and int(word) for word in words):
        raise typer.BadParameter(f"{text!r} is not a list of batch sizes; write 1,4,8", param_hint="--batch-size")
    return list(dict.fromkeys(map(int, words)))


def load() -> float:
    """Return how many cores other programs keep busy; 0 where the system does not say."""
    known = getattr(os, "getloadavg", None)  # not on Windows
    return known()[0] if known else 0.0


def remember(report: "Report", device: str, threads: int | None, importing: float) -> None:
    """Store what was measured, so that `split --dry-run` can estimate times.

    Args:
        report: the measurements.
        device: device that the user gave.
        threads: number of CPU threads that the user gave; None for the default.
        importing: seconds that importing PyTorch took.
    """
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.engine.estimator import BATCHES
    from stemsplit.fast.device import PRECISIONS, dtype_of, pick_device
    from stemsplit.songs.speeds import ENOUGH, Settings, Speed
    from stemsplit.songs.speeds import remember as store

    found = pick_device(device)
    for row in report.rows:
        if row.figures is None:
            continue
        usual = PRECISIONS[row.precision] == dtype_of("auto", found, bfloat16=report.entry.bfloat16)
        default = row.batch_size == BATCHES.get(found.type, 1)
        given = Settings(device, threads, "auto" if usual else row.precision, None if default else row.batch_size)
        meant = Settings(str(found), report.threads, row.precision, row.batch_size)
        speed = Speed(importing + report.loading, row.figures.seconds, ENOUGH)
        store(ChainEntry(report.entry), [given, meant], speed)


def bench(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="Name of a model, as shown by `stemsplit list`, or a checkpoint file. Default: the built-in model.",
            autocompletion=choose.complete_model,
        ),
    ] = None,
    random_weights: Annotated[
        bool,
        typer.Option("--random-weights", help="Measure the network with random weights, which need no download."),
    ] = False,
    precision: Annotated[
        list[str] | None,
        typer.Option(
            "--precision",
            help="Number formats to measure: fp32, bf16, fp16, separated by commas. Default: all that the device "
            "supports.",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    batch_size: Annotated[
        str | None,
        typer.Option(
            "--batch-size",
            help="Numbers of chunks to compute together, e.g. 1,4,8. Default: what suits the device.",
            rich_help_panel=COMPUTING,
        ),
    ] = None,
    device: Device = "auto",
    threads: Threads = None,
    chunk_seconds: ChunkSeconds = None,
    as_json: Json = False,
    report_file: HtmlReport = None,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Measure how fast a model is on this machine.

    For each precision and batch size, it measures the time per chunk, the
    speed as a multiple of real time, the memory, and the FLOP/s. These are
    also shown as a share of what this machine reaches in products of large
    matrices (GEMM).
    """
    from stemsplit import registry
    from stemsplit.cli.obtain import obtain
    from stemsplit.terminal import console
    from stemsplit.terminal.bench import print_report, report_as_data
    from stemsplit.terminal.bench_report import bars_for_stdout, page_of_bench
    from stemsplit.terminal.report_files import ReportFile
    from stemsplit.terminal.stdout import print_json

    batch_sizes = sizes(batch_size)
    with usage_errors("--report"):
        file = ReportFile(report_file) if report_file else None
    entry = choose.model(model or registry.DEFAULT_MODEL, registry_file, config, settings)
    entry = entry.with_chunks(chunk_seconds)

    began = time.monotonic()
    # Only now: they import PyTorch, which takes seconds.
    from stemsplit.bench import formats, measure
    from stemsplit.cli.loading import prepare_torch
    from stemsplit.fast.device import pick_device

    importing = time.monotonic() - began
    found = pick_device(device)
    # Before any download: an unsupported precision is refused at once.
    precisions = formats(listed(precision), found, bfloat16=entry.bfloat16)
    if not random_weights:
        obtain(entry, quiet=False)
    if found.type == "cpu" and load() > 0.5:
        console.warning(
            f"other programs are using this machine (load {load():.1f}), so the model will seem slower than it is"
        )
    prepare_torch()
    # Drawing takes time from what is measured.
    with console.PEOPLE.status("", refresh_per_second=2) as line:
        tell = line.update if console.PEOPLE.is_terminal else console.note
        report = measure(
            entry, found, precisions, batch_sizes, threads=threads, random_weights=random_weights, tell=tell
        )
    remember(report, device, threads, importing)
    if as_json:
        print_json(report_as_data(report))
    else:
        print_report(report, bars_for_stdout(report))
    if file and not file.write(page_of_bench(report)):
        raise typer.Exit(1)

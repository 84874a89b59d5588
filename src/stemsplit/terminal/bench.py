"""Shows what `bench` measured: a table for people, data for scripts."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned
from stemsplit.words import clock, counted, printable

if TYPE_CHECKING:
    from stemsplit.bench import Figures, Kernel, Report, Row
    from stemsplit.registry import ModelEntry


def report_as_data(report: "Report") -> dict[str, Any]:
    """Return the figures of a model and the machine as `bench --json` prints them."""
    entry = report.entry
    return {
        "model": entry.name,
        "architecture": entry.architecture,
        "random_weights": report.random_weights,
        "chunk_seconds": entry.chunk / entry.sample_rate,
        "hop_seconds": entry.hop / entry.sample_rate,
        "channels": entry.channels,
        "gflop_per_chunk": report.flops / 1e9,
        "loading_seconds": round(report.loading, 3),
        "machine": {
            "device": report.device,
            "processor": report.processor,
            "threads": report.threads,
            "torch": report.torch,
            "gemm_gflops": {name: rate / 1e9 for name, rate in report.gemm.items()},
        },
        "rows": [_row_as_data(entry, row) for row in report.rows],
        "kernels": [_kernel_as_data(kernel) for kernel in report.kernels],
    }


SONG_SECONDS = 240.0
"""Length of the song whose time is told."""


def _song_seconds(entry: "ModelEntry", figures: "Figures") -> float:
    """Return the seconds that the network takes for a stereo song of `SONG_SECONDS`."""
    return entry.chunks_in(SONG_SECONDS) * figures.seconds


def _row_as_data(entry: "ModelEntry", row: "Row") -> dict[str, Any]:
    figures = row.figures
    return {
        "precision": row.precision,
        "batch_size": row.batch_size,
        "seconds_per_chunk": figures and figures.seconds,
        "real_time_factor": figures and figures.real_time,
        "memory_bytes": figures and figures.memory,
        "gflops": figures and figures.rate / 1e9,
        "gemm_share": figures and figures.share,
        "seconds_per_four_minutes": figures and round(_song_seconds(entry, figures), 3),
        "error": None if figures else "out of memory",
    }


def _kernel_as_data(kernel: "Kernel") -> dict[str, Any]:
    return {
        "operation": kernel.operation,
        "precision": kernel.precision,
        "kernel": kernel.kernel,
        "work_share": kernel.work,
        "gflops": kernel.rate and kernel.rate / 1e9,
        "gemm_share": kernel.share,
    }


COLUMNS = ("precision", "batch", "ms a chunk", "x real time", "memory", "GFLOP/s", "of GEMM")


def cells(row: "Row") -> tuple[str, ...]:
    """Return a row's cells under `COLUMNS`."""
    start, figures = (row.precision, str(row.batch_size)), row.figures
    if figures is None:
        return (*start, "out of memory", "", "", "", "")
    return (
        *start,
        f"{1000 * figures.seconds:,.1f}",
        f"{figures.real_time:,.2f}",
        "?" if figures.memory is None else f"{figures.memory / 2**20:,.0f} MiB",
        f"{figures.rate / 1e9:,.0f}",
        f"{figures.share:.0%}",
    )


KERNEL_COLUMNS = ("operation", "precision", "kernel", "of the work", "GFLOP/s", "of GEMM")


def kernel_cells(kernel: "Kernel") -> tuple[str, ...]:
    """Return a kernel's cells under `KERNEL_COLUMNS`."""
    work = "" if kernel.work is None else f"{kernel.work:.0%}"
    rate = "" if kernel.rate is None else f"{kernel.rate / 1e9:,.0f}"
    share = "" if kernel.share is None else f"{kernel.share:.0%}"
    return (kernel.operation, kernel.precision, kernel.kernel, work, rate, share)


def songs_in_words(report: "Report") -> list[str]:
    """Return a line for each precision that says how long a song takes, with the best batch size."""
    best: dict[str, Row] = {}
    for row in report.rows:
        before = best.get(row.precision)
        if row.figures and not (before and before.figures and before.figures.seconds <= row.figures.seconds):
            best[row.precision] = row
    start_up = f"and {report.loading:.1f} s to load it"
    return [
        f"a {SONG_SECONDS / 60:g}-minute song: about {clock(_song_seconds(report.entry, row.figures))} in {name}"
        + (f", batch size {row.batch_size}" if row.batch_size > 1 else "")
        + f", {start_up}"
        for name, row in best.items()
        if row.figures
    ]


def facts(report: "Report") -> list[tuple[str, str]]:
    """Return facts about the model and the machine: what each is about, and the fact."""
    entry = report.entry
    seconds, hop = entry.chunk / entry.sample_rate, entry.hop / entry.sample_rate
    channels = "1 channel (stereo: two chunks)" if entry.channels == 1 else f"{entry.channels} channels"
    machine = f"{report.device}, {report.processor}"
    if report.threads:
        machine += f", {counted(report.threads, 'thread')}"
    rates = (f"{name} {rate / 1e9:,.0f}" for name, rate in report.gemm.items())
    return [
        ("model", f"{entry.name}, a {entry.architecture}{', random weights' if report.random_weights else ''}"),
        ("chunk", f"{seconds:.4g} s of {channels}, one every {hop:.4g} s: {report.flops / 1e9:,.1f} GFLOP"),
        ("device", f"{machine}; torch {report.torch}"),
        ("GEMM", f"{', '.join(rates)} GFLOP/s: products of large matrices here"),
    ]


def print_report(report: "Report", bars: Sequence[str] = ()) -> None:
    """Print the figures for people: the model and the machine, a line for each precision and batch size, the kernels.

    Args:
        report: what was measured.
        bars: lines of a picture, to print after the table.
    """
    lines = aligned([(name, printable(fact)) for name, fact in facts(report)])
    print_text(*lines, "", *aligned([COLUMNS, *map(cells, report.rows)], words=1), *bars)
    if report.kernels:
        print_text("", *aligned([KERNEL_COLUMNS, *map(kernel_cells, report.kernels)], words=3))
    if told := songs_in_words(report):
        print_text("", *told)

"""Shows what `bench` measured: a table for people, data for scripts."""

from typing import TYPE_CHECKING, Any

from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned
from stemsplit.words import counted, printable

if TYPE_CHECKING:
    from stemsplit.bench import Report, Row


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
        "machine": {
            "device": report.device,
            "processor": report.processor,
            "threads": report.threads,
            "torch": report.torch,
            "gemm_gflops": {name: rate / 1e9 for name, rate in report.gemm.items()},
        },
        "rows": [_row_as_data(row) for row in report.rows],
    }


def _row_as_data(row: "Row") -> dict[str, Any]:
    figures = row.figures
    return {
        "precision": row.precision,
        "batch_size": row.batch_size,
        "seconds_per_chunk": figures and figures.seconds,
        "real_time_factor": figures and figures.real_time,
        "memory_bytes": figures and figures.memory,
        "gflops": figures and figures.rate / 1e9,
        "gemm_share": figures and figures.share,
        "error": None if figures else "out of memory",
    }


COLUMNS = ("precision", "batch", "ms a chunk", "x real time", "memory", "GFLOP/s", "of GEMM")


def _cells(row: "Row") -> tuple[str, ...]:
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


def print_report(report: "Report") -> None:
    """Print the figures for people: the model and the machine, then a line for each precision and batch size."""
    entry = report.entry
    seconds, hop = entry.chunk / entry.sample_rate, entry.hop / entry.sample_rate
    channels = "1 channel (stereo: two chunks)" if entry.channels == 1 else f"{entry.channels} channels"
    machine = f"{report.device}, {report.processor}"
    if report.threads:
        machine += f", {counted(report.threads, 'thread')}"
    rates = (f"{name} {rate / 1e9:,.0f}" for name, rate in report.gemm.items())
    facts = (
        ("model", f"{entry.name}, a {entry.architecture}{', random weights' if report.random_weights else ''}"),
        ("chunk", f"{seconds:.4g} s of {channels}, one every {hop:.4g} s: {report.flops / 1e9:,.1f} GFLOP"),
        ("device", f"{machine}; torch {report.torch}"),
        ("GEMM", f"{', '.join(rates)} GFLOP/s: products of large matrices here"),
    )
    lines = aligned([tuple(map(printable, fact)) for fact in facts])
    print_text(*lines, "", *aligned([COLUMNS, *map(_cells, report.rows)], words=1))

"""What `bench` tells of a model's speed."""

from typing import TYPE_CHECKING, Any

from stemsplit.terminal.stdout import print_text
from stemsplit.terminal.tables import aligned
from stemsplit.words import printable

if TYPE_CHECKING:
    from stemsplit.bench import Report, Row


def report_as_data(report: "Report") -> dict[str, Any]:
    """What a model's measurement found, as `bench --json` tells it."""
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
    found = row.figures
    return {
        "precision": row.precision,
        "batch_size": row.batch_size,
        "seconds_per_chunk": found and found.seconds,
        "real_time_factor": found and found.real_time,
        "memory_bytes": found and found.memory,
        "gflops": found and found.rate / 1e9,
        "gemm_share": found and found.share,
        "error": None if found else "out of memory",
    }


COLUMNS = ("precision", "batch", "ms a chunk", "x real time", "memory", "GFLOP/s", "of GEMM")


def _cells(row: "Row") -> tuple[str, ...]:
    """A row's cells under `COLUMNS`."""
    start, found = (row.precision, str(row.batch_size)), row.figures
    if found is None:
        return (*start, "out of memory", "", "", "", "")
    return (
        *start,
        f"{1000 * found.seconds:,.1f}",
        f"{found.real_time:,.2f}",
        "?" if found.memory is None else f"{found.memory / 2**20:,.0f} MiB",
        f"{found.rate / 1e9:,.0f}",
        f"{found.share:.0%}",
    )


def print_report(report: "Report") -> None:
    """The same for people: what was measured where, and one line a precision and batch size."""
    entry = report.entry
    seconds, hop = entry.chunk / entry.sample_rate, entry.hop / entry.sample_rate
    channels = "1 channel (stereo: two chunks)" if entry.channels == 1 else f"{entry.channels} channels"
    machine = f"{report.device}, {report.processor}"
    if report.threads:
        machine += f", {report.threads} thread{'s' * (report.threads > 1)}"
    rates = (f"{name} {rate / 1e9:,.0f}" for name, rate in report.gemm.items())
    facts = (
        ("model", f"{entry.name}, a {entry.architecture}" + ", random weights" * report.random_weights),
        ("chunk", f"{seconds:.4g} s of {channels}, one every {hop:.4g} s: {report.flops / 1e9:,.1f} GFLOP"),
        ("device", f"{machine}; torch {report.torch}"),
        ("GEMM", f"{', '.join(rates)} GFLOP/s: products of large matrices here"),
    )
    told = aligned([tuple(map(printable, fact)) for fact in facts])
    print_text(*told, "", *aligned([COLUMNS, *map(_cells, report.rows)], words=1))

"""What `list`, `info`, `bench` and `eval` print on stdout: tables for a terminal, plain lines for a script."""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from stemsplit.registry import ModelEntry

if TYPE_CHECKING:
    from stemsplit.batch import Outcome, Totals
    from stemsplit.bench import Report, Row
    from stemsplit.clips import Clip
    from stemsplit.comparison import Comparison
    from stemsplit.evaluation import Result, Score, Summary
    from stemsplit.job import Job

if os.environ.get("COLUMNS") == "0":
    # Terminals without a size say so; rich would draw nothing.
    del os.environ["COLUMNS"]

COLUMNS = ("model", "stems", "size", "licence", "what for")
DESCRIPTION_WIDTH = 120
"""Columns of a terminal from which on there is room to say what a model is for."""


def size(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count else "?"


def minutes(seconds: float) -> str:
    """12:34, or 1:02:03 from an hour on."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def printable(text: str) -> str:
    """The text with escapes in place of control characters, which file names may hold and terminals obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def row(entry: ModelEntry) -> tuple[str, ...]:
    """An entry's cells under `COLUMNS`."""
    stems = ", ".join(entry.outputs) if len(entry.outputs) <= 8 else f"{len(entry.outputs)} stems"
    cells = (entry.name, stems, size(entry.size), entry.license or "not stated", entry.description)
    return tuple(map(printable, cells))


def print_models(entries: Iterable[ModelEntry]) -> None:
    """One line a model."""
    rows = [row(entry) for entry in entries]
    if _is_terminal():
        _print_table(COLUMNS, rows)
    else:
        _print_lines([COLUMNS, *rows])


def print_facts(facts: Mapping[str, Any]) -> None:
    """One line a fact: name and value."""
    rows = [(name, printable(as_text(value))) for name, value in facts.items()]
    if _is_terminal():
        _print_table(None, rows)
    else:
        _print_lines(rows)


def as_data(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    """Everything in an entry and where its weights are on this machine, as JSON has it."""
    return {**vars(entry), "outputs": entry.outputs, "path": None if path is None else str(path)}


def facts(entry: ModelEntry, path: Path | None) -> dict[str, Any]:
    """Everything in an entry and where its weights are on this machine, for people."""
    found = {name.replace("_", " "): value for name, value in vars(entry).items() if value not in ("", {}, (), 0)}
    for name in ("chunk", "hop"):
        found[name] = f"{found[name]} samples ({found[name] / entry.sample_rate:.4g} s)"
    found["sample rate"] = f"{entry.sample_rate} Hz"
    if entry.size:
        found["size"] = size(entry.size)
    if entry.author:
        found["license"] = entry.license or "not stated"
        if not (entry.sha256 or entry.git_sha1):
            found["sha256"] = "none was published; the first download's is remembered"
    found["on this machine"] = "no" if path is None else f"{path} ({size(path.stat().st_size)})"
    return found


def facts_of_file(entry: ModelEntry, path: Path | None, assumed: Mapping[str, Any]) -> dict[str, Any]:
    """The same for a checkpoint of the user's own: what it and its config tell, apart from what is only usual."""
    told = {name: value for name, value in entry.config.items() if name not in assumed}
    return facts(entry, path) | {"config": told, "taken as usual": assumed}


def outcome_as_data(outcome: "Outcome") -> dict[str, Any]:
    """What became of a song, as `split --json` tells it."""
    record, job = outcome.record, outcome.job
    told = ("peak", "clipped", "energy_share", "silent")
    stems = {
        name: {"path": str(job.targets[name]) if facts["file"] else None, **{key: facts[key] for key in told}}
        for name, facts in (record.stems.items() if record else ())
        if name in job.targets
    }
    return {
        "song": str(job.path),
        "status": "failed" if outcome.error else "skipped" if outcome.skipped else "done",
        "stems": stems,
        "duration": record.figures["duration"] if record else None,
        "sum_error": record.figures["sum_error"] if record else None,
        "seconds": round(outcome.seconds, 3),
        "real_time_factor": round(outcome.speed, 3),
        "error": outcome.error or None,
    }


def totals_as_data(totals: "Totals", passed_over: int) -> dict[str, Any]:
    """What became of all songs, as the last line of `split --json` tells it."""
    counts = {name: getattr(totals, name) for name in ("songs", "done", "skipped", "failed")}
    times = {"duration": round(totals.duration, 3), "seconds": round(totals.seconds, 3)}
    return {"summary": {**counts, "passed_over": passed_over, **times, "real_time_factor": round(totals.speed, 3)}}


def job_as_data(job: "Job") -> dict[str, Any]:
    """What would be done with a song, as `split --dry-run --json` tells it."""
    return {
        "song": str(job.path),
        "status": "failed" if job.problem else "skipped" if job.done else "to do",
        "stems": {name: {"path": str(path)} for name, path in job.targets.items()},
        "duration": round(job.seconds, 3) or None,
        "bytes": job.size or None,
        "error": job.problem or None,
    }


def plan_as_data(jobs: Sequence["Job"], passed_over: int, speed: float | None, download: int | None) -> dict[str, Any]:
    """All that would be done, as the last line of `split --dry-run --json` tells it.

    Args:
        jobs: all songs.
        passed_over: files that are no songs.
        speed: seconds of song a second, if known.
        download: bytes of weights to be got first, 0 if unknown; None if they are here.
    """
    waiting = [job for job in jobs if not job.problem and not job.done]
    duration = sum(job.seconds for job in waiting)
    return {
        "songs": len(jobs),
        "to_do": len(waiting),
        "skipped": sum(job.done for job in jobs),
        "failed": sum(bool(job.problem) for job in jobs),
        "passed_over": passed_over,
        "duration": round(duration, 3),
        "estimated_seconds": round(duration / speed, 1) if speed else None,
        "bytes": sum(job.size for job in waiting),
        "download_bytes": download if waiting else None,
    }


def plan_in_words(summary: Mapping[str, Any]) -> str:
    """The same for people."""
    text = f"{summary['songs']} song{'s' * (summary['songs'] != 1)}: {summary['to_do']} to split"
    text += f", {summary['skipped']} split before"
    text += f", {summary['failed']} with problems"
    if summary["passed_over"]:
        text += f"; {summary['passed_over']} file{'s' * (summary['passed_over'] > 1)} of other kinds passed over"
    if summary["to_do"]:
        estimate = summary["estimated_seconds"]
        took = f"about {minutes(estimate)}" if estimate else "a time that only a first run on this machine can tell"
        text += f"; {minutes(summary['duration'])} of music, in {took}, into {size(summary['bytes'])}"
    if summary["download_bytes"] is not None:
        amount = summary["download_bytes"]
        text += f"; first to download: {size(amount) if amount else 'weights of unknown size'}"
    return text


def print_plan(jobs: Sequence["Job"]) -> None:
    """One line a song that would be split: what would be done with it, and where its files would go."""
    rows = []
    for job in jobs:
        state = "problem" if job.problem else "done" if job.done else "to do"
        names = ", ".join(path.name for path in job.targets.values())
        where = job.problem or f"{job.record.parent}: {names}"
        rows.append((state, minutes(job.seconds) if job.seconds else "", str(job.path), where))
    if rows:
        _print_lines([tuple(map(printable, row)) for row in rows])


def bench_as_data(report: "Report") -> dict[str, Any]:
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


BENCH_COLUMNS = ("precision", "batch", "ms a chunk", "x real time", "memory", "GFLOP/s", "of GEMM")


def print_bench(report: "Report") -> None:
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
    _print_lines([tuple(map(printable, fact)) for fact in facts])
    lines = [BENCH_COLUMNS, *map(_bench_cells, report.rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    _write(b"")
    for first, *figures in lines:
        padded = (figure.rjust(width) for figure, width in zip(figures, widths[1:], strict=True))
        _write("  ".join([first.ljust(widths[0]), *padded]).encode())


def _bench_cells(row: "Row") -> tuple[str, ...]:
    """A row's cells under `BENCH_COLUMNS`."""
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


def _figures(score: "Score") -> dict[str, float | None]:
    """A score as JSON has it, which knows no infinity."""
    return {name: figure if math.isfinite(figure) else None for name, figure in vars(score).items()}


def scores_as_data(results: Sequence["Result"], summary: "Summary") -> dict[str, Any]:
    """How close estimates are to their sources, as `eval --json` tells it."""
    songs = [
        {
            "song": result.name,
            "stems": {name: _figures(score) for name, score in result.scores.items()},
            "mean": _figures(result.mean),
            "unmeasured": list(result.unmeasured),
            "error": result.error or None,
        }
        for result in results
    ]
    both = (("mean", summary.means, summary.mean), ("median", summary.medians, summary.median))
    return {
        "songs": songs,
        **{
            kind: {"stems": {name: _figures(score) for name, score in stems.items()}, "mean": _figures(mean)}
            for kind, stems, mean in both
        },
    }


SCORE_COLUMNS = ("song", "stem", "SDR", "SI-SDR", "median SDR of 1 s")


def print_scores(results: Sequence["Result"], summary: "Summary") -> None:
    """The same for people: one line a stem of each song, then of all songs."""
    blocks = [(result.name, result.scores, result.mean) for result in results if not result.error]
    if len(blocks) > 1:
        songs = f"of {len(blocks)} songs"
        blocks += [(f"mean {songs}", summary.means, summary.mean)]
        blocks += [(f"median {songs}", summary.medians, summary.median)]
    lines: list[tuple[str, ...]] = [SCORE_COLUMNS]
    for name, stems, mean in blocks:
        rows = {**stems, "mean": mean} if len(stems) > 1 else stems
        for stem, score in rows.items():
            cells = ("-" if math.isnan(figure) else f"{figure:.2f}" for figure in vars(score).values())
            lines.append((printable(name), printable(stem), *cells))
    if not blocks:
        return
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for song, stem, *figures in lines:
        padded = (figure.rjust(width) for figure, width in zip(figures, widths[2:], strict=True))
        _write("  ".join([song.ljust(widths[0]), stem.ljust(widths[1]), *padded]).encode(errors="surrogateescape"))


def _write(*lines: bytes) -> None:
    if sys.stdout is None:  # closed from the start
        return
    try:
        sys.stdout.buffer.write(b"".join(line + b"\n" for line in lines))
        sys.stdout.buffer.flush()
    except OSError:
        # What is still buffered must not fail again when Python leaves.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


def print_paths(written: Iterable[Path]) -> None:
    """Files, a line each, at once; in the system's own bytes, which need not be text.

    Raises:
        OSError: stdout takes nothing, now or ever.
    """
    _write(*map(os.fsencode, written))


def print_text(text: str) -> None:
    """One line as it is, at once.

    Raises:
        OSError: stdout takes nothing, now or ever.
    """
    _write(text.encode(errors="surrogateescape"))


def print_line(data: Any) -> None:
    """One line of JSON for a script, at once.

    Raises:
        OSError: stdout takes nothing, now or ever.
    """
    _write(json.dumps(data, allow_nan=False).encode())


def print_json(data: Any) -> None:
    """Data for a script."""
    _write(json.dumps(data, indent=2).encode())


def as_text(value: Any) -> str:
    """A value of an entry for people."""
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items())
    if isinstance(value, tuple | list):
        return ", ".join(map(str, value))
    return str(value)


def _is_terminal() -> bool:
    return sys.stdout is not None and sys.stdout.isatty()


def _print_lines(rows: Sequence[Sequence[str]]) -> None:
    """Columns, whole lines however long: nobody is to find half a name in a pipe."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    padded = ([cell.ljust(width) for cell, width in zip(cells, widths, strict=True)] for cells in rows)
    _write(*("  ".join(cells).rstrip().encode(errors="surrogateescape") for cells in padded))


def _print_table(header: Sequence[str] | None, rows: Sequence[Sequence[str]]) -> None:
    # Only for a terminal: it takes longer to import than to read the registry.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=header is not None, header_style="bold")
    columns = header or ("", "")
    if header and console.width < DESCRIPTION_WIDTH:
        columns = columns[:-1]
    for place, name in enumerate(columns):
        table.add_column(name, overflow="fold", no_wrap=place == 0, style="bold" if place == 0 and not header else "")
    for cells in rows:
        table.add_row(*(Text(cell) for cell in cells[: len(columns)]))
    console.print(table)


def _rounded(figure: float | None) -> float | None:
    return None if figure is None else round(figure, 3)


def _clip_as_data(clip: "Clip") -> dict[str, Any]:
    levels = {"loudness": _rounded(clip.loudness), "gain": _rounded(clip.gain), "matched": clip.matched}
    return {"path": str(clip.path), **levels, **{name: _rounded(figure) for name, figure in clip.scores.items()}}


def comparison_as_data(comparison: "Comparison") -> dict[str, Any]:
    """What a comparison found, as `compare --json` tells it and as it lies beside the clips: dB, LUFS and seconds."""
    plan, names = comparison.plan, [entry.name for entry in comparison.plan.entries]
    speeds = [{"seconds": round(run.seconds, 3), "real_time_factor": round(run.speed, 3)} for run in comparison.runs]
    return {
        "song": str(plan.song.path),
        "start": round(plan.start, 6),
        "duration": round(plan.duration, 6),
        "folder": str(plan.folder),
        "models": [{"model": name, **speed} for name, speed in zip(names, speeds, strict=True)],
        "mixture": _clip_as_data(comparison.mixture),
        "stems": {
            stem: {
                "clips": [
                    {"model": names[place], "sdr": None, "si_sdr": None, **_clip_as_data(clip)}
                    for place, clip in group.clips.items()
                ],
                "reference": _clip_as_data(group.reference) if group.reference else None,
                "differences": [
                    {"models": [names[one], names[other]], "decibels": _rounded(figure)}
                    for (one, other), figure in group.differences.items()
                ],
            }
            for stem, group in comparison.groups.items()
        },
        "left_out": {stem: [names[place] for place in places] for stem, places in plan.left_out.items()},
    }


def comparison_in_lines(comparison: "Comparison") -> list[str]:
    """The same for people: a line for each model, then one for each clip."""
    plan = comparison.plan
    names = [f"{number} {entry.name}" for number, entry in enumerate(plan.entries, 1)]
    models = [("model", "x real time", "whole song")]
    for name, run in zip(names, comparison.runs, strict=True):
        models.append((name, f"{run.speed:,.2f}", minutes(plan.song.seconds / run.speed)))
    scored = {"sdr": "SDR", "si_sdr": "SI-SDR"} if plan.references else {}
    others = range(len(names) - 1)
    clips = [("stem", "clip", "loudness", "gain", *scored.values(), *(f"vs {place + 1}" for place in others))]
    for stem, group in comparison.groups.items():
        if group.reference:
            clips.append((stem, "reference", *_level(group.reference), *[""] * (len(scored) + len(others))))
        for place, clip in group.clips.items():
            figures = [clip.scores.get(name) for name in scored]
            figures += [group.differences.get((other, place)) for other in others]
            cells = ("" if figure is None else f"{figure:.1f} dB" for figure in figures)
            clips.append((stem, names[place], *_level(clip), *cells))
    return [*_aligned(models, words=1), "", *_aligned(clips, words=2)]


def _level(clip: "Clip") -> tuple[str, str]:
    """A clip's loudness, and by how much it is written louder."""
    if clip.loudness is None:
        return "silent", ""
    return f"{clip.loudness:.1f} LUFS", f"{clip.gain:+.1f} dB" if clip.matched else "not matched"


def _aligned(rows: Sequence[Sequence[str]], words: int) -> list[str]:
    """Lines of columns, of which the first are words, the others figures."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row[:words], widths[:words], strict=True)]
        cells += [cell.rjust(width) for cell, width in zip(row[words:], widths[words:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return lines

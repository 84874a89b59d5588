"""Runs a benchmark's parts in processes of their own, each with a limit of time, and keeps all that they measured.

A part that fails, crashes or takes too long is a row of the table, not the end of the benchmark. A part's process
prints each row as a line of JSON as soon as it is measured, so a part that is stopped leaves the rows before.
"""

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tests.benchmarks.measuring import facts, machine

COLUMNS = ("what", "baseline", "stemsplit", "ratio", "goal", "error")
POLL_SECONDS = 0.05


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Args:
        name: what was measured; the same on every machine.
        baseline: figure of what it is compared with.
        ours: stemsplit's figure.
        ratio: how the two compare.
        goal: what the ratio, or the figure, should reach.
        error: distance from the baseline's result, or why a figure is missing.
        met: whether the goal is reached; None if there is none.
    """

    name: str
    baseline: str = ""
    ours: str = ""
    ratio: str = ""
    goal: str = ""
    error: str = ""
    met: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """The row's cells under `COLUMNS`."""
        missed = " (missed)" if self.met is False else ""
        return (self.name, self.baseline, self.ours, self.ratio, self.goal + missed, self.error)


@dataclass(frozen=True)
class Part:
    """A part of a benchmark: the command that prints its rows, and how many seconds it may take."""

    name: str
    command: Sequence[str]
    seconds: float


def line_of(cells: Iterable[str]) -> str:
    """A line of a Markdown table."""
    return "| " + " | ".join(cell.replace("|", "/").replace("\n", " ") for cell in cells) + " |"


def head(columns: Sequence[str] = COLUMNS) -> str:
    """The first two lines of a Markdown table."""
    return line_of(columns) + "\n" + "|" + " --- |" * len(columns)


def tell(rows: Iterable[Row]) -> None:
    """Print this machine, then rows as they come, for the process that runs this part."""
    print(json.dumps({"machine": facts()}), flush=True)
    for row in rows:
        print(json.dumps({"row": asdict(row)}), flush=True)


def end(process: "subprocess.Popen[bytes]") -> None:
    """Kill a part, with all processes that it started."""
    with suppress(ProcessLookupError, PermissionError):
        if hasattr(os, "killpg"):
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    process.wait()


def reason(status: int, errors: str) -> str:
    """Why a process failed, from its exit status and what it wrote to stderr."""
    if status < 0:
        return f"killed by {signal.Signals(-status).name}"
    lines = [line for line in errors.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"exit status {status}"


def message(line: bytes) -> dict[str, Any]:
    """What a line of a part says; nothing if a library printed it."""
    try:
        found = json.loads(line)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def messages(part: Part, seconds: float) -> Generator[dict[str, Any], None, str]:
    """Run a part for some seconds at most, and yield what it says; return why it failed, or nothing."""
    with tempfile.TemporaryDirectory() as folder:
        out, errors = Path(folder) / "out", Path(folder) / "errors"
        with out.open("wb") as stdout, errors.open("wb") as stderr:
            process = subprocess.Popen(part.command, stdout=stdout, stderr=stderr, start_new_session=True)
        try:
            limit, status, unfinished = time.monotonic() + seconds, None, b""
            with out.open("rb") as said:
                while status is None and time.monotonic() < limit:
                    time.sleep(POLL_SECONDS)
                    status = process.poll()  # before reading, so that nothing is said after the last look
                    *lines, unfinished = (unfinished + said.read()).split(b"\n")
                    yield from filter(None, map(message, lines))
        finally:
            end(process)
        if status is None:
            return f"stopped after {seconds:.0f} s; what was measured before holds"
        return reason(status, errors.read_text(encoding="utf-8", errors="replace")) if status else ""


def rows_of(part: Part, seconds: float, report: dict[str, Any]) -> Iterator[Row]:
    """Run a part and yield its rows; note the machine, the rows and the part's time in the report."""
    started = time.monotonic()
    said: Iterator[dict[str, Any]] = messages(part, seconds) if seconds > 0 else iter(())
    failure = "" if seconds > 0 else "not run: no time was left"
    while True:
        try:
            what = next(said)
        except StopIteration as over:
            failure = failure or over.value or ""
            break
        if "machine" in what:
            report["machine"] = what["machine"]
        if "row" in what:
            row = Row(**what["row"])
            report["rows"].append({"part": part.name, **asdict(row)})
            yield row
    report["parts"][part.name] = {
        "seconds": round(time.monotonic() - started, 1),
        "limit_seconds": part.seconds,
        "failure": failure or None,
    }
    if failure:
        yield Row(f"part {part.name}", error=failure)


def written(file: Path, report: dict[str, Any], started: float) -> None:
    """Write what there is so far, so that an interrupt loses nothing."""
    report["seconds"] = round(time.monotonic() - started, 1)
    file.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def run(
    benchmark: str,
    parts: Sequence[Part],
    file: Path,
    *,
    total_seconds: float = float("inf"),
    show: Callable[[str], object] = lambda text: print(text, flush=True),
    **more: object,
) -> dict[str, Any]:
    """Run parts in turn, show a table as it comes, and write all of it as JSON after each row.

    Args:
        benchmark: the benchmark's name.
        parts: what to run.
        file: where the JSON goes.
        total_seconds: limit for all parts together; what does not fit in is not run.
        show: takes lines to print.
        more: further facts for the JSON.

    Returns:
        What was written: `benchmark`, `machine` (see `measuring.facts`), `seconds`, `parts` (name -> seconds, limit
        and failure) and `rows` (those of `Row`, with the name of their part).
    """
    started = time.monotonic()
    report: dict[str, Any] = {"benchmark": benchmark, **more, "machine": None, "parts": {}, "rows": []}
    show(head())
    for part in parts:
        left = total_seconds - (time.monotonic() - started)
        for row in rows_of(part, min(part.seconds, left), report):
            show(line_of(row.cells()))
            written(file, report, started)
        written(file, report, started)
    if report["machine"]:
        show(f"\n{machine(report['machine'])}")
    failed = [name for name, part in report["parts"].items() if part["failure"]]
    missed = [row["name"] for row in report["rows"] if row["met"] is False]
    told = f"parts that failed: {', '.join(failed) or 'none'}; goals missed: {len(missed)}"
    show(f"{report['seconds'] / 60:.1f} min; {told}")
    show(f"written: {file}")
    return report


def main(
    module: str,
    parts: dict[str, tuple[Callable[[bool], Iterator[Row]], float]],
    total_seconds: float = float("inf"),
) -> None:
    """Run the parts that the arguments name, or one of them in this process; see `run`.

    Args:
        module: name of the module that is run, whose last word is the benchmark's name.
        parts: name -> a function that yields rows, given whether it only rehearses, and its limit in seconds.
        total_seconds: limit for all of them.
    """
    name = module.rpartition(".")[2]
    parser = argparse.ArgumentParser(prog=f"python -m {module}")
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; default: all")
    parser.add_argument("--rehearse", action="store_true", help="small sizes, on the CPU: no figure means anything")
    parser.add_argument("--json", type=Path, default=Path(f"{name}.json"), metavar="FILE", help="default: %(default)s")
    parser.add_argument(
        "--here", action="store_true", help="run the parts in this process, and print their rows as JSON"
    )
    given = parser.parse_args()
    if unknown := set(given.parts) - set(parts):
        parser.error(f"no part {', '.join(sorted(unknown))}; there are {', '.join(parts)}")
    chosen = given.parts or list(parts)
    if given.here:
        for part in chosen:
            tell(parts[part][0](given.rehearse))
        return
    again = [sys.executable, "-m", module, "--here", *(["--rehearse"] if given.rehearse else [])]
    found = run(
        name,
        [Part(part, [*again, part], parts[part][1]) for part in chosen],
        given.json,
        total_seconds=total_seconds,
        rehearsal=given.rehearse,
    )
    sys.exit(any(part["failure"] for part in found["parts"].values()))

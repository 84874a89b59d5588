"""Benchmarks keep what they measured whatever goes wrong, and the one for a GPU works before there is a GPU."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.benchmarks import columns
from tests.benchmarks.goals import commands
from tests.benchmarks.goals import networks as goals_of_networks
from tests.benchmarks.goals.__main__ import PARTS as GOALS
from tests.benchmarks.goals.size import REHEARSAL as SMALL_GOALS
from tests.benchmarks.gpu import networks, songs, tested
from tests.benchmarks.gpu.__main__ import PARTS, SECONDS
from tests.benchmarks.gpu.scale import REHEARSAL, SMALL
from tests.benchmarks.parts import Part, Row, run
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.cli.processes import light as light
from tests.conftest import unix

Command = Callable[..., Result]

SAYS = """
import json, os, signal, subprocess, sys, time
def say(name): print(json.dumps({"row": {"name": name, "ours": "1 s"}}), flush=True)
print(json.dumps({"machine": None}), "and what a library prints", sep="\\n", flush=True)
"""


def part(name: str, program: str, seconds: float = 20.0) -> Part:
    return Part(name, [sys.executable, "-I", "-S", "-c", SAYS + program], seconds)


def measured(folder: Path, *parts: Part, **settings: Any) -> tuple[dict[str, Any], list[str]]:
    """What a benchmark wrote and what it showed."""
    shown: list[str] = []
    run("mine", parts, folder / "mine.json", show=lambda text: shown.append(str(text)), **settings)
    return json.loads((folder / "mine.json").read_text()), shown


def test_a_part_that_fails_is_a_row_and_the_next_one_runs(tmp_path: Path) -> None:
    failing, good = part("failing", "say('before'); raise ValueError('no such kernel')"), part("good", "say('after')")
    report, shown = measured(tmp_path, failing, good)
    assert [row["name"] for row in report["rows"]] == ["before", "after"]
    assert report["parts"]["failing"]["failure"] == "ValueError: no such kernel"
    assert report["parts"]["good"]["failure"] is None
    assert "| part failing |  |  |  |  | ValueError: no such kernel |" in shown


@unix
def test_a_part_that_takes_too_long_is_stopped_with_all_that_it_started(tmp_path: Path) -> None:
    program = "child = subprocess.Popen(['sleep', '60']); say(str(child.pid)); time.sleep(60)"
    report, shown = measured(tmp_path, part("endless", program, 0.5), part("good", "say('after')"))
    child, after = (row["name"] for row in report["rows"])
    assert after == "after"
    assert report["parts"]["endless"]["failure"].startswith("stopped after")
    limit = time.monotonic() + 10
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text():
        assert time.monotonic() < limit, "the child still runs"
    assert any(line.startswith(f"| {child} | ") for line in shown)


@unix
def test_a_crash_is_told_by_its_signal(tmp_path: Path) -> None:
    report, _ = measured(tmp_path, part("crashing", "say('before'); os.kill(os.getpid(), signal.SIGKILL)"))
    assert report["parts"]["crashing"]["failure"] == "killed by SIGKILL"
    assert [row["name"] for row in report["rows"]] == ["before"]


def test_parts_that_do_not_fit_into_the_total_are_not_run(tmp_path: Path) -> None:
    report, _ = measured(
        tmp_path, part("first", "say('a'); time.sleep(0.3)"), part("second", "say('b')"), total_seconds=0.2
    )
    assert "no time" in report["parts"]["second"]["failure"]
    assert "b" not in [row["name"] for row in report["rows"]]


def test_a_missed_goal_is_marked() -> None:
    assert Row("a", goal="2x", met=False).cells()[4] == "2x (missed)"
    assert Row("a", goal="2x", met=True).cells()[4] == Row("a", goal="2x").cells()[4] == "2x"


def test_results_of_tests_are_rows(tmp_path: Path) -> None:
    (tmp_path / "test_gpu.py").write_text(
        "import pytest\n"
        "def test_good(): pass\n"
        "def test_bad(): assert 1 == 2, 'off by one'\n"
        "@pytest.mark.skip\n"
        "def test_left_out(): pass\n"
    )
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    counts, bad = tested.results([str(tmp_path)])
    assert (counts.ours, counts.met) == ("1 passed, 1 failed, 1 skipped", False)
    assert (bad.name, bad.met) == ("test test_gpu::test_bad", False)
    assert "off by one" in bad.error


def test_the_limits_of_parts_leave_time_for_each_other() -> None:
    """Only the last one, which matters least, may get less than it asks for."""
    seconds = [limit for _, limit in PARTS.values()]
    assert sum(seconds[:-1]) + 30 <= SECONDS <= 480


@pytest.mark.usefixtures("light")
def test_every_part_of_the_benchmark_of_a_gpu_can_be_rehearsed(
    stemsplit: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its exactness holds on a CPU, too."""

    def split(*arguments: str | Path) -> list[dict[str, Any]]:
        result = stemsplit("split", *arguments, "--json", "--quiet")
        assert result.status == 0, result.err
        return [json.loads(line) for line in result.out.splitlines()]

    monkeypatch.setattr(songs, "split", split)
    # Even a compiler that compiles nothing takes seconds to be loaded.
    monkeypatch.setattr(torch, "compile", lambda module, **_: module)
    monkeypatch.setattr(torch.compiler, "reset", lambda: None)
    monkeypatch.setattr(networks, "gemm_rate", lambda *_: 1e9)
    monkeypatch.setattr(networks, "flops_of", lambda *_: 1)
    size = replace(REHEARSAL, networks=dict(list(SMALL.items())[:1]), batch_sizes=(1, 2), chunk=4_410)
    works = [networks.rates, networks.parity, networks.halving, networks.compiled, songs.folder, songs.memory]
    rows = [row for work in works for row in work(size)]
    rows += [*networks.chunks(size, 0), *songs.starter(size)]
    names = [row.name for row in rows]
    assert len(set(names)) == len(names), "columns of machines are joined by name"
    exact = [
        row for row in rows if "exactness" in row.name or "against the CPU" in row.name or "chunks where" in row.name
    ]
    assert len(exact) == 7
    assert all(row.met for row in exact)
    assert all(row.ours for row in rows if row not in exact)


def report(processor: str, rows: list[Row], **known: Any) -> dict[str, Any]:
    facts = {"processor": processor, "capabilities": ["AVX2"], "architecture": "x86_64", "limited": {}, "cores": 2}
    versions = {"system": "Linux", "torch": "2", "python": "3", "gpu": None}
    machine = {**facts, **versions, **known}
    return {"rehearsal": False, "machine": machine, "rows": [{"part": "mel", **vars(row)} for row in rows]}


def test_each_machine_has_a_column_and_rows_are_joined_by_name() -> None:
    slow = Row("chunk", "4 s", "2 s", "2.00x (1.90x CPU)", "2.5x", "1e-06", False)
    fast = replace(slow, ours="1 s", ratio="4.00x", met=True)
    again = replace(slow, ours="1.9 s", ratio="2.11x")
    reports = [
        report("Intel(R) Xeon(R) Processor", [Row("first", ours="7 s"), slow]),
        report("AMD EPYC 9R14 96-Core Processor", [fast, Row("only here", ours="3 s")], capabilities=["AVX2", "BF16"]),
        report("Intel(R) Xeon(R) Processor", [again]),
    ]
    header, _, *lines = "\n".join(columns.table(columns.columns(reports))).splitlines()
    assert header == "| what | goal | Intel Xeon, AVX2 | AMD EPYC 9R14, BF16 |"
    assert lines[:3] == [
        "| first |  | 7 s |  |",
        "| chunk | 2.5x | 2.11x (1.9 s, 1e-06), missed | 4.00x (1 s, 1e-06) |",
        "| only here |  |  | 3 s |",
    ]
    assert lines[-1] == "- chunk: missed on Intel Xeon, AVX2"


def test_machines_that_differ_in_anything_have_columns_of_their_own() -> None:
    rows = [Row("chunk", ours="1 s")]
    reports = [report("Xeon", rows), report("Xeon", rows, cores=4), report("Xeon", rows, limited={"A": "avx2"})]
    assert [column.name for column in columns.columns(reports)] == ["Xeon, AVX2", "Xeon, AVX2 #2", "Xeon, AVX2, avx2"]


def test_a_rehearsal_is_not_taken_for_a_measurement() -> None:
    with pytest.raises(ValueError, match="rehearsal"):
        columns.columns([{**report("Xeon", []), "rehearsal": True}])


@pytest.mark.parametrize(
    ("times", "told", "held"), [([10.0, 10.0], 10.0, [True, True]), ([14.0, 10.0], 13.0, [False, False])]
)
def test_short_songs_are_held_to_the_cost_of_a_long_one(
    monkeypatch: pytest.MonkeyPatch, times: list[float], told: float, held: list[bool]
) -> None:
    """And the sum of their times to that of the run."""

    def run(songs: list[Path], *_: object) -> commands.Run:
        return commands.Run(20.0, 20.0, 2**20, times[0 if songs[0].is_dir() else 1], told)

    monkeypatch.setattr(commands, "run", run)
    assert [row.met for row in commands.short_songs(SMALL_GOALS)][:2] == held


def test_a_network_is_compared_in_each_precision_of_this_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(goals_of_networks, "gemm_rate", lambda *_: 1e9)
    monkeypatch.setattr(goals_of_networks, "flops", lambda *_, **__: 1)
    rows = list(goals_of_networks.bs(SMALL_GOALS))
    assert rows[0].name.endswith("float32")
    assert all("e-" in row.error or row.error.endswith("dB") for row in rows[:-1])
    assert all(limit <= 900 for _, limit in GOALS.values())

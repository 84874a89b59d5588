"""`stemsplit bench`."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stemsplit import bench
from stemsplit.registry import find
from tests.cli.conftest import Result

Command = Callable[..., Result]

TABLE = """
[small]
description = "as small as can be"
architecture = "bs_roformer"
stems = ["vocals"]
sample_rate = 44100
channels = 2
chunk = 8820
hop = 4410
sources = ["file:missing.safetensors"]
author = "this test"
config = { dim = 8, depth = 1, dim_head = 4, heads = 2, mlp_expansion_factor = 1, stereo = true }
"""


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A published configuration whose weights are nowhere, and a machine that is soon measured."""
    (tmp_path / "models.toml").write_text(TABLE)
    monkeypatch.setenv("STEMSPLIT_REGISTRY", "models.toml")
    monkeypatch.setattr(bench, "SIDES", {"cpu": 64})
    monkeypatch.setattr(bench, "GEMM_SECONDS", 0.0)
    monkeypatch.setattr(bench, "ENOUGH_SECONDS", 0.0)


def test_a_table_has_a_line_for_each_precision_and_batch_size(stemsplit: Command) -> None:
    options = ("--random-weights", "--device", "cpu", "--batch-size", "1,2", "--report", "speed.html")
    result = stemsplit("bench", "small", *options)
    assert result.status == 0
    assert result.err.splitlines()[-1] == "report: speed.html"
    assert "<h1>Speed of small</h1>" in Path("speed.html").read_text()
    facts, table, *kernels, songs = result.out.split("\n\n")
    assert all(block.startswith("operation ") for block in kernels)
    assert [line.split()[0] for line in facts.splitlines()] == ["model", "chunk", "device", "GEMM"]
    header, *rows = table.splitlines()
    precisions = bench.formats((), torch.device("cpu"))
    assert header.split()[0] == "precision"
    assert [tuple(row.split()[:2]) for row in rows] == [(name, size) for name in precisions for size in "12"]
    assert {len(row) for row in rows} == {len(header)}
    assert "fp32, batch size 2: the first call" in result.err
    assert all(re.match(r"a 4-minute song: about \d+:\d\d in ", line) for line in songs.splitlines())
    assert len(songs.splitlines()) == len(precisions)


def test_a_script_gets_the_same_as_json(stemsplit: Command) -> None:
    result = stemsplit(
        "bench", "small", "--random-weights", "-d", "cpu", "--precision", "fp32", "--threads", 1, "--json"
    )
    data = json.loads(result.out)
    (row,) = data["rows"]
    assert (data["model"], data["random_weights"], data["hop_seconds"]) == ("small", True, 0.1)
    assert (data["machine"]["threads"], list(data["machine"]["gemm_gflops"])) == (1, ["fp32"])
    assert (row["precision"], row["batch_size"], row["error"]) == ("fp32", 1, None)
    assert row["real_time_factor"] == pytest.approx(data["hop_seconds"] / row["seconds_per_chunk"])
    chunks = find("small", Path("models.toml")).chunks_in(240.0)
    assert row["seconds_per_four_minutes"] == pytest.approx(chunks * row["seconds_per_chunk"], abs=0.01)
    assert row["gflops"] == pytest.approx(data["gflop_per_chunk"] / row["seconds_per_chunk"])
    assert all(kernel["precision"] == "fp32" for kernel in data["kernels"])
    assert row["gemm_share"] == pytest.approx(row["gflops"] / data["machine"]["gemm_gflops"]["fp32"])


def test_without_a_name_it_is_the_built_in_model_with_its_weights(stemsplit: Command) -> None:
    arguments = ("-d", "cpu", "--precision", "auto", "--threads", 1, "--chunk-seconds", 0.5, "--batch-size", 1)
    data = json.loads(stemsplit("bench", *arguments, "--json").out)
    assert (data["model"], data["random_weights"], data["chunk_seconds"]) == ("starter", False, 0.5)


def test_weights_that_cannot_be_had(stemsplit: Command) -> None:
    result = stemsplit("bench", "small")
    assert (result.status, result.out) == (3, "")
    assert "missing.safetensors" in result.err


def test_an_unknown_model(stemsplit: Command) -> None:
    result = stemsplit("bench", "smal", "--random-weights")
    assert (result.status, result.out) == (3, "")
    assert "did you mean 'small'?" in result.err


@pytest.mark.parametrize(
    "senseless",
    [
        ("--precision", "fp8"),
        ("--precision", "fp32,fp16"),
        ("--batch-size", "0"),
        ("--batch-size", "1,,2"),
        ("--batch-size", "many"),
        ("--threads", "0"),
        ("--chunk-seconds", "nan"),
        ("--device", "abacus"),
        ("--config", "models.toml"),
        ("--report", "models.toml"),
    ],
)
def test_what_makes_no_sense_is_a_usage_error(stemsplit: Command, senseless: tuple[str, str]) -> None:
    """Known before any download: these weights are nowhere."""
    device = () if "--device" in senseless else ("--device", "cpu")
    result = stemsplit("bench", "small", *device, *senseless)
    assert (result.status, result.out) == (2, "")


def test_an_interrupt_leaves_nothing_half_printed(stemsplit: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "chunk_seconds", interrupted)
    result = stemsplit("bench", "small", "--random-weights", "-d", "cpu")
    assert (result.status, result.out) == (130, "")


@pytest.mark.parametrize(("load", "said"), [(0.1, False), (2.0, True)])
def test_other_programs_that_are_busy_are_told_of(
    stemsplit: Command, monkeypatch: pytest.MonkeyPatch, load: float, said: bool
) -> None:
    monkeypatch.setattr("os.getloadavg", lambda: (load, 0.0, 0.0), raising=False)
    result = stemsplit("bench", "small", "--random-weights", "-d", "cpu", "--precision", "fp32", "--threads", 1)
    assert ("other programs are using" in result.err) == said

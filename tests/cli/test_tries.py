"""Runs that end early, songs that are not tried for ever, and dry runs that estimate for many machines."""

import csv
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.cli.split_tries import few_digits
from tests.cli.conftest import Result
from tests.cli.processes import light as light
from tests.test_docs import check, lines

Song = Callable[..., Path]
Command = Callable[..., Result]


@pytest.fixture
def album(song: Song, tmp_path: Path) -> list[str]:
    """Return the names of four files, of which only the second is audio."""
    song("b.wav", frames=4_000)
    for name in ("a.wav", "c.wav", "d.wav"):
        (tmp_path / name).write_text("not audio")
    return ["a.wav", "b.wav", "c.wav", "d.wav"]


@pytest.mark.usefixtures("light")
def test_a_run_ends_after_so_many_failures_and_tells_what_was_not_tried(stemsplit: Command, album: list[str]) -> None:
    result = stemsplit(*album, "--max-failures", "1", "--json", "--csv", "table.csv")
    *songs, summary = lines(result.out)
    assert [song["status"] for song in songs] == ["failed", "not tried", "not tried", "not tried"]
    counts = {name: summary["summary"][name] for name in ("songs", "done", "failed", "not_tried", "exit_status")}
    assert counts == {"songs": 4, "done": 0, "failed": 1, "not_tried": 3, "exit_status": 1}
    for line in (*songs, summary):
        check("split", line)
    assert "3 songs not tried" in result.err
    assert "ended after 1 failure" in result.err
    with Path("table.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == [song["status"] for song in songs]
    assert result.status == 1


@pytest.mark.usefixtures("light")
def test_songs_before_the_last_failure_are_split_and_a_limit_not_reached_changes_nothing(
    stemsplit: Command, album: list[str]
) -> None:
    result = stemsplit(*album, "--max-failures", "2", "--json")
    assert [line["status"] for line in lines(result.out) if "song" in line] == ["failed", "done", "failed", "not tried"]
    result = stemsplit(*album, "--max-failures", "3", "--json")
    *songs, summary = lines(result.out)
    assert [song["status"] for song in songs] == ["failed", "skipped", "failed", "failed"]
    assert summary["summary"]["not_tried"] == 0
    assert "not tried" not in result.err


@pytest.mark.usefixtures("light")
def test_a_song_that_failed_in_three_runs_is_not_tried_again_until_forced(stemsplit: Command, song: Song) -> None:
    path = song("a.wav", frames=4_000)
    path.write_bytes(path.read_bytes()[:-4_000])  # its header is whole, so only decoding it tells
    for _ in range(3):
        result = stemsplit("a.wav", "--shard", "1/1")
        assert "cut off" in result.err
        assert "not tried again" not in result.err
    result = stemsplit("a.wav", "--shard", "1/1", "--json")
    (line, _) = lines(result.out)
    assert line["status"] == "failed"
    assert "failed 3 times" in line["error"]
    assert "cut off" in line["error"]
    assert result.status == 1
    assert "not tried again" in stemsplit("a.wav", "--shard", "1/1", "--dry-run").out
    assert "not tried again" not in stemsplit("a.wav", "--shard", "1/1", "--force").err


@pytest.mark.usefixtures("light")
def test_a_dry_run_estimates_time_and_cost_for_many_machines(stemsplit: Command, song: Song) -> None:
    for number in range(4):
        song(f"{number}.wav", frames=40_000)
    options = ("0.wav", "1.wav", "2.wav", "3.wav", "-o", "new", "--dry-run", "--cost-per-hour", "3600", "--workers")
    *_, unknown = lines(stemsplit(*options, "2", "--json").out)
    check("dry-run", unknown)
    assert (unknown["summary"]["makespan_seconds"], unknown["summary"]["cost"]) == (None, None)
    assert stemsplit("0.wav", "1.wav").status == 0
    *_, known = lines(stemsplit(*options, "2", "--json").out)
    check("dry-run", known)
    told = known["summary"]
    assert told["bound_seconds"] <= told["makespan_seconds"] <= told["paid_seconds"]
    assert told["cost"] == pytest.approx(told["paid_seconds"], abs=0.1)
    assert "2 machines like this one" in stemsplit(*options, "2").err
    assert "0.0 machine hours" not in stemsplit(*options, "2").err
    assert {"workers", "cost"}.isdisjoint([*lines(stemsplit("0.wav", "--dry-run", "--json").out)][-1]["summary"])


def test_a_price_or_machines_without_a_dry_run_are_refused(stemsplit: Command) -> None:
    assert stemsplit("a.wav", "--cost-per-hour", "1").status == 2
    assert stemsplit("a.wav", "--workers", "3").status == 2


@pytest.mark.parametrize("price", ["inf", "nan", "-1", "1e300"])
def test_a_price_that_no_hour_has_is_refused(stemsplit: Command, price: str) -> None:
    assert stemsplit("a.wav", "--dry-run", "--cost-per-hour", price).status == 2


@pytest.mark.parametrize(("value", "text"), [(0, "0.0"), (0.0044, "0.0044"), (0.123, "0.12"), (12.34, "12.3")])
def test_little_is_not_told_as_nothing(value: float, text: str) -> None:
    assert few_digits(value, 1) == text

"""What a dry run says of time and disk, and what the bar says before the first chunk."""

import io
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template
from stemsplit.songs.speeds import Estimate
from stemsplit.terminal import console
from stemsplit.terminal.songs import job_as_data, plan_as_data, plan_in_words, print_plan
from stemsplit.terminal.splitting import SplitReport

NAMES = Template("{track}/{stem}").of_song(track="a", model="", parent="", ext="", artist=None, title=None)
KNOWN = Job(Path("a.wav"), Options(Path("out"), ()), Path("out"), NAMES, seconds=60.0, size=2_000_000)
UNKNOWN = replace(KNOWN, path=Path("b.m4a"), seconds=None, size=None)


def words(jobs: list[Job], estimate: Estimate | None = None, free: int | None = 5 * 10**9) -> str:
    return plan_in_words(plan_as_data(jobs, 0, estimate, free, None))


def test_time_disk_and_free_space_are_told() -> None:
    text = words([KNOWN, KNOWN], Estimate(90.0, 85.0, 95.0))
    assert "2:00 of music, about 1:30 to split; needs about 4.0 MB of disk; 5.0 GB is free there" in text


def test_runs_that_disagree_give_a_range() -> None:
    assert "about 0:30 to 2:00 to split" in words([KNOWN], Estimate(60.0, 30.0, 120.0))


def test_a_song_of_unknown_length_is_counted_and_left_out_of_the_sums() -> None:
    data = plan_as_data([KNOWN, UNKNOWN], 0, Estimate(30.0, 30.0, 30.0), None, None)
    assert (data["unknown_length"], data["duration"], data["bytes"]) == (1, 60.0, 2_000_000)
    assert "besides, 1 song of unknown length, which takes more time and disk" in plan_in_words(data)
    assert "besides, 2 songs of unknown length, which take more" in words([KNOWN, UNKNOWN, UNKNOWN])


def test_where_no_length_is_known_nothing_is_summed_up() -> None:
    data = plan_as_data([UNKNOWN], 0, Estimate(3.0, 3.0, 3.0), 10**9, None)
    names = ("duration", "bytes", "estimated_seconds", "estimated_range")
    assert [data[name] for name in names] == [None] * 4
    assert "1 song of unknown length, so time and disk are unknown; 1.0 GB is free there" in plan_in_words(data)
    assert "0:00" not in plan_in_words(data)
    assert (job_as_data(UNKNOWN)["duration"], job_as_data(UNKNOWN)["bytes"]) == (None, None)


def test_where_nothing_is_to_be_split_nothing_is_unknown() -> None:
    data = plan_as_data([replace(UNKNOWN, done=True)], 0, None, 10**9, None)
    assert (data["unknown_length"], data["duration"], data["bytes"]) == (0, 0, 0)
    assert "unknown" not in plan_in_words(data)


def test_a_disk_that_is_full_or_says_nothing() -> None:
    assert words([KNOWN], free=0).endswith("nothing is free there")
    assert "free" not in words([KNOWN], free=None)


def test_an_unknown_length_is_a_question_mark_in_the_list(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan([KNOWN, UNKNOWN, replace(UNKNOWN, done=True)])
    columns = [line.removeprefix("to do").split()[0] for line in capsys.readouterr().out.splitlines()]
    assert columns == ["1:00", "?", "done"]


def test_a_song_that_cannot_be_read_is_named_once(capsys: pytest.CaptureFixture[str]) -> None:
    print_plan([replace(KNOWN, problem="cannot read a.wav (there is no such file)")])
    assert capsys.readouterr().out == "problem    a.wav  cannot be read (there is no such file)\n"


def test_the_bar_says_what_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    terminal = Console(file=stream, force_terminal=True, width=100, markup=False, highlight=False)
    monkeypatch.setattr(console, "PEOPLE", terminal)
    said = []
    later = replace(KNOWN, path=Path("b.wav"))
    with SplitReport([KNOWN, later], quiet=False) as report:
        for job, done in ((KNOWN, 0.0), (KNOWN, 0.0), (KNOWN, 4.0), (later, 0.0), (later, 4.0)):
            report.progress(job, done, 60.0)
            said.append(report.bar.tasks[0].description.partition("] ")[2])
    assert said == ["a.wav: loading the model", "a.wav: first chunk", "a.wav", "b.wav: first chunk", "b.wav"]

"""What people see while songs are split."""

import io
import json
import re
from pathlib import Path

import pytest
from rich.console import Console

from stemsplit.songs.find import Search
from stemsplit.songs.found import Found
from stemsplit.songs.job import Job, Options
from stemsplit.songs.naming import Template
from stemsplit.songs.outcome import Outcome, Totals
from stemsplit.songs.outputs import Output
from stemsplit.songs.plan import planned
from stemsplit.songs.record import Record
from stemsplit.terminal import console
from stemsplit.terminal.splitting import SplitReport

OPTIONS = Options(Path("stems"), (Output("vocals", (0.0, 1.0)),))


def jobs(*names: str) -> list[Job]:
    return [planned(Found(Path(name)), OPTIONS, Template(), "model") for name in names]


def made(job: Job, clipped: int = 0, silent: bool = False, skipped: bool = False) -> Outcome:
    """Return the outcome of a minute of song that was split in two seconds."""
    facts = {"file": "vocals.wav", "clipped": clipped, "silent": silent, "energy_share": 0.25, "peak": 1.0}
    record = Record({}, {}, {}, {"vocals": facts}, {"duration": 60.0, "sum_error": -140.2})
    return Outcome(job, record=record, skipped=skipped, seconds=2.0)


def recorded(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> io.StringIO:
    """Record everything that is written for people from now on."""
    stream = io.StringIO()
    monkeypatch.setattr(
        console, "PEOPLE", Console(file=stream, force_terminal=terminal, width=80, markup=False, highlight=False)
    )
    return stream


def test_a_terminal_shows_the_song_its_number_and_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=True)
    first, second = jobs("a.wav", "[b].wav")
    with SplitReport([first, second], quiet=False) as report:
        report.outcome(Outcome(first, error="cannot read a.wav"))
        report.progress(second, 0, 60)
        report.progress(second, 30, 60)
        report.bar.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "[2/2] [b].wav" in text
    assert "50%" in text
    assert max(len(line.rstrip()) for line in text.replace("\r", "\n").splitlines()) <= 80


def test_the_bar_is_removed_before_anything_else_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise paths on stdout would be written into it."""
    recorded(monkeypatch, terminal=True)
    (job,) = jobs("a.wav")
    with SplitReport([job], quiet=False) as report:
        report.progress(job, 0, 60)
        assert report.bar.live.is_started
        report.outcome(made(job))
        assert not report.bar.live.is_started


def test_without_a_terminal_there_are_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=False)
    monkeypatch.setattr(console, "REPORT_SECONDS", 0.0)
    (job,) = jobs("a.wav")
    with SplitReport([job], quiet=False) as report:
        report.progress(job, 0, 60)
        report.progress(job, 30, 60)
        report.outcome(made(job, clipped=3, silent=True))
    lines = stream.getvalue().splitlines()
    assert re.fullmatch(r"a\.wav: 50 %, \d+\.\dx real time, \d+:\d\d left", lines[-4])
    assert "vocals.wav: 3 samples beyond full scale were clipped" in lines[-3]
    assert lines[-2] == f"{Path('stems/a/vocals.wav')}: silent"
    figures = "1 stem of 1:00 in 2.0 s (30.0x real time), sum of the stems differs from the song by -140 dB"
    shares = "share of the song's energy (need not total 100 %): vocals 25 %"
    assert lines[-1] == f"a.wav: {figures}; {shares}"
    assert "\x1b" not in stream.getvalue()


def test_quiet_shows_only_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=True)
    good, bad = jobs("a.wav", "b.wav")
    with SplitReport([good, bad], quiet=True) as report:
        report.progress(good, 0, 60)
        report.outcome(made(good, clipped=3))
        report.outcome(Outcome(bad, error="cannot read b.wav"))
    assert re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()) == "error: cannot read b.wav\n"


def test_control_characters_in_a_name_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=False)
    console.error("cannot read \x1b[2Ja\nb.wav")
    assert stream.getvalue() == "error: cannot read \\x1b[2Ja\\nb.wav\n"


def test_a_program_gets_progress_as_lines_of_json(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=False)
    first, second = jobs("[a].wav", "b.wav")
    with SplitReport([first, second], quiet=False, steps="json") as report:
        report.progress(second, 30, 60)
    (event,) = (json.loads(line) for line in stream.getvalue().splitlines())
    assert event == {"progress": {"song": "b.wav", "place": 2, "songs": 2, "done": 30, "duration": 60}}


def test_a_last_line_sums_up_several_songs(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=False)
    first, second, third = jobs("a.wav", "b.wav", "c.wav")
    totals = Totals()
    for outcome in (made(first), made(second, skipped=True), Outcome(third, "cannot read c.wav")):
        totals.add(outcome)
    totals.seconds = 4.0
    SplitReport([first, second, third], quiet=False).total(totals, Search((), 5))
    said = "3 songs: 1 split, 1 already split, 1 failed; 5 files of other kinds passed over; 1:00 in 0:04 (15.0x"
    assert stream.getvalue().startswith(said)


def test_a_single_song_that_is_already_split_gets_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=False)
    (job,) = jobs("a.wav")
    with SplitReport([job], quiet=False) as report:
        report.outcome(made(job, skipped=True))
    assert "a.wav: already split" in stream.getvalue()

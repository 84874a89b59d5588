"""What a person sees of a batch at work."""

import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from stemsplit import console
from stemsplit.batch import Outcome
from stemsplit.job import Job, Options

OPTIONS = Options(Path("stems"), ("vocals",))


def jobs(*names: str) -> list[Job]:
    return [Job(Path(name), Path("stems") / Path(name).stem, OPTIONS) for name in names]


def recorded(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> io.StringIO:
    """Everything that people are told from now on."""
    stream = io.StringIO()
    monkeypatch.setattr(
        console, "PEOPLE", Console(file=stream, force_terminal=terminal, width=80, markup=False, highlight=False)
    )
    return stream


def test_a_terminal_shows_song_share_and_place_among_all(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=True)
    first, second = jobs("a.wav", "[b].wav")
    with console.SplitReport([first, second], quiet=False) as report:
        report.outcome(Outcome(first, error="cannot read a.wav"))
        report.progress(second, 0, 60)
        report.progress(second, 30, 60)
        report.bar.refresh()
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", stream.getvalue())
    assert "[2/2] [b].wav" in text
    assert "50%" in text
    assert max(len(line.rstrip()) for line in text.replace("\r", "\n").splitlines()) <= 80


def test_the_bar_is_gone_before_anything_else_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the paths on stdout would stick to it."""
    recorded(monkeypatch, terminal=True)
    (job,) = jobs("a.wav")
    with console.SplitReport([job], quiet=False) as report:
        report.progress(job, 0, 60)
        assert report.bar.live.is_started
        report.outcome(Outcome(job, song_seconds=60, seconds=2))
        assert not report.bar.live.is_started


def test_elsewhere_there_are_plain_lines_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=False)
    monkeypatch.setattr(console, "REPORT_SECONDS", 0.0)
    (job,) = jobs("a.wav")
    with console.SplitReport([job], quiet=False) as report:
        report.progress(job, 0, 60)
        report.progress(job, 30, 60)
        report.outcome(Outcome(job, paths=[Path("x")], song_seconds=60, seconds=2, sum_error=-140.2))
    lines = stream.getvalue().splitlines()
    assert re.fullmatch(r"a\.wav: 50 %, \d+\.\dx real time, \d+:\d\d left", lines[-2])
    assert lines[-1] == "a.wav: 1 stem of 1:00 in 2.0 s (30.0x real time), sum of stems vs song: -140 dB"
    assert "\x1b" not in stream.getvalue()


def test_quiet_says_only_what_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=True)
    good, bad = jobs("a.wav", "b.wav")
    with console.SplitReport([good, bad], quiet=True) as report:
        report.progress(good, 0, 60)
        report.outcome(Outcome(good, song_seconds=60, seconds=2, clipped={"vocals": 3}))
        report.outcome(Outcome(bad, error="cannot read b.wav"))
    assert re.sub(r"\x1b\[[0-9;]*m", "", stream.getvalue()) == "error: cannot read b.wav\n"


def test_a_name_cannot_command_the_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = recorded(monkeypatch, terminal=False)
    console.error("cannot read \x1b[2Ja\nb.wav")
    assert stream.getvalue() == "error: cannot read \\x1b[2Ja\\nb.wav\n"


@pytest.mark.parametrize(("seconds", "said"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3_723, "1:02:03")])
def test_times_for_people(seconds: float, said: str) -> None:
    assert console.minutes(seconds) == said

"""A library that was moved to another disk is known again, and its songs are read once and not in every run."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from stemsplit.disk.digest import sha256
from stemsplit.songs import record as records
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.preparing import Course, prepare
from stemsplit.songs.record import Record
from tests.conftest import snapshot, unix
from tests.songs.test_commit import FACTS, FIGURES
from tests.songs.test_plan import options, planned

Song = Callable[..., Path]


@pytest.fixture
def job(song: Song, tmp_path: Path) -> Job:
    """Return the job of a song that was split, whose record and stems are older than the song's file."""
    (job,) = planned([song("a.wav")], options(tmp_path))
    stems: dict[str, Any] = {}
    for output in job.options.outputs:
        target = job.targets[output.name]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(b"stem")
        stems[output.name] = {**FACTS, "file": job.name(target), "weights": list(output.gains)}
    of = {"name": job.path.name, "size": job.path.stat().st_size, "sha256": sha256(job.path)}
    job.record.write_text(Record(of, job.options.model, job.recorded_options, stems, FIGURES).text())
    os.utime(job.record, ns=(1, 1))
    time.sleep(0.2)  # a song that was changed a moment ago is compared again
    return job


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Return the songs that are read to compare them with their records."""
    found: list[Path] = []

    def spy(path: Path) -> str:
        found.append(path)
        return sha256(path)

    monkeypatch.setattr(records, "sha256", spy)
    return found


def skipped(job: Job) -> bool:
    """Plan and prepare a song, as a run does; return whether it was already split."""
    (again,) = planned([job.path], job.options)
    outcome = prepare(again, Course(pytest.fail))
    if isinstance(outcome, Outcome):
        return outcome.skipped
    outcome.close()  # type: ignore[union-attr]  # nobody else works on it
    return False


@unix
def test_a_moved_song_is_read_once_in_all_runs(job: Job, reads: list[Path]) -> None:
    before = snapshot(job.options.out)
    assert [skipped(job) for _ in range(3)] == [True] * 3
    assert reads == [job.path]
    assert snapshot(job.options.out) == before


@unix
def test_a_plan_alone_changes_nothing(job: Job, reads: list[Path]) -> None:
    assert planned([job.path], job.options)[0].done
    assert reads == [job.path]
    assert job.record.stat().st_mtime_ns == 1


def test_a_disk_that_keeps_no_times_costs_one_reading_a_run(
    job: Job, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refusing(*_: object, **__: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "utime", refusing)
    assert [skipped(job) for _ in range(2)] == [True] * 2
    assert reads == [job.path] * 2


@unix  # elsewhere, no time tells
@pytest.mark.parametrize("kept", [False, True], ids=["new time", "time of before"])
def test_a_song_that_is_changed_between_plan_and_run_is_split(job: Job, kept: bool) -> None:
    """Even to one of the same size and time."""
    (again,) = planned([job.path], job.options)
    assert again.done
    before, content = job.path.stat(), bytearray(job.path.read_bytes())
    content[-1] ^= 1
    job.path.write_bytes(content)
    if kept:
        os.utime(job.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    files = prepare(again, Course(pytest.fail))
    assert not isinstance(files, Outcome)
    files.close()  # type: ignore[union-attr]  # nobody else works on it
    assert job.record.stat().st_mtime_ns == 1


def test_a_changed_song_is_split_after_a_run_that_knew_it_again(job: Job) -> None:
    assert skipped(job)
    time.sleep(0.05)  # a tick of the disk
    content = bytearray(job.path.read_bytes())
    content[-1] ^= 1
    job.path.write_bytes(content)
    os.utime(job.path, ns=(1, 1))
    assert not skipped(job)

"""Songs that failed on several machines are not tried for ever, and several workers take the longest songs first."""

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from stemsplit.disk.claim import Claim
from stemsplit.errors import AudioError, DeviceError
from stemsplit.songs.job import Job, Options
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.preparing import Course, prepare
from stemsplit.songs.sharing.notes import Notes
from stemsplit.songs.sharing.order import longest_first
from stemsplit.songs.sharing.place import LocalPlace
from stemsplit.songs.sharing.tries import DEATHS, LOST, Tries, lost
from tests.songs.test_plan import options, planned

Song = Callable[..., Path]


@pytest.fixture
def job(song: Song, tmp_path: Path) -> Job:
    """Return the job of a song."""
    return planned([song("a.wav")], options(tmp_path))[0]


def notes(chosen: Options, host: str = "here") -> Notes:
    return Notes(LocalPlace(chosen.out), chosen, host)


def fails(job: Job, host: str, error: str = "it burns") -> None:
    Tries(notes(job.options, host)).add(Outcome(job, error))


def tried(job: Job, chosen: Options | None = None) -> bool:
    """Return whether a song is tried again."""
    again = replace(job, options=chosen or job.options)
    return not Tries(notes(again.options)).settled([again])[0].problem


@pytest.mark.parametrize(
    ("hosts", "is_tried"),
    [(["a"], True), (["a", "a"], True), (["a", "b"], False), (["a", "a", "a"], False), ([], True)],
)
def test_a_song_that_failed_on_two_machines_or_three_times_is_not_tried_again(
    job: Job, hosts: list[str], is_tried: bool
) -> None:
    for host in hosts:
        fails(job, host)
    assert tried(job) == is_tried


def test_what_was_said_is_told_again_and_not_noted_again(job: Job) -> None:
    for host in ("a", "b"):
        fails(job, host, "it \x1bburns")
    tries = Tries(notes(job.options))
    (again,) = tries.settled([job])
    assert "failed 2 times on 2 machines" in again.problem
    assert "it \\x1bburns" in again.problem
    tries.add(Outcome(again, again.problem))
    known = notes(job.options).known(job)
    assert known is not None
    assert len(known.said) == 2


def test_a_song_or_settings_that_changed_are_tried_again_and_so_is_a_song_with_force(job: Job) -> None:
    for host in ("a", "b"):
        fails(job, host)
    assert tried(job, replace(job.options, force=True))
    assert tried(job, replace(job.options, start=1.0))
    assert not tried(job)
    os.utime(job.path, ns=(1, 1))
    assert tried(job)


def test_a_song_that_was_never_tried_is_not_said_to_have_failed(job: Job) -> None:
    for host in ("a", "b"):
        Tries(notes(job.options, host)).add(Outcome(job, "not tried", not_tried=True))
    assert notes(job.options).known(job) is None


def test_a_song_that_failed_once_but_is_split_as_wanted_has_not_failed(job: Job) -> None:
    """Such as one whose folder could not be written to for a while, or that other settings could not be used for."""
    job.record.parent.mkdir(parents=True)
    job.record.write_text("a record")
    fails(job, "a")
    tries = Tries(notes(job.options))
    tries.settled([replace(job, done=True)])
    assert notes(job.options).known(job)
    tries.add(Outcome(job, skipped=True))
    assert notes(job.options).known(job) is None


def test_a_song_at_which_many_processes_died_fails_and_stays_failed(job: Job) -> None:
    assert not lost(job, DEATHS - 1)
    assert LOST in lost(job, DEATHS)
    assert not lost(replace(job, options=replace(job.options, force=True)), DEATHS)
    fails(job, "a", lost(job, DEATHS))
    assert not tried(job)


def test_the_longest_songs_come_first_after_those_that_need_no_work(job: Job) -> None:
    lengths = [60.0, 600.0, None, 300.0, 1.0]
    jobs = [replace(job, path=job.path.with_name(f"{length}.wav"), seconds=length) for length in lengths]
    jobs.insert(2, replace(job, done=True, seconds=1e6))
    assert [each.seconds for each in longest_first(jobs)] == [1e6, 600.0, 300.0, 60.0, 1.0, None]


def test_songs_as_long_as_each_other_come_in_another_order_in_each_process(job: Job) -> None:
    jobs = [replace(job, seconds=200.0 + number / 100) for number in range(50)]
    orders = {tuple(each.seconds for each in longest_first(jobs, seed)) for seed in range(3)}
    assert len(orders) == 3
    assert {*orders.pop()} == {each.seconds for each in jobs}


def test_a_song_that_killed_process_after_process_is_told_and_not_computed(
    job: Job, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Claim, "takeovers", DEATHS)
    outcome = prepare(job, Course(pytest.fail))
    assert isinstance(outcome, Outcome)
    assert LOST in outcome.error
    assert not [*job.options.out.glob(".*")]
    forced = prepare(replace(job, options=replace(job.options, force=True)), Course(pytest.fail))
    assert not isinstance(forced, Outcome)
    forced.close()  # type: ignore[union-attr]  # it is ready to be split


def test_failures_of_machines_do_not_speak_against_a_song(job: Job) -> None:
    full = AudioError("no room")
    full.__cause__ = OSError(errno.ENOSPC, "no room")
    for host in ("a", "b", "c"):
        for cause in (full, DeviceError("out of memory"), PermissionError()):
            Tries(notes(job.options, host)).add(Outcome(job, str(cause), cause=cause))
        Tries(notes(job.options, host)).add(Outcome(replace(job, problem="no such file"), "no such file"))
    assert tried(job)
    fails(job, "a")
    fails(job, "b")
    assert not tried(job)

"""The driver with workers in threads of this process instead of a cluster: what becomes of songs and of workers."""

import os
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from stemsplit import Separator, WeightsError
from stemsplit.cli import split_ray
from stemsplit.cli.split_tries import EnoughError
from stemsplit.cluster import driver, worker
from stemsplit.cluster.connecting import HeadError, LostError
from stemsplit.cluster.crew import DeadError, Member
from stemsplit.cluster.driver import Calls, Driver
from stemsplit.cluster.here import settled_here
from stemsplit.cluster.seats import Seat, Wishes
from stemsplit.cluster.worker import Task, Worker
from stemsplit.errors import DeviceError, StemsplitError
from stemsplit.songs import pipeline
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.terminal.cluster import ClusterReport
from tests.conftest import snapshot
from tests.songs.test_plan import STARTER, options, planned

Song = Callable[..., Path]
NODES = {"one": (1, 0.0), "two": (1, 0.0)}


@cache
def starter() -> Separator:
    return Separator(STARTER, "cpu", threads=1)


class Cluster:
    """A cluster of two nodes, in the form that the driver wants a connection to have.

    Args:
        fails: function that is called with a worker's node and the songs that it holds; what it returns is taken for
            the worker's answer, unless it is None.
    """

    def __init__(self, fails: Callable[[str, list[Job]], Exception | None] = lambda _node, _held: None) -> None:
        self.fails, self.nodes = fails, NODES
        self.started = list[Seat]()
        self.running = set[Worker]()

    def close(self) -> None:
        pass


class Crew:
    """Calls workers in this process, in turns."""

    def __init__(self, cluster: Any) -> None:
        self.cluster: Cluster = cluster
        self.members, self.asked, self.hung = list[Member](), dict[Member, tuple[str, Any]](), list[Member]()

    @property
    def calls(self) -> dict[Member, tuple[str, Any]]:
        return self.asked

    def start(self, seat: Seat) -> None:
        member = Member(seat, Worker(), seat.node)
        self.cluster.started.append(seat)
        self.cluster.running.add(member.actor)
        self.members.append(member)
        self.asked[member] = "facts", ()

    def is_asked(self, question: str) -> bool:
        return any(asked == question for asked, _ in self.asked.values())

    def begin(self, member: Member, task: Task) -> None:
        self.asked[member] = "begin", (task,)

    def exchange(self, member: Member, jobs: Any) -> None:
        self.asked[member] = "exchange", (jobs, 0.01)

    def answers(self, _seconds: float) -> Iterator[tuple[Member, str, Any]]:
        for member, (question, arguments) in [item for item in self.asked.items() if item[0] not in self.hung]:
            answer = self.answer(member, question, arguments)
            if isinstance(answer, TimeoutError):
                self.hung.append(member)
            else:
                del self.asked[member]
                yield member, question, answer

    def stuck(self, _seconds: float, _longest: float) -> list[Member]:
        return [member for member in self.hung if member in self.members]

    def answer(self, member: Member, question: str, arguments: Any) -> Any:
        held = [job for _, job in arguments[0]] if question == "exchange" else []
        if failure := self.cluster.fails(member.seat.node, held):
            return failure
        try:
            return getattr(member.actor, question)(*arguments)
        except StemsplitError as error:
            return error

    def dismiss(self, member: Member) -> None:
        if member in self.members:
            self.members.remove(member)
            self.asked.pop(member, None)
            member.actor.stop(10)
            self.cluster.running.discard(member.actor)

    def forget(self) -> None:
        self.members.clear()

    def close(self) -> None:
        for member in self.members[:]:
            self.dismiss(member)


class Watch:
    """Sees the nodes at once."""

    def __init__(self, cluster: Any) -> None:
        self.nodes, self.ending, self.check = cluster.nodes, cluster, lambda: None

    def set(self) -> None:
        pass


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(driver, "Crew", Crew)
    monkeypatch.setattr(driver, "Watch", Watch)
    monkeypatch.setattr(Cluster, "set", lambda _: None, raising=False)
    monkeypatch.setattr(worker, "SEEN_SECONDS", 0.0)


def run(
    jobs: list[Job], cluster: Cluster, report: Callable[[Outcome], object] | None = None, **task: Any
) -> tuple[dict[str, Outcome], list[str]]:
    """The outcome of each song, and what was said besides."""
    outcomes, said = list[Outcome](), list[str]()
    facts: dict[str, Any] = {"load": lambda _: starter(), "identity": lambda: {"name": "x"}, "expected": {"name": "x"}}
    every = Task(**{**facts, "folder": os.getcwd(), **task})  # noqa: PTH109
    calls = Calls(lambda *_: None, report or outcomes.append, said.append, lambda *_: None)
    Driver(jobs, cluster, Wishes(gpus=0), lambda _: every, calls).run()  # type: ignore[arg-type]  # as much as it needs
    assert not cluster.running
    assert len({outcome.job.path for outcome in outcomes}) == len(outcomes)
    return {outcome.job.path.name: outcome for outcome in outcomes}, said


@pytest.fixture
def jobs(song: Song, tmp_path: Path) -> list[Job]:
    return planned([song(f"{name}.wav", frames=9_000) for name in "abcdefg"], options(tmp_path))


def test_several_workers_write_what_one_process_writes(jobs: list[Job], tmp_path: Path) -> None:
    pipeline.run(jobs, starter, lambda *_: None, lambda _: None)
    alone = snapshot(tmp_path / "out")
    (tmp_path / "out").rename(tmp_path / "alone")
    outcomes, said = run(jobs, Cluster())
    assert [bool(outcome.record) for outcome in outcomes.values()] == [True] * 7
    assert (snapshot(tmp_path / "out"), said) == (alone, [])


def test_songs_that_need_no_worker_are_reported_here(jobs: list[Job], tmp_path: Path) -> None:
    run(jobs[:2], Cluster())
    (tmp_path / "c.wav").unlink()
    told = list[Outcome]()
    again = planned([job.path for job in jobs], options(tmp_path))
    assert [job.path.name for job in settled_here(again, told.append, print)] == ["d.wav", "e.wav", "f.wav", "g.wav"]
    assert [(outcome.skipped, bool(outcome.error)) for outcome in told] == [(True, False), (True, False), (False, True)]


def test_a_song_that_kills_every_worker_fails_and_no_other_does(jobs: list[Job]) -> None:
    def fails(_: str, held: list[Job]) -> Exception | None:
        return DeadError("its process ended") if any(job.path.name == "c.wav" for job in held) else None

    outcomes, said = run(jobs, Cluster(fails))
    assert {name for name, outcome in outcomes.items() if outcome.error} == {"c.wav"}
    assert "3 workers died while they held this song alone" in outcomes["c.wav"].error
    assert all("died" in text for text in said)


def test_a_worker_that_hangs_is_done_without(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    """Its songs go to others."""
    monkeypatch.setattr(driver, "LOOK_SECONDS", 0.0)
    hung = list[str]()

    def fails(node: str, held: list[Job]) -> Exception | None:
        if node != "one" or hung or not held:
            return None
        hung.extend(job.path.name for job in held)
        return TimeoutError()

    outcomes, said = run(jobs, Cluster(fails))
    assert len([outcome for outcome in outcomes.values() if outcome.record]) == 7
    assert any("has not answered" in text for text in said) == bool(hung)


def test_one_song_that_cannot_be_read_fails_alone(jobs: list[Job]) -> None:
    jobs[3].path.write_bytes(b"no song")
    outcomes, _ = run(jobs, Cluster())
    assert [name for name, outcome in outcomes.items() if outcome.error] == ["d.wav"]


def test_a_worker_that_cannot_load_the_model_is_done_without(jobs: list[Job]) -> None:
    def fails(node: str, _: list[Job]) -> Exception | None:
        return WeightsError("no weights there") if node == "one" else None

    outcomes, said = run(jobs, Cluster(fails))
    assert len([outcome for outcome in outcomes.values() if outcome.record]) == 7
    assert len([text for text in said if "no weights there" in text]) == 1


@pytest.mark.parametrize("error", [WeightsError("no weights"), DeviceError("no such device")])
def test_if_no_worker_can_load_the_model_the_run_ends_with_that_error(jobs: list[Job], error: StemsplitError) -> None:
    def load(_: object) -> Separator:
        raise error

    with pytest.raises(type(error), match=str(error)):
        run(jobs, Cluster(), load=load)
    assert not Path("out").exists()


def test_workers_with_other_weights_split_nothing(jobs: list[Job]) -> None:
    with pytest.raises(WeightsError, match="other weights"):
        run(jobs, Cluster(), identity=lambda: {"name": "y"})
    assert not Path("out").exists()


def test_workers_of_another_version_split_nothing(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "version", lambda _: "0.0.1")
    with pytest.raises(DeviceError, match=r"has stemsplit 0\.0\.1, and this machine .*; install the same version"):
        run(jobs, Cluster())


def test_workers_that_see_another_disk_split_nothing(jobs: list[Job], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver.Sight, "folder", lambda _: Path("out/.stemsplit-0123456789abcdef"))
    with pytest.raises(DeviceError, match="does not see the output folder out as this machine does"):
        run(jobs, Cluster())


def test_workers_that_do_not_see_the_songs_split_nothing(jobs: list[Job]) -> None:
    with pytest.raises(DeviceError, match=r"does not see the song elsewhere\.wav"):
        run(jobs, Cluster(), song=(Path("elsewhere.wav"), 1))


@pytest.mark.parametrize("song", ["a.wav", None])
def test_a_working_folder_matters_only_where_paths_start_from_it(song: str | None) -> None:
    """A command on addresses may run in a folder that no other machine has."""
    task = Task(lambda _: starter(), dict, {}, "/no/such/folder", song=(Path(song), 1) if song else None)
    one = Worker()
    if song:
        with pytest.raises(DeviceError, match="does not have the folder /no/such/folder"):
            one.begin(task)
    else:
        one.begin(task)
        one.stop(10)


def test_songs_that_are_split_when_enough_have_failed_are_told_of(jobs: list[Job]) -> None:
    """The others are not handed out."""
    told = list[Outcome]()

    def tell(outcome: Outcome) -> None:
        told.append(outcome)
        raise EnoughError

    every = Task(lambda _: starter(), lambda: {"name": "x"}, {"name": "x"}, os.getcwd())  # noqa: PTH109
    on = split_ray.Cluster(Cluster(), Wishes(gpus=0), "cpu")  # type: ignore[arg-type]  # as much as it needs
    split_ray.split_on(on, jobs, lambda _: every, ClusterReport(jobs, quiet=True), tell)
    assert 1 <= len(told) < 7
    assert {path.parent.name for path in Path("out").glob("*/stemsplit.json")} == {song.job.path.stem for song in told}


def test_a_cluster_of_this_run_alone_is_not_waited_for_when_it_has_died(jobs: list[Job]) -> None:
    """No node can join it."""
    cluster = Cluster()
    cluster.nodes = {}
    calls = Calls(lambda *_: None, print, print, lambda *_: None)
    with pytest.raises(LostError, match="run the same command again"):
        Driver(jobs, cluster, Wishes("local", 0), print, calls).run()  # type: ignore[arg-type]  # as much as it needs


@pytest.mark.parametrize("error", [KeyboardInterrupt, HeadError])
def test_a_run_that_is_stopped_leaves_whole_songs_and_nothing_else(jobs: list[Job], error: type[BaseException]) -> None:
    """Workers give up what they hold."""
    cluster = Cluster()

    def report(_: Outcome) -> None:
        raise error

    with pytest.raises(error):
        run(jobs, cluster, report)
    for left in cluster.running:
        left.stop(10)  # without a head, they could not be ended
    finished = {path.name for path in Path("out").iterdir() if (path / "stemsplit.json").is_file()}
    assert finished
    assert {path.name for path in Path("out").iterdir()} == finished

"""Several machines work on the same song on a shared disk, whatever its locks are worth and whoever pauses or dies."""

import hashlib
import shutil
import tempfile
from pathlib import Path

import soundfile
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from stemsplit.disk.claim import BusyError, TakenOverError
from stemsplit.songs import commit, hidden
from stemsplit.songs.preparing import taken_over
from stemsplit.songs.record import Record
from tests.conftest import noise
from tests.songs.nodes import Node, simulated
from tests.songs.test_commit import FACTS, record
from tests.songs.test_plan import options, planned

NODES = 3


class Machines(RuleBasedStateMachine):
    """Three processes on two or three machines, each of which splits the same song unless it is split.

    Any of them may be switched off, or stand still for as long as it likes, at every step on the disk. Whoever waits
    for another may take it for gone at any time, unless a lock proves that it lives.
    """

    @initialize(kind=st.sampled_from(["none", "local", "shared"]), apart=st.booleans(), force=st.booleans())
    def begin(self, kind: str, apart: bool, force: bool) -> None:
        """Make a song, and the processes."""
        self.folder = Path(tempfile.mkdtemp())
        self.simulation = simulated(kind)
        self.simulation.__enter__()
        soundfile.write(self.folder / "a.wav", noise(300), 44_100, subtype="PCM_16")
        (self.job,) = planned([self.folder / "a.wav"], options(self.folder, force=force))
        self.out, self.force, self.runs, self.split = self.job.options.out, force, 0, 0
        self.out.mkdir()
        (self.out / "diary.txt").write_bytes(b"mine")
        (self.out / ".stemsplit-mine").mkdir()
        machines = ["a" * 16, "b" * 16, ("c" if apart else "a") * 16]
        self.nodes = [Node(machine, self.work) for machine in machines]

    def work(self, node: Node) -> None:
        """Split the song, as the pipeline does."""
        stale: int | None = None
        while True:
            try:
                held = commit.hold(self.job, lambda _: None, stale)
            except BusyError as busy:
                node.wait()
                stale = None if busy.alive else busy.beat
                continue
            stale = None
            try:
                if not self.force and self.job.is_done(self.job.recorded()):
                    return
                self.runs += 1
                mark = self.runs
                for name in self.job.targets:
                    with held.create(hidden.finished(name, self.job.format)) as file:
                        file.write(b"%04d" % mark)
                node.pause()
                commit.commit(held, self.job, self.record(mark))
                self.split += 1
                return
            except TakenOverError:
                continue
            except OSError:
                if not taken_over(self.job, held):
                    raise
            finally:
                held.release()

    def record(self, mark: int) -> Record:
        """Return the record of a run whose number is the content of its stems, and their peak."""
        job, content = self.job, self.job.path.read_bytes()
        stems = {
            output.name: {
                **FACTS,
                "file": job.name(job.targets[output.name]),
                "weights": list(output.gains),
                "peak": mark / 10_000,
            }
            for output in job.options.outputs
        }
        song = {"name": job.path.name, "size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
        return record(job, stems=stems, song=song, model=job.options.model)

    @rule(which=st.integers(0, NODES - 1), steps=st.integers(1, 40))
    def go_on(self, which: int, steps: int) -> None:
        """Let one of them do some steps; it stops where it waits for another."""
        for _ in range(steps):
            self.nodes[which].step()
            if self.nodes[which].waiting:
                break

    @rule(which=st.integers(0, NODES - 1))
    def switch_off(self, which: int) -> None:
        """Let one of them die where it is."""
        self.nodes[which].kill()

    @invariant()
    def nothing_is_mixed(self) -> None:
        """The record there fits the stems beside it, and nothing of others changes."""
        if not hasattr(self, "out"):
            return
        assert (self.out / "diary.txt").read_bytes() == b"mine"
        found = self.job.recorded()
        if found and not self.force:
            self.fits()

    def fits(self) -> None:
        """Check that record and stems are of one run."""
        found = self.job.recorded()
        assert found is not None
        marks = {target.read_bytes() for target in self.job.targets.values()}
        marks |= {b"%04d" % round(facts["peak"] * 10_000) for facts in found.stems.values()}
        assert len(marks) == 1

    def teardown(self) -> None:
        """Let all that live go on, and one that comes later: then the song is split, and nothing else is left."""
        if not hasattr(self, "out"):
            return
        try:
            self.nodes.append(Node("d" * 16, self.work))
            for _ in range(20_000):
                alive = [node for node in self.nodes if not node.done]
                if not alive:
                    break
                for node in alive:
                    node.step()
            assert all(node.done for node in self.nodes)
            self.fits()
            if not self.force:
                assert self.split <= 1
            commit.sweep(self.out, lambda _: None)
            assert sorted(path.name for path in self.out.iterdir()) == [".stemsplit-mine", "a", "diary.txt"]
            assert {path.name for path in (self.out / "a").iterdir()} == {"drums.wav", "vocals.wav", "stemsplit.json"}
        finally:
            for node in self.nodes:
                node.kill()
            self.simulation.__exit__(None, None, None)
            shutil.rmtree(self.folder)


def test_machines_that_share_a_song_split_it_once_and_mix_nothing() -> None:
    """Whatever steps they take in whatever order."""
    run_state_machine_as_test(
        Machines,
        settings=settings(
            max_examples=40,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.reuse, Phase.generate),  # shrinking takes minutes
        ),
    )

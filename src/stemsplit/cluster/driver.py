"""Drives workers on a Ray cluster until every song of a plan has ended."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from stemsplit import errors
from stemsplit.cluster.connecting import LOCAL, LOOK_SECONDS, Connection, HeadError, LostError, Watch
from stemsplit.cluster.crew import Crew, DeadError, Member
from stemsplit.cluster.ledger import Ledger
from stemsplit.cluster.seats import Seat, Wishes, seats
from stemsplit.cluster.sight import Sight
from stemsplit.cluster.worker import Ended, Failed, Ready, Said, Step, Task, Told
from stemsplit.errors import DeviceError, StemsplitError
from stemsplit.failures import cause
from stemsplit.libraries import version
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.sharing.order import expected_seconds
from stemsplit.words import counted

if TYPE_CHECKING:
    from stemsplit.songs.finishing import Report
    from stemsplit.songs.pipeline import Progress

STARTS = 3
"""Number of workers that may die in one seat before their model is loaded; then the seat is not used any more."""

ROW = 30
"""Number of workers that may die one after the other without a song being finished. Then the run ends."""

STUCK_SECONDS = 300.0
"""Seconds after which a worker that does not answer is taken for dead: its disk, its device or its network hangs."""

SLOW_SECONDS = 30.0
"""Seconds without a worker at work. After that, people are told why the run seems to stand still."""

PATIENCE_SECONDS = 900.0
"""Longest time in seconds that a run waits for a node to join, when it has none."""


@dataclass(frozen=True)
class Calls:
    """What the driver calls, in its own thread.

    Args:
        progress: see `songs.pipeline.Progress`.
        report: called with the outcome of each song, in the order in which they end.
        tell: called with a message that people should see besides outcomes.
        crew: called with the number of workers at work, and of machines, whenever one of these changes.
    """

    progress: "Progress"
    report: "Report"
    tell: Callable[[str], object]
    crew: Callable[[int, int], object]


def lengths_of(jobs: Sequence[Job]) -> list[float]:
    """Return about how long each song is, in seconds; a song of which nothing is known counts as an average one."""
    known = [expected_seconds(job) for job in jobs]
    usual = sum(known) / max(sum(map(bool, known)), 1) or 1.0
    return [seconds or usual for seconds in known]


class Driver:
    """Hands songs to workers, and reports what becomes of the songs.

    Args:
        jobs: jobs of all songs, each of which is to be split.
        connection: connection to the cluster.
        wishes: how many workers there should be, and what each gets.
        task: function that returns what all songs share, for a seat.
        calls: what to call.
    """

    def __init__(
        self, jobs: Sequence[Job], connection: Connection, wishes: Wishes, task: Callable[[Seat], Task], calls: Calls
    ) -> None:
        self.jobs, self.connection, self.wishes, self.task, self.calls = jobs, connection, wishes, task, calls
        self.crew, self.ledger, self.watch = (
            Crew(connection),
            Ledger(range(len(jobs)), lengths_of(jobs)),
            Watch(connection),
        )
        self.looked_at = self.worked_at = time.monotonic()
        self.is_slow = False
        self.starts: dict[Seat, int] = {}
        """Seat -> number of workers that died there before their model was loaded."""
        self.closed: set[Seat] = set()
        """Seats that are not used any more, as a worker cannot work there."""
        self.said: set[str] = set()
        self.last: StemsplitError | None = None
        """Why the last seat was closed."""
        self.at_work = (0, 0)
        self.sight = Sight(jobs)
        self.row = 0
        """Number of workers that died since a song ended."""

    def run(self) -> None:
        """Split all songs.

        Raises:
            RegistryError, WeightsError, DeviceError: no worker can load the model, or there is none.
            LostError: the cluster is lost.
        """
        try:
            self._look()
            while not self.ledger.is_over:
                if (seconds := time.monotonic() - self.looked_at) > LOOK_SECONDS:
                    self._look()
                    for member in self.crew.stuck(min(seconds, 2 * LOOK_SECONDS), STUCK_SECONDS):
                        self._died(member, f"it has not answered for {STUCK_SECONDS / 60:.0f} minutes")
                for member, question, answer in self.crew.answers(0.5):
                    self._heard(member, question, answer)
                if not self.crew.is_asked("begin"):
                    self.sight.hide()
        except HeadError:
            self.crew.forget()
            raise
        finally:
            self.watch.ending.set()
            self.crew.close()
            self.sight.close(self._say)

    def stop(self) -> None:
        """Hand out no more songs, and let `run` return when those that workers hold have ended."""
        self.ledger.close()

    def _look(self) -> None:
        """Look at the nodes of the cluster, and fill the seats that are free."""
        self.watch.check()
        self.looked_at = time.monotonic()
        taken = {member.seat for member in self.crew.members}
        needed = self.ledger.unheld - sum(not member.is_ready for member in self.crew.members)
        there = [seat for seat in seats(self.wishes, self.watch.nodes) if seat not in self.closed]
        for seat in [seat for seat in there if seat not in taken][: max(needed, 0)]:
            self.crew.start(seat)
        if not there and not self.crew.calls and self.last:
            raise self.last
        if any(member.is_ready for member in self.crew.members):
            self.worked_at, self.is_slow = time.monotonic(), False
        idle = time.monotonic() - self.worked_at
        if idle > SLOW_SECONDS and not self.is_slow:
            self.is_slow = True
            asked = "its cores or GPUs are in use, its nodes are slow to start, or all have left"
            self.calls.tell(f"no worker has been at work on the Ray cluster for {idle:.0f} s: {asked}; waiting for one")
        if self.wishes.address == LOCAL and not self.watch.nodes:
            raise LostError("the part of Ray that runs on this machine has ended; run the same command again to go on")
        if not there and not self.crew.calls and idle > PATIENCE_SECONDS:
            minutes = PATIENCE_SECONDS / 60
            raise LostError(f"the Ray cluster had no node for a worker for {minutes:.0f} minutes")

    def _heard(self, member: Member, question: str, answer: Any) -> None:
        """Take a worker's answer, and ask it the next question."""
        if isinstance(answer, DeadError):
            self._died(member, str(answer), answer.node)
        elif isinstance(answer, StemsplitError):
            self._unfit(member, answer)
        elif isinstance(answer, Exception):
            self._unfit(member, DeviceError(cause(answer, "starting a worker")))
        elif question == "facts":
            self._met(member, answer)
        elif question == "begin":
            self.crew.exchange(member, ())
        else:
            self._told(member, answer)

    def _met(self, member: Member, facts: dict[str, str]) -> None:
        """Let a worker begin, if it has the same version as this process."""
        member.host, member.node = facts["host"], facts.get("node", member.node)
        for name in ("stemsplit", "torch"):
            here = version(name)
            if facts[name] != here:
                told = f"{member.host} has {name} {facts[name]}, and this machine {here}"
                if name == "stemsplit":
                    self._unfit(member, DeviceError(f"{told}; install the same version on all nodes"))
                    return
                self._say(f"{told}; stems may differ in their last bits")
        self.crew.begin(member, replace(self.task(member.seat), seen=self.sight.folder()))

    def _say(self, text: str) -> None:
        """Tell people something, once."""
        if text not in self.said:
            self.said.add(text)
            self.calls.tell(text)

    def _unfit(self, member: Member, error: StemsplitError) -> None:
        """Do without a worker that cannot work, and without its seat."""
        self.ledger.returned(member)
        self.crew.dismiss(member)
        self.closed.add(member.seat)
        self.last = error
        if self.crew.calls:
            self._say(f"the run goes on without a worker on {member.host or 'a node'}: {error}")
        self._count()
        self._look()

    def _died(self, member: Member, how: str, node: bool = False) -> None:
        """Take back the songs of a worker that died.

        Args:
            member: the worker.
            how: how it died, in words.
            node: whether its node seems to have vanished with it.
        """
        self.crew.dismiss(member)
        self._count()
        node = node or (bool(member.node) and member.node not in self.watch.nodes)
        where = member.host or "a node"
        held = set(self.ledger.held.get(member, ()))
        self.row += not node
        if self.row >= ROW:
            raise LostError(f"{ROW} workers died one after the other, and none finished a song; the last one: {how}")
        if not member.is_ready and not node:
            self.starts[member.seat] = self.starts.get(member.seat, 0) + 1
            if self.starts[member.seat] >= STARTS:
                self._unfit(member, DeviceError(f"{STARTS} workers died on {where} before they could work: {how}"))
                return
        for number in self.ledger.lost(member, node):
            job = self.jobs[number]
            held.remove(number)
            died = self.ledger.nodes[number] if node else self.ledger.deaths[number]
            told = f"{counted(died, 'worker')} died while they held this song alone (the last one: {how})"
            self.calls.report(Outcome(job, f"cannot split {job.song}: {told}; try it alone, without --ray"))
        if held:
            self.calls.tell(f"a worker on {where} died ({how}); its {counted(len(held), 'song')} will be tried again")
        self._look()

    def _told(self, member: Member, news: Sequence[Told]) -> None:
        """Take a worker's news, and hand it songs."""
        for told in news:
            match told:
                case Ready():
                    member.is_ready = True
                    self._count()
                case Step(number, done, total):
                    self.calls.progress(self.jobs[number], done, total)
                case Said(text):
                    self._say(text)
                case Ended(number, facts):
                    if self.ledger.ended(member, number):
                        self.row = 0
                        self.calls.report(Outcome(self.jobs[number], **facts))
                case Failed(kind, text):
                    self._stopped(member, kind, text)
                    return
        if not member.is_ready:
            self.crew.exchange(member, ())
            return
        ready = sum(other.is_ready for other in self.crew.members)
        numbers = self.ledger.take(member, ready)
        if not numbers and not self.ledger.held.get(member):
            # Nothing is left for it; should a song come back, another worker is started.
            self.crew.dismiss(member)
            self._count()
            return
        self.crew.exchange(member, [(number, self.jobs[number]) for number in numbers])

    def _stopped(self, member: Member, kind: str, text: str) -> None:
        """Do without a worker whose model, device or code failed."""
        if kind:
            self._unfit(member, getattr(errors, kind, DeviceError)(text))
        else:
            self._died(member, text)

    def _count(self) -> None:
        """Tell how many workers are at work, and on how many machines."""
        ready = [member for member in self.crew.members if member.is_ready]
        now = len(ready), len({member.host for member in ready})
        if now != self.at_work:
            self.at_work = now
            self.calls.crew(*now)

"""Starts workers on a Ray cluster, calls them, and notices when one dies."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from stemsplit.cluster.connecting import Connection, one_line
from stemsplit.cluster.seats import Seat
from stemsplit.cluster.worker import Task, Worker

if TYPE_CHECKING:
    from stemsplit.songs.job import Job

NEWS_SECONDS = 1.0
"""Longest time in seconds that a worker waits for news before it answers."""

STOP_SECONDS = 15.0
"""Longest time in seconds that workers may take to give up their songs."""


class DeadError(Exception):
    """A worker's process or node has ended.

    Args:
        text: what is known of how it ended.
    """


class Actor(Worker):
    """A worker that knows on which node of the cluster it runs."""

    def facts(self) -> dict[str, str]:
        """Return what the driver must know; see `Worker.facts`."""
        import ray

        return {**super().facts(), "node": ray.get_runtime_context().get_node_id()}


@dataclass(eq=False)
class Member:
    """A worker, as the driver knows it.

    Args:
        seat: room that it takes.
        actor: Ray's handle of it.
        node: node that it runs on; empty until it is known.
        host: name of that machine; empty until it is known.
        is_ready: whether its model is loaded.
        finished: number of songs that it has finished.
    """

    seat: Seat
    actor: Any
    node: str = ""
    host: str = ""
    is_ready: bool = False
    finished: int = 0


class Crew:
    """The workers of a run.

    Args:
        connection: connection to the cluster.
    """

    def __init__(self, connection: Connection) -> None:
        self.ray = connection.ray
        self.members = list[Member]()
        """All workers. Each has one question to answer, unless its answer is being heard."""
        self.calls: dict[Any, tuple[Member, str]] = {}
        """What a worker was asked, and will answer -> the worker, and the name of the question."""

    def start(self, seat: Seat) -> None:
        """Start a worker, and ask for its facts."""
        options: dict[str, Any] = {"num_cpus": seat.cpus, "num_gpus": seat.gpus, "max_restarts": 0}
        if seat.node:
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

            options["scheduling_strategy"] = NodeAffinitySchedulingStrategy(seat.node, soft=False)
        actor = self.ray.remote(Actor).options(**options).remote()
        member = Member(seat, actor, seat.node)
        self.members.append(member)
        self._ask(member, "facts", actor.facts.remote())

    def _ask(self, member: Member, question: str, reference: Any) -> None:
        self.calls[reference] = member, question

    def is_asked(self, question: str) -> bool:
        """Return whether a worker still has to answer a question of that name."""
        return any(asked == question for _, asked in self.calls.values())

    def begin(self, member: Member, task: Task) -> None:
        """Let a worker begin to load its model."""
        self._ask(member, "begin", member.actor.begin.remote(task))

    def exchange(self, member: Member, jobs: "Sequence[tuple[int, Job]]") -> None:
        """Hand songs to a worker, and ask for its news."""
        self._ask(member, "exchange", member.actor.exchange.remote(jobs, NEWS_SECONDS))

    def answers(self, seconds: float) -> Iterator[tuple[Member, str, Any]]:
        """Wait for answers; yield worker, question and answer of each. An answer may be an exception.

        Args:
            seconds: longest time to wait.
        """
        ready, _ = self.ray.wait(list(self.calls), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self.ray.wait(list(self.calls), num_returns=len(self.calls), timeout=0)
        for reference in ready:
            member, question = self.calls.pop(reference)
            yield member, question, self._answer(reference)

    def _answer(self, reference: Any) -> Any:
        from ray.exceptions import RayActorError, RayError, RayTaskError

        try:
            return self.ray.get(reference)
        except RayTaskError as error:
            # What the worker itself has raised; Ray's error is of the same class, and says more than one line.
            return error.cause if isinstance(error.cause, Exception) else DeadError(one_line(error))
        except RayActorError as error:
            return DeadError(self._how(error))
        except RayError as error:
            return DeadError(one_line(error))

    def _how(self, error: BaseException) -> str:
        """Return how a worker ended, in words."""
        text = str(error)
        if "memory" in text and ("OOM" in text or "low on memory" in text or "out of memory" in text):
            return "its node ran out of memory, so Ray ended it"
        if "creation task" in text or "ModuleNotFoundError" in text or "ImportError" in text:
            return f"stemsplit does not start there: {one_line(error)[-200:]}"
        return "its process ended"

    def dismiss(self, member: Member) -> None:
        """End a worker at once."""
        self.members.remove(member)
        self.calls = {reference: call for reference, call in self.calls.items() if call[0] is not member}
        with suppress(Exception):
            self.ray.kill(member.actor, no_restart=True)

    def close(self) -> None:
        """End all workers, which give up their songs first, if they can within a while."""
        stops = []
        with suppress(Exception):
            for member in self.members:
                if member.is_ready:
                    stops.append(member.actor.stop.remote(STOP_SECONDS - NEWS_SECONDS))
            if stops:
                self.ray.wait(stops, num_returns=len(stops), timeout=STOP_SECONDS)
        for member in self.members[:]:
            self.dismiss(member)

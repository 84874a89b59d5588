"""Starts workers on a Ray cluster, calls them, and notices when one dies."""

import time
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
        node: whether its node seems to have vanished with it.
    """

    def __init__(self, text: str, node: bool = False) -> None:
        super().__init__(text)
        self.node = node


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
        silent: seconds for which it has not answered, as far as this process was not stopped itself.
    """

    seat: Seat
    actor: Any
    node: str = ""
    host: str = ""
    is_ready: bool = False
    silent: float = 0.0


def _death(error: Exception, else_: str) -> DeadError:
    """Return how a worker ended, in words.

    Args:
        error: what Ray raised.
        else_: what to say if that is of no known kind.
    """
    text = str(error)
    if getattr(error, "preempted", False) or "node has died" in text:
        return DeadError("its node has left the cluster", node=True)
    if "NODE_OUT_OF_MEMORY" in text or "memory on the node" in text or "low on memory" in text:
        return DeadError("its node ran out of memory, so Ray ended it; more --cpus-per-worker make fewer workers")
    if "creation task" in text or "ModuleNotFoundError" in text:
        return DeadError(f"stemsplit does not start there: {one_line(error)[-200:]}")
    return DeadError(else_)


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
        member.silent = 0.0
        self.calls[reference] = member, question

    def is_asked(self, question: str) -> bool:
        """Return whether a worker still has to answer a question of that name."""
        return any(asked == question for _, asked in self.calls.values())

    def stuck(self, seconds: float, longest: float) -> list[Member]:
        """Return the workers that do not answer any more, although they should at once.

        Args:
            seconds: time since this was asked last.
            longest: time that a worker may take.
        """
        # A worker that was only asked for its facts may still wait for its place in the cluster.
        asked = [member for member, question in self.calls.values() if question != "facts"]
        for member in asked:
            member.silent += seconds
        return [member for member in asked if member.silent > longest]

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
        if not self.calls:
            time.sleep(min(seconds, 0.2))
            return
        ready, _ = self.ray.wait(list(self.calls), num_returns=1, timeout=seconds)
        if ready:
            ready, _ = self.ray.wait(list(self.calls), num_returns=len(self.calls), timeout=0)
        for reference in ready:
            if call := self.calls.pop(reference, None):  # its worker may have been dismissed meanwhile
                yield *call, self._answer(reference)

    def _answer(self, reference: Any) -> Any:
        from ray.exceptions import ActorUnavailableError, RayActorError, RayError, RayTaskError

        try:
            return self.ray.get(reference)
        except RayTaskError as error:
            # What the worker itself has raised; Ray's error is of the same class, and says more than one line.
            return error.cause if isinstance(error.cause, Exception) else DeadError(one_line(error))
        except ActorUnavailableError:
            # Its own node would tell of a process that ended.
            return DeadError("its node does not answer", node=True)
        except RayActorError as error:
            return _death(error, "its process ended")
        except RayError as error:
            return _death(error, one_line(error))

    def dismiss(self, member: Member) -> None:
        """End a worker at once, if that was not done yet."""
        if member not in self.members:
            return
        self.members.remove(member)
        self.calls = {reference: call for reference, call in self.calls.items() if call[0] is not member}
        with suppress(Exception):
            self.ray.kill(member.actor, no_restart=True)

    def forget(self) -> None:
        """Leave all workers to themselves: without the cluster's head they can be neither asked nor ended."""
        self.members.clear()
        self.calls.clear()

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

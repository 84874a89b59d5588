"""Says for how many workers the nodes of a Ray cluster have room. Knows nothing of Ray but the form of its answers."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any

from stemsplit.errors import DeviceError
from stemsplit.words import counted

MOST_CORES = 8
"""Largest number of cores of a worker that computes on them, by default: more add little, two workers add twice."""

GPU_CORES = 4
"""Largest number of cores of a worker that computes on a GPU, by default: it decodes, resamples and writes on them."""


@dataclass(frozen=True)
class Wishes:
    """What a user asks of the cluster.

    Args:
        address: address of the cluster; "auto" for the one of this machine, "local" for one of this run alone.
        gpus: share of a GPU that each worker gets; None for a whole one where the cluster has GPUs, else 0.
        cpus: number of cores that each worker gets; None for a share of its node.
        workers: number of workers; None for as many as there is room for.
    """

    address: str = "auto"
    gpus: float | None = None
    cpus: int | None = None
    workers: int | None = None


@dataclass(frozen=True)
class Seat:
    """Room for one worker.

    Args:
        cpus: number of cores.
        gpus: share of a GPU.
        node: node of the cluster; empty where the cluster chooses it.
        number: number of the seat among those of its node.
    """

    cpus: int
    gpus: float
    node: str = ""
    number: int = 0


def alive(nodes: Sequence[Mapping[str, Any]]) -> dict[str, tuple[int, float]]:
    """Return the nodes that are alive, and the cores and GPUs of each.

    Args:
        nodes: what `ray.nodes()` returns.
    """
    found = {}
    for node in nodes:
        if node.get("Alive"):
            resources = node.get("Resources") or {}
            found[str(node["NodeID"])] = int(resources.get("CPU", 0)), float(resources.get("GPU", 0))
    return found


def settled(wishes: Wishes, nodes: Mapping[str, tuple[int, float]], on_gpus: bool) -> Wishes:
    """Return the wishes with GPUs or without, by what the cluster has.

    Args:
        wishes: what the user asks.
        nodes: nodes from `alive`.
        on_gpus: whether the user's device may be a GPU.

    Raises:
        DeviceError: no node has what a worker needs, and none is asked for that may join later.
    """
    most = max((gpus for _, gpus in nodes.values()), default=0.0)
    gpus = wishes.gpus
    if gpus is None:
        gpus = 1.0 if on_gpus and most >= 1 else 0.0
    wishes = replace(wishes, gpus=gpus)
    if wishes.workers is None and not seats(wishes, nodes):
        cores = max((cpus for cpus, _ in nodes.values()), default=0)
        there = f"{counted(len(nodes), 'node')}, with at most {counted(cores, 'core')} and {most:g} GPUs each"
        what = "a GPU for a worker" if gpus > most else f"{counted(wishes.cpus or 1, 'core')} for a worker"
        advice = "ask for less, or give --workers, with which workers wait for nodes that join"
        raise DeviceError(f"no node of the Ray cluster has {what} ({there}); {advice}")
    return wishes


def seats(wishes: Wishes, nodes: Mapping[str, tuple[int, float]]) -> list[Seat]:
    """Return the seats of all workers.

    Args:
        wishes: what the user asks, from `settled`.
        nodes: nodes from `alive`.
    """
    gpus = wishes.gpus or 0.0
    if wishes.workers is not None:
        most = max((cpus for cpus, _ in nodes.values()), default=MOST_CORES)
        cpus = wishes.cpus or max(min(most, GPU_CORES if gpus else MOST_CORES), 1)
        # Not bound to a node: the cluster places them, may start nodes for them, and uses those that join.
        return [Seat(cpus, gpus, "", number) for number in range(wishes.workers)]
    return [seat for node, (cpus, there) in sorted(nodes.items()) for seat in _of_node(wishes, node, cpus, there)]


def _of_node(wishes: Wishes, node: str, cpus: int, gpus: float) -> list[Seat]:
    """Return the seats of one node."""
    share = wishes.gpus or 0.0
    if share:
        count = floor(gpus / share + 1e-6)
        each = wishes.cpus or min(cpus // max(count, 1), GPU_CORES)
    else:
        count = cpus // wishes.cpus if wishes.cpus else ceil(cpus / MOST_CORES)
        each = wishes.cpus or cpus // max(count, 1)
    if each:
        count = min(count, cpus // each)
    return [Seat(each, share, node, number) for number in range(count)]

"""Estimates how long several workers take for the songs of a plan, and what that costs."""

import heapq
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stemsplit.engine.chain_entry import ChainEntry
from stemsplit.songs.job import Job
from stemsplit.songs.speeds import Speed, estimate


@dataclass(frozen=True)
class Schedule:
    """When several workers are done, if they take the longest songs first.

    Args:
        makespan: seconds until the last worker is done.
        bound: seconds that no order of the songs can go below: the longest song's, or all songs' shared out evenly.
        longest: seconds of the longest song.
        paid: seconds of all workers together, if each machine is given back when there is no song left for it.
    """

    makespan: float
    bound: float
    longest: float
    paid: float


def scheduled(times: Iterable[float], workers: int, start_up: float = 0.0) -> Schedule:
    """Return when workers are done, if each takes the longest song that is left as soon as it is free.

    Args:
        times: seconds that each song takes.
        workers: number of workers; those without a song are not started.
        start_up: seconds until a worker can begin.
    """
    order = sorted(times, reverse=True)
    ends = [start_up] * min(workers, len(order))
    for seconds in order:
        heapq.heapreplace(ends, ends[0] + seconds)
    if not ends:
        return Schedule(0.0, 0.0, 0.0, 0.0)
    bound = start_up + max(order[0], sum(order) / workers)
    return Schedule(max(ends), bound, order[0], sum(ends))


def estimated(jobs: Sequence[Job], models: ChainEntry, speeds: Sequence[Speed], workers: int) -> Schedule | None:
    """Estimate how long workers as fast as this machine take; None if no run of the models here is known.

    Args:
        jobs: jobs of the songs to split; those of unknown length are left out.
        models: the models.
        speeds: what the last runs here showed.
        workers: number of workers.
    """
    start, one = estimate(speeds, 0), estimate(speeds, 1)
    if start is None or one is None:
        return None
    per_chunk = one.seconds - start.seconds
    times = [per_chunk * models.first.chunks_in(job.seconds, job.channels) for job in jobs if job.seconds is not None]
    return scheduled(times, workers, start.seconds)

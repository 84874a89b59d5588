"""Simulates how many machines share many songs: `python -m tests.benchmarks.machines [SONGS]` (default 100,000).

A simulation of discrete events: nothing is split. It shows what the ways of sharing songs cost, each against the bound
that no way can beat. All times are in seconds; all chance comes from `SEED`, so every run prints the same table.

Assumptions:

- A song takes a constant time and a time per minute, and a worker needs a while before its first song (see `Costs`).
  Measured with the built-in model in one thread of an Intel Xeon, in CPU time: songs of 5, 20, 40, 60 and 90 s alone
  took 8.0, 14.0, 21.6, 31.4 and 43.3 s, and eight songs of 5 s together 44.6 s.
- Lengths are those of a label's archive: most from two to six minutes (log-normal, median 3:30), and one in a thousand
  is a concert or a mix of one to three hours.
- A machine is stopped without warning after a time that is exponentially distributed. Another one takes its place, and
  plans anew. What was done of its song is lost.
- `shards`: each worker has the songs that a hash gives it (`--shard I/N`), and takes them as they come.
- `claims`: every worker goes through all songs as listed, claims each, and passes over those that others have, which
  takes a `look` for each (in an object store; on a disk, it is a hundredth of that). The claim of a dead worker expires
  after its `lease`.
- `longest`: the same, but with the longest songs first, in another order in each process where they are about as long.
- `ray`: a driver hands songs out, the longest first, up to four at once, and fewer where they are long. It sees
  after a while that a worker died, and gives its songs to others.
- `again`: the same; but a worker looks for expired claims before each song, not only when nothing else is left.
- `after`: shards, and a worker that is done helps with the songs of all others, through claims.
"""

import heapq
import math
import random
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from stemsplit.cluster.ledger import AHEAD

SEED = 22

WORKERS = (1, 4, 16, 64, 256)

PREEMPTED = (None, 2 * 3600.0)
"""Mean times until a machine is stopped; None for never."""


AT_ONCE = 512
"""Songs of which a simulated worker looks at once whether others have them."""


@dataclass(frozen=True)
class Costs:
    """What things take, in seconds.

    Args:
        song: each song, whatever its length: to claim, check and finish it.
        minute: a minute of a song.
        start: start of a worker: Python, PyTorch and the model.
        plan: plan of all songs, with what is already split.
        look: a look at a song that another worker has, or has split.
        lease: time until the claim of a dead worker may be taken over.
        replaced: time until another machine takes the place of one that was stopped.
        noticed: time until a driver sees that a worker died.
    """

    song: float = 2.0
    minute: float = 25.0
    start: float = 3.0
    plan: float = 10.0
    look: float = 0.05
    lease: float = 120.0
    replaced: float = 120.0
    noticed: float = 10.0


@dataclass(frozen=True)
class Outcome:
    """What came of a simulation.

    Args:
        makespan: seconds until the last song was done.
        bound: seconds that no way of sharing the songs can beat, without any machine stopped.
        idle: share of all machines' time until then in which no song was split.
        twice: share of all splitting that was lost with machines that were stopped, and done again.
    """

    makespan: float
    bound: float
    idle: float
    twice: float


def lengths(count: int, seed: int = SEED) -> list[float]:
    """Return the lengths of songs, in seconds."""
    chance = random.Random(seed)
    usual = [min(max(chance.lognormvariate(math.log(210), 0.4), 20.0), 1_200.0) for _ in range(count)]
    return [chance.uniform(3_600, 10_800) if chance.random() < 0.001 else seconds for seconds in usual]


def bound(times: Sequence[float], workers: int, costs: Costs) -> float:
    """Return the seconds that no order of the songs can beat: the longest song's, or all songs' shared out evenly."""
    return costs.start + costs.plan + max(max(times), sum(times) / workers)


class Shards:
    """Each worker has songs of its own."""

    def __init__(self, times: Sequence[float], workers: int, costs: Costs) -> None:
        self.costs, self.workers, self.count = costs, workers, len(times)
        chance = random.Random(SEED + 1)  # as even as a hash is
        self.own: list[deque[int]] = [deque() for _ in range(workers)]
        for song in range(self.count):
            self.own[chance.randrange(workers)].append(song)

    def take(self, worker: int, _: float) -> tuple[int | None, float]:
        """Return the next song of a worker, and the time that finding it takes.

        If there is none, None and the time at which to ask again; that is infinite if there is no need to.
        """
        return (self.own[worker].popleft(), 0.0) if self.own[worker] else (None, math.inf)

    def lost(self, worker: int, song: int, _: float) -> None:
        """Take back the song of a worker that died."""
        self.own[worker].appendleft(song)

    def begun_again(self, worker: int) -> None:
        """Note that a worker plans anew."""


class Claims(Shards):
    """Every worker goes through all songs, and takes those that no other has."""

    longest = False

    def __init__(self, times: Sequence[float], workers: int, costs: Costs) -> None:
        self.costs, self.workers, self.count = costs, workers, len(times)
        self.is_taken = np.zeros(self.count, dtype=bool)
        self.left: list[tuple[float, int]] = []
        """Songs of dead workers, and when their claims expire."""
        self.place = [0] * workers
        self.orders = [np.arange(self.count)] * workers
        if self.longest:
            classes = -np.ceil(np.log1p(times) / math.log(1.1))
            chance = np.random.default_rng(SEED + 2)
            self.orders = [np.lexsort((chance.random(self.count), classes)) for _ in range(workers)]

    def take(self, worker: int, now: float) -> tuple[int | None, float]:
        """See `Shards.take`."""
        order, place = self.orders[worker], self.place[worker]
        while place < len(order):
            free = np.flatnonzero(~self.is_taken[order[place : place + AT_ONCE]])
            if not len(free):
                place = min(place + AT_ONCE, len(order))
                continue
            place += int(free[0])
            looks, self.place[worker] = place - self.place[worker], place + 1
            song = int(order[place])
            self.is_taken[song] = True
            return song, self.costs.look * looks
        looks, self.place[worker] = place - self.place[worker], place
        if self.left and self.left[0][0] <= now:
            return heapq.heappop(self.left)[1], self.costs.look * looks
        return None, self.left[0][0] if self.left else math.inf

    def lost(self, _: int, song: int, now: float) -> None:
        """See `Shards.lost`."""
        heapq.heappush(self.left, (now + self.costs.lease, song))

    def begun_again(self, worker: int) -> None:
        """Leave out the songs that are split by now; those that others have are looked at."""
        order = self.orders[worker]
        self.orders[worker], self.place[worker] = order[~self.is_taken[order]], 0


class Longest(Claims):
    """The same, with the longest songs first."""

    longest = True


class Again(Longest):
    """The same; but a worker looks for expired claims before each song, not only when nothing else is left."""

    def take(self, worker: int, now: float) -> tuple[int | None, float]:
        """See `Shards.take`."""
        if self.left and self.left[0][0] <= now:
            return heapq.heappop(self.left)[1], self.costs.look
        return super().take(worker, now)


class After(Claims):
    """Each worker has songs of its own, and helps with those of others when it is done with them."""

    def __init__(self, times: Sequence[float], workers: int, costs: Costs) -> None:
        super().__init__(times, workers, costs)
        chance = np.random.default_rng(SEED + 1)
        shards = chance.integers(0, workers, self.count)
        self.orders = [np.flatnonzero(shards == worker) for worker in range(workers)]
        self.mixed = chance.permutation(self.count)
        self.helps = [False] * workers

    def take(self, worker: int, now: float) -> tuple[int | None, float]:
        """See `Shards.take`."""
        song, wait = super().take(worker, now)
        if song is None and not self.helps[worker]:
            self.helps[worker] = True
            self.begun_again(worker)
            return None, now + self.costs.plan
        return song, wait

    def begun_again(self, worker: int) -> None:
        """See `Claims.begun_again`; others' songs are taken in another order by each worker."""
        if self.helps[worker]:
            self.orders[worker] = np.roll(self.mixed, worker * self.count // self.workers)
        super().begun_again(worker)


class Ray(Shards):
    """A driver hands songs to workers, the longest first."""

    def __init__(self, times: Sequence[float], workers: int, costs: Costs) -> None:
        self.costs, self.workers = costs, workers
        self.waiting = deque(sorted(range(len(times)), key=lambda song: -times[song]))
        self.times, self.waiting_time = times, sum(times)
        self.back: list[tuple[float, int]] = []
        self.held: list[deque[int]] = [deque() for _ in range(workers)]

    def take(self, worker: int, now: float) -> tuple[int | None, float]:
        """See `Shards.take`; as `stemsplit.cluster.ledger` hands songs out."""
        held = self.held[worker]
        if self.back and self.back[0][0] <= now:
            return heapq.heappop(self.back)[1], 0.0
        share = self.waiting_time / self.workers / 2
        while self.waiting and len(held) <= AHEAD:
            if held and sum(self.times[song] for song in (*held, self.waiting[0])) > share:
                break
            held.append(self.waiting.popleft())
            self.waiting_time -= self.times[held[-1]]
        if held:
            return held.popleft(), 0.0
        return None, self.back[0][0] if self.back else math.inf

    def lost(self, worker: int, song: int, now: float) -> None:
        """See `Shards.lost`."""
        for each in (song, *self.held[worker]):
            heapq.heappush(self.back, (now + self.costs.noticed, each))
        self.held[worker].clear()


WAYS: dict[str, type[Shards]] = {"shards": Shards, "claims": Claims, "longest": Longest}
WAYS |= {"again": Again, "after": After, "ray": Ray}


class Simulation:
    """Workers that split songs, and are stopped by chance.

    Args:
        times: seconds that each song takes.
        workers: number of workers.
        way: how they share the songs; a key of `WAYS`.
        preempted: mean time until a machine is stopped; None for never.
        costs: what things take.
    """

    def __init__(
        self, times: Sequence[float], workers: int, way: str, preempted: float | None, costs: Costs | None = None
    ) -> None:
        self.times, self.workers, self.preempted, self.costs = times, workers, preempted, costs or Costs()
        self.way = WAYS[way](times, workers, self.costs)
        self.chance = random.Random(SEED + 3)
        self.events: list[tuple[float, int, int, int | None]] = []
        """Time, number of the event, worker, and the song that it loses then; None if it asks for one."""
        self.number = 0
        self.dies = [self._life(0.0) for _ in range(workers)]
        self.resting: list[int] = []
        """Workers that wait in case others die."""
        self.wasted, self.makespan, self.done = 0.0, 0.0, [0] * len(times)

    def _life(self, now: float) -> float:
        return now + self.chance.expovariate(1 / self.preempted) if self.preempted else math.inf

    def _at(self, moment: float, worker: int, song: int | None = None) -> None:
        self.number += 1
        heapq.heappush(self.events, (moment, self.number, worker, song))

    def _replaced(self, worker: int) -> None:
        """Let another machine take the place of one that was stopped."""
        begun = self.dies[worker] + self.costs.replaced
        self.dies[worker] = self._life(begun)
        self.way.begun_again(worker)
        self._at(begun + self.costs.start + self.costs.plan, worker)

    def run(self) -> Outcome:
        """Let all songs be split."""
        for worker in range(self.workers):
            self._at(self.costs.start + self.costs.plan, worker)
        while self.events:
            now, _, worker, song = heapq.heappop(self.events)
            if song is not None:
                self.way.lost(worker, song, now)
                self._replaced(worker)
                if self.resting:
                    self._at(now, self.resting.pop())
            elif self.dies[worker] <= now:
                self._replaced(worker)
            else:
                self._asks(worker, now)
        total = sum(self.times)
        return Outcome(
            self.makespan,
            bound(self.times, self.workers, self.costs),
            1 - (total + self.wasted) / (self.workers * self.makespan),
            self.wasted / (total + self.wasted),
        )

    def _asks(self, worker: int, now: float) -> None:
        """Let a worker take a song, and split it as far as it gets."""
        song, found = self.way.take(worker, now)
        if song is None:
            if found == math.inf:
                self.resting.append(worker)
            else:
                self._at(found, worker)
            return
        begin = now + found
        end = begin + self.times[song]
        if self.dies[worker] < end:
            self.wasted += max(self.dies[worker] - begin, 0.0)
            self._at(self.dies[worker], worker, song)
        else:
            self.done[song] += 1
            self.makespan = max(self.makespan, end)
            self._at(end, worker)


def main() -> None:
    """Print a table."""
    count, costs, begun = int(sys.argv[1]) if len(sys.argv) > 1 else 100_000, Costs(), time.monotonic()
    seconds = lengths(count)
    times = [costs.song + costs.minute / 60 * length for length in seconds]
    print(f"{count:,} songs, {sum(seconds) / 3600:,.0f} h of music, the longest {max(seconds) / 3600:.1f} h; {costs}")
    print("| workers | machines stopped | way | makespan | of the bound | idle | done twice |")
    print("|---:|---|---|---:|---:|---:|---:|")
    for workers in WORKERS:
        for preempted in PREEMPTED:
            for way in WAYS if workers > 1 else ("shards",):
                found = Simulation(times, workers, way, preempted, costs).run()
                stopped = f"every {preempted / 3600:g} h" if preempted else "never"
                print(
                    f"| {workers} | {stopped} | {way} | {found.makespan / 3600:,.2f} h | "
                    f"{found.makespan / found.bound:.3f} | {found.idle:.1%} | {found.twice:.1%} |",
                    flush=True,
                )
    print(f"simulated in {time.monotonic() - begun:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()

"""Keeps account of which worker holds which songs, and of the songs at which workers died. Knows nothing of Ray."""

from collections import Counter, deque
from collections.abc import Hashable, Sequence

AHEAD = 3
"""Largest number of songs that a worker holds beside the one it computes: examined, to be examined, and finished."""

DEATHS = 3
"""Number of processes that may end while they hold one song alone; at the last of them the song fails."""

NODES = 4
"""Number of nodes that may vanish in the same way. Nodes are taken away for reasons that no song has."""


class Ledger:
    """Hands the songs of a run to workers, each to one at a time, until every song has ended.

    A worker that dies may have held several songs, and only one of them is to blame. So these are handed out again one
    by one, each to a worker that holds nothing else.

    Args:
        songs: numbers of the songs, in the order in which they should be tried.
        lengths: length of each song, by its number, in any unit; all are taken for equal if None.
    """

    def __init__(self, songs: Sequence[int], lengths: Sequence[float] | None = None) -> None:
        self.waiting, self.suspects = deque(songs), deque[int]()
        self.length = lengths.__getitem__ if lengths else lambda _: 1.0
        self.waiting_length = sum(map(self.length, songs))
        self.held: dict[Hashable, list[int]] = {}
        """Worker -> the songs that it holds, in the order in which it got them."""
        self.is_suspect: set[int] = set()
        self.deaths, self.nodes = Counter[int](), Counter[int]()
        """Song -> number of processes that ended, and of nodes that vanished, while a worker held it alone."""
        self.is_closed = False

    @property
    def is_over(self) -> bool:
        """Whether every song has ended."""
        return not (self.waiting or self.suspects or any(self.held.values()))

    @property
    def unheld(self) -> int:
        """Number of songs that no worker holds."""
        return len(self.waiting) + len(self.suspects)

    def take(self, worker: Hashable, workers: int) -> list[int]:
        """Return the songs to hand to a worker now.

        Args:
            worker: the worker.
            workers: number of workers that share the songs. No worker is handed more ahead than half of its share of
                what is left, so that no song waits behind a long one while another worker is idle.
        """
        held = self.held.setdefault(worker, [])
        if any(number in self.is_suspect for number in held):
            return []
        if self.suspects and not held:
            held.append(self.suspects.popleft())
            return held[:]
        share = self.waiting_length / max(workers, 1) / 2
        taken: list[int] = []
        while self.waiting and len(held) <= AHEAD:
            if held and sum(map(self.length, (*held, self.waiting[0]))) > share:
                break
            taken.append(self.waiting.popleft())
            held.append(taken[-1])
        self.waiting_length -= sum(map(self.length, taken))
        return taken

    def close(self) -> None:
        """Hand out no more songs; those that workers hold may end."""
        self.is_closed = True
        self.waiting.clear()
        self.suspects.clear()
        self.waiting_length = 0.0

    def ended(self, worker: Hashable, number: int) -> bool:
        """Note that a song has ended; return False if that worker did not hold it."""
        held = self.held.get(worker, [])
        if number not in held:
            return False
        held.remove(number)
        return True

    def returned(self, worker: Hashable) -> None:
        """Take back the songs of a worker that stopped for a reason which no song has."""
        held = self.held.pop(worker, [])
        if self.is_closed:
            return
        self.waiting.extendleft(reversed(held))
        self.waiting_length += sum(map(self.length, held))

    def lost(self, worker: Hashable, node: bool) -> list[int]:
        """Take back the songs of a worker that died; return those that fail, as too many have died at them.

        Args:
            worker: the worker.
            node: whether its node has vanished with it.
        """
        held = self.held.pop(worker, [])
        counts, most = (self.nodes, NODES) if node else (self.deaths, DEATHS)
        if len(held) == 1:
            counts[held[0]] += 1
            if counts[held[0]] >= most:
                return held
        if self.is_closed:
            return []
        self.suspects.extend(held)
        self.is_suspect.update(held)
        return []

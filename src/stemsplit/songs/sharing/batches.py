"""Adds up the runs of many machines, so that a shard counts once however often it was run."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from stemsplit.songs.sharing.note_forms import Run


@dataclass(frozen=True)
class Batch:
    """Runs with the same settings, and with the same number of shards.

    Args:
        settings: digest of the settings.
        shards: number of shards; None if each run had all songs.
        ended: numbers of the shards whose runs ended.
        hosts: names of the machines.
        runs: number of runs that ended.
        songs: number of songs in the last run of each shard.
        done: number of these that are split, in that run or in an earlier one.
        failed: number of these that failed.
        duration: seconds of music that all runs split.
        seconds: seconds that all runs took together.
        last: time at which the last run ended, in seconds since 1970, by its own machine's clock.
    """

    settings: str
    shards: int | None
    ended: tuple[int, ...]
    hosts: tuple[str, ...]
    runs: int
    songs: int
    done: int
    failed: int
    duration: float
    seconds: float
    last: float

    @property
    def lacking(self) -> tuple[int, ...]:
        """Numbers of the shards of which no run ended."""
        ended = set(self.ended)
        return tuple(number for number in range(1, (self.shards or 0) + 1) if number not in ended)


def _batch(settings: str, shards: int | None, runs: Sequence[Run]) -> Batch:
    last: dict[str, Run] = {}
    for run in sorted(runs, key=lambda run: run.ended):
        last[run.shard] = run
    totals = [run.summary for run in last.values()]
    return Batch(
        settings,
        shards,
        tuple(sorted(int(shard.partition("/")[0]) for shard in last if shard)),
        tuple(sorted({run.host for run in runs})),
        len(runs),
        sum(summary["songs"] for summary in totals),
        sum(summary["done"] + summary["skipped"] for summary in totals),
        sum(summary["failed"] for summary in totals),
        sum(run.summary["duration"] for run in runs),
        sum(run.summary["seconds"] for run in runs),
        max(run.ended for run in runs),
    )


def batches(runs: Iterable[Run]) -> list[Batch]:
    """Return the totals of runs, those that belong together in one; the batch that ended last comes last.

    Of each shard, the songs of its last run count: that one also found what earlier ones had done.
    """
    together: dict[tuple[str, int | None], list[Run]] = defaultdict(list)
    for run in runs:
        together[run.batch, int(run.shard.partition("/")[2]) if run.shard else None].append(run)
    found = [_batch(settings, shards, each) for (settings, shards), each in together.items()]
    return sorted(found, key=lambda batch: (batch.last, batch.settings))

"""Orders songs that several workers share: the longest first, so that no worker is left with a long one at the end."""

import math
import random
from collections.abc import Sequence
from contextlib import suppress

from stemsplit.songs.job import Job
from stemsplit.songs.sharing.notes import state_of

STEP = 1.1
"""Ratio of lengths that count as equal. Songs as long as each other are taken in another order by each process, so that
these seldom reach for the same one.
"""

BYTES_A_SECOND = {
    **dict.fromkeys(("wav", "wave", "bwf", "rf64", "w64", "aif", "aiff", "caf", "au", "snd"), 176_400.0),
    **dict.fromkeys(("flac", "ape", "wv", "tta", "tak", "m4a", "alac"), 100_000.0),
}
"""Bytes that a second of music usually takes, by the extension of its file; of others, `FEW_BYTES`."""

FEW_BYTES = 30_000.0


def expected_seconds(job: Job) -> float:
    """Return how long a song is, or about how long by the size of its file; 0 if neither is known."""
    if job.seconds is not None:
        return job.seconds
    with suppress(ValueError):
        size = int(state_of(job).partition(" ")[0])
        return size / BYTES_A_SECOND.get(job.path.suffix[1:].lower(), FEW_BYTES)
    return 0.0


def longest_first(jobs: Sequence[Job], seed: int | None = None) -> list[Job]:
    """Return the songs in the order in which several workers should take them.

    Songs that need no work come first, in their own order, as they cost nothing and are told at once. Of the others,
    the longest come first; those of unknown length come last.

    Args:
        jobs: jobs of all songs.
        seed: number that decides the order of songs that are about as long; None for another one in each process.
    """
    chance = random.Random(seed)
    settled = [job for job in jobs if job.done or job.problem]
    to_do = [(_class_of(job), chance.random(), job) for job in jobs if not (job.done or job.problem)]
    to_do.sort(key=lambda each: (-each[0], each[1]))
    return settled + [job for _, _, job in to_do]


def _class_of(job: Job) -> int:
    """Return a number that is greater for longer songs, and equal for songs that are about as long."""
    return math.ceil(math.log(1 + expected_seconds(job), STEP))

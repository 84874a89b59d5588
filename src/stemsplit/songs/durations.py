"""Estimates how long a song takes with a model on this machine, from what earlier runs showed."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from statistics import median

from stemsplit.engine.chain_entry import ChainEntry
from stemsplit.registry import ModelEntry
from stemsplit.songs import speeds
from stemsplit.songs.speeds import ENOUGH

SONG_SECONDS = 240
"""Length of the song that a time is estimated for."""

RATE, RATES = 160.0, {"ensemble": 50.0}
"""Billions of operations per second of a core of an AMD EPYC (Zen 5), and by architecture where they are others: small
networks reach less. Only their ratios matter where a model has run on this machine.
"""

SLOWER = 2.0
"""How much slower than that a core is taken to be as long as no model has run on this machine."""


class How(StrEnum):
    """How a time is known."""

    measured = "measured"
    """By the last runs of this model here."""
    scaled = "scaled"
    """By runs of other models here, and both models' numbers of operations."""
    guessed = "guessed"
    """By the number of cores alone."""


@dataclass(frozen=True)
class Duration:
    """Seconds that a song takes, and how that is known."""

    seconds: float
    how: How


def _work(entry: ModelEntry, chunks: float) -> float:
    """Return the seconds that one core of an AMD EPYC needs for a number of chunks; 0 if unknown."""
    return entry.cost * chunks * entry.chunk / entry.sample_rate / RATES.get(entry.architecture, RATE)


def durations(
    asked: Iterable[ModelEntry], known: Mapping[str, ModelEntry], cores: int | None = None
) -> dict[str, Duration]:
    """Estimate the time for a stereo song of `SONG_SECONDS` with the default options, start-up included.

    Args:
        asked: models to estimate the time of.
        known: all models by name; runs of them show how fast the machine is.
        cores: number of CPU cores to guess by; None for no guess.

    Returns:
        Name of a model -> its time, for those of which anything is known.
    """
    settings, runs = speeds.Settings(), dict[str, list[speeds.Speed]]()
    for name in speeds.names() & known.keys():
        # The first chunks take longer: what they tell of a short song would be many times too much for a long one.
        if found := [speed for speed in speeds.known(ChainEntry(known[name]), settings) if speed.chunks >= ENOUGH]:
            runs[name] = found
    paces = [
        median(speed.per_chunk for speed in found) / work
        for name, found in runs.items()
        if (work := _work(known[name], 1)) > 0
    ]
    times: dict[str, Duration] = {}
    for entry in asked:
        chunks = entry.chunks_in(SONG_SECONDS)
        work = _work(entry, chunks)
        own = runs.get(entry.name, []) if known.get(entry.name) == entry else []
        if measured := speeds.estimate(own, chunks):
            times[entry.name] = Duration(measured.seconds, How.measured)
        elif work and paces:
            times[entry.name] = Duration(work * median(paces), How.scaled)
        elif work and cores:
            times[entry.name] = Duration(work * SLOWER / cores, How.guessed)
    return times

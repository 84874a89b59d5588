"""Says which models split a song one after another, and what their stems are called. Needs no PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stemsplit.fetch import digests
from stemsplit.registry import ModelEntry

REST = "rest"
"""What a model leaves of a stem that it was given, where that has no name of its own."""


def parts_of(stem: str, outputs: Sequence[str], adds_up: bool) -> tuple[str, ...]:
    """What a stem becomes.

    Args:
        stem: its name.
        outputs: names of what the model gives that splits it on.
        adds_up: whether these make up all that the model was given.

    >>> parts_of("vocals", ["speech"], adds_up=False)
    ('vocals-speech', 'vocals-rest')
    """
    return tuple(f"{stem}-{output}" for output in (outputs if adds_up else (*outputs, REST)))


def replaced(stems: Sequence[str], stem: str, parts: Sequence[str]) -> tuple[str, ...]:
    """The stems with the parts of one in its place, if it is one of them.

    Raises:
        ValueError: two would have the same name.
    """
    names = [name for known in stems for name in (parts if known == stem else (known,))]
    called = [name.casefold() for name in names]
    if twice := [name for name in called if called.count(name) > 1]:
        raise ValueError(f"two stems would be called {twice[0]!r}")
    return tuple(names)


@dataclass(frozen=True)
class ChainEntry:
    """Which models make a song's stems, one after another; none of them is loaded yet.

    Args:
        first: splits the song.
        then: stems, and what splits each of them on, in this order; see `Chain`.

    Raises:
        ValueError: two stems would have the same name.
    """

    first: ModelEntry
    then: tuple[tuple[str, ModelEntry], ...] = ()

    def __post_init__(self) -> None:
        self._check_names()

    def _check_names(self) -> None:
        """Raises ValueError if two stems would have the same name."""
        _ = self.stems

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """All the models."""
        return (self.first, *(entry for _, entry in self.then))

    @property
    def name(self) -> str:
        """Of a single model its own, and of no chain that of a model."""
        return " --then ".join([self.first.name, *(f"{stem}:{entry.name}" for stem, entry in self.then)])

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are the song."""
        return self.first.adds_up

    @property
    def stems(self) -> tuple[str, ...]:
        """Names of all stems that can be written."""
        stems = self.first.outputs
        for stem, entry in self.then:
            stems = replaced(stems, stem, parts_of(stem, entry.outputs, entry.adds_up))
        return stems

    @property
    def sums(self) -> dict[str, tuple[str, ...]]:
        """Each stem that was split on, and those of `stems` that add up to it."""
        sums: dict[str, tuple[str, ...]] = {}
        for stem, entry in self.then:
            parts = parts_of(stem, entry.outputs, entry.adds_up)
            sums = {name: replaced(known, stem, parts) for name, known in sums.items()} | {stem: parts}
        return sums

    def identity(self, precision: str = "auto") -> dict[str, Any]:
        """What decides what is made of a song, as records have it; see `ModelEntry.identity`.

        Raises:
            WeightsError: a file with weights cannot be read.
        """
        own = [entry.identity(digests.identity(entry), precision) for entry in self.entries]
        onward = [{"stem": stem, **each} for (stem, _), each in zip(self.then, own[1:], strict=True)]
        return {**own[0], "then": onward} if onward else own[0]

"""Says which models split a song one after another, and what their stems are called. Needs no PyTorch."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from stemsplit.engine.combination.entry import Combination, Source, adjusted, entries_of, identity_of
from stemsplit.registry import ModelEntry

REST = "rest"
"""Name of the remainder of a stem, where the model that splits the stem has no name for it."""


def parts_of(stem: str, outputs: Sequence[str], adds_up: bool) -> tuple[str, ...]:
    """Return the names of a stem's parts.

    Args:
        stem: name of the stem.
        outputs: stems of the model that splits it further.
        adds_up: whether these stems add up to the model's mixture.

    >>> parts_of("vocals", ["speech"], adds_up=False)
    ('vocals-speech', 'vocals-rest')
    """
    return tuple(f"{stem}-{output}" for output in (outputs if adds_up else (*outputs, REST)))


def replaced(stems: Sequence[str], stem: str, parts: Sequence[str]) -> tuple[str, ...]:
    """Return the stems with the parts of one in its place.

    Raises:
        ValueError: two stems would have the same name.
    """
    names = [name for known in stems for name in (parts if known == stem else (known,))]
    called = [name.casefold() for name in names]
    if twice := [name for name in called if called.count(name) > 1]:
        raise ValueError(f"two stems would be called {twice[0]!r}")
    return tuple(names)


@dataclass(frozen=True)
class ChainEntry:
    """The models that split songs, one after another, before they are loaded.

    Args:
        first: the model, or several together, that split the song.
        then: pairs of a stem and what splits it further, in order; see `stemsplit.Chain`.

    Raises:
        ValueError: two stems would have the same name.
    """

    first: Source
    then: tuple[tuple[str, Source], ...] = ()

    def __post_init__(self) -> None:
        self._check_names()

    def _check_names(self) -> None:
        """Raise ValueError if two stems would have the same name."""
        _ = self.stems

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """All the models."""
        sources = (self.first, *(source for _, source in self.then))
        return tuple(entry for source in sources for entry in entries_of(source))

    @property
    def name(self) -> str:
        """The model's own name; for a chain, a text that cannot be the name of a model."""
        return " --then ".join([self.first.name, *(f"{stem}:{entry.name}" for stem, entry in self.then)])

    @property
    def short_name(self) -> str:
        """The name as files of stems have it: `a+b` for a chain, `(a+b)` for an ensemble."""
        names = [source.name for source in (self.first, *(source for _, source in self.then))]
        several = isinstance(self.first, Combination) or any(isinstance(source, Combination) for _, source in self.then)
        return "+".join(f"({name})" if several and "+" in name else name for name in names)

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
        """Stem that is split further -> the names in `stems` that add up to it."""
        sums: dict[str, tuple[str, ...]] = {}
        for stem, entry in self.then:
            parts = parts_of(stem, entry.outputs, entry.adds_up)
            sums = {name: replaced(known, stem, parts) for name, known in sums.items()} | {stem: parts}
        return sums

    def identity(self, precision: str = "auto") -> dict[str, Any]:
        """Return what decides how a song is split, as records have it; see `ModelEntry.identity`.

        Raises:
            WeightsError: a file with weights cannot be read.
        """
        own = identity_of(self.first, precision)
        onward = [{"stem": stem, **identity_of(source, precision)} for stem, source in self.then]
        return {**own, "then": onward} if onward else own

    def earlier_identities(self, precision: str = "auto") -> tuple[dict[str, Any], ...]:
        """Return what `identity` was in earlier versions, whose stems need not be made again.

        Raises:
            WeightsError: a file with weights cannot be read.
        """
        versions = max(len(entry.earlier_hops) for entry in self.entries)
        chains = [
            ChainEntry(
                adjusted(self.first, "as_earlier", version),
                tuple((stem, adjusted(source, "as_earlier", version)) for stem, source in self.then),
            )
            for version in range(versions)
        ]
        return tuple(chain.identity(precision) for chain in chains)

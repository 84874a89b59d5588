"""Says which models make which stems together, before they are loaded. Needs no PyTorch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar, Union

from stemsplit.choices import CombineName, Estimates
from stemsplit.fetch import digests
from stemsplit.registry import ModelEntry
from stemsplit.words import did_you_mean

T = TypeVar("T")

Source = Union[ModelEntry, "Combination"]
"""What splits a song: one model, or several together."""

REST = "rest"
"""Name of what the stems of a route leave of the song, where their names suggest no better one."""

CATCH_ALL = ("other", "instrumental", REST, "residual", "noise")
"""Names of stems that hold whatever a model's other stems do not."""

MEANT = {frozenset({"vocals"}): "instrumental", frozenset({"drums", "bass", "vocals"}): "other"}
"""Stems of a route -> usual name of the rest of the song."""


@dataclass(frozen=True)
class Combination:
    """Several models that split a song together. Make one with `ensemble` or `route`.

    Args:
        name: name as the user writes it: `a:0.6+b:0.4`.
        members: the models.
        takes: pairs of a stem, and the indices of the members whose estimates of it are combined.
        remainder: name of the stem that is the song minus all others; empty if there is none.
        spread: whether the stems should add up to the song; the remainder is then divided among them.
        kept: names of stems that get no share of the remainder, because they are wanted as their model gives them.
        combine: how several estimates of a stem become one.
        weights: weight of each member in the mean.
    """

    name: str
    members: tuple[Source, ...]
    takes: tuple[tuple[str, tuple[int, ...]], ...]
    remainder: str = ""
    spread: bool = False
    kept: tuple[str, ...] = ()
    combine: CombineName = CombineName.mean
    weights: tuple[float, ...] = ()

    @property
    def outputs(self) -> tuple[str, ...]:
        """Names of all stems that can be written."""
        stems = tuple(stem for stem, _ in self.takes)
        return (*stems, self.remainder) if self.remainder else stems

    @property
    def residual(self) -> str:
        """Name of the stem "song minus all others"; empty if there is none."""
        return self.remainder

    @property
    def adds_up(self) -> bool:
        """Whether all stems together are the song."""
        return self.spread or bool(self.remainder)

    @property
    def entries(self) -> tuple[ModelEntry, ...]:
        """All the models, each once."""
        return tuple(_unique([entry for member in self.members for entry in entries_of(member)]))

    def changed(self, method: str, *args: Any, **options: Any) -> "Combination":
        """Return the same with a method of `ModelEntry`, such as `with_chunks`, applied to every model."""
        return replace(self, members=tuple(adjusted(member, method, *args, **options) for member in self.members))

    def with_estimates(self, estimates: str = Estimates.consistent) -> "Combination":
        """Return the same with another choice of what becomes of all estimates; see `ModelEntry.with_estimates`."""
        members = tuple(member.with_estimates(estimates) for member in self.members)
        return replace(self, members=members, spread=self.spread and estimates == Estimates.consistent)

    @property
    def among(self) -> tuple[int, ...]:
        """Indices of the stems among which the remainder is divided."""
        return tuple(index for index, (stem, _) in enumerate(self.takes) if stem not in self.kept)

    def chunks_in(self, seconds: float, channels: int = 2) -> float:
        """Return how many chunks' work all networks have with a song; see `ModelEntry.chunks_in`."""
        return sum(member.chunks_in(seconds, channels) for member in self.members)


def _unique(items: Sequence[T]) -> list[T]:
    """Return the items, each once; they need not be hashable."""
    return [item for place, item in enumerate(items) if item not in items[:place]]


def adjusted(source: Source, method: str, *args: Any, **options: Any) -> Source:
    """Return a source with a method of `ModelEntry`, such as `with_chunks`, applied to all its models."""
    if isinstance(source, Combination):
        return source.changed(method, *args, **options)
    changed: ModelEntry = getattr(source, method)(*args, **options)
    return changed


def entries_of(source: Source) -> tuple[ModelEntry, ...]:
    """Return the models that a source consists of."""
    return source.entries if isinstance(source, Combination) else (source,)


def identity_of(source: Source, precision: str = "auto") -> dict[str, Any]:
    """Return what decides how a source splits a song, as records have it; see `ModelEntry.identity`.

    Raises:
        WeightsError: a file with weights cannot be read.
    """
    if isinstance(source, ModelEntry):
        return source.identity(digests.identity(source), precision)
    members = [identity_of(member, precision) for member in source.members]
    for member, weight in zip(members, source.weights, strict=False):
        member["weight"] = weight
    return {
        "name": source.name,
        "combine": source.combine.value,
        "takes": {stem: list(indices) for stem, indices in source.takes},
        "residual": source.remainder,
        "complete": source.spread,
        **({"kept": list(source.kept)} if source.kept else {}),
        "members": members,
    }


def _index(stem: str, outputs: Sequence[str]) -> int | None:
    """Return the index of a stem among others, in any letter case; None if it is not there."""
    names = [name.casefold() for name in outputs]
    return names.index(stem.casefold()) if stem.casefold() in names else None


def _rest_of(source: Source, stem: str) -> frozenset[str] | None:
    """Return the stems without which the song is this stem; None if the stem does not depend on the others."""
    if stem.casefold() not in (*CATCH_ALL, source.residual.casefold()):
        return None
    return frozenset(name.casefold() for name in source.outputs) - {stem.casefold()}


def _means_the_same(stem: str, one: Source, other: Source) -> bool:
    """Return whether two models both have a stem, and mean the same by it: "other" depends on their other stems."""
    if _index(stem, one.outputs) is None or _index(stem, other.outputs) is None:
        return False
    rests = _rest_of(one, stem), _rest_of(other, stem)
    # Guitar, say, is in "other" for one of them only. One model's stem may be another's residual.
    return None in rests or rests[0] == rests[1]


def _with_residual(member: ModelEntry, basis: ModelEntry) -> ModelEntry:
    """Return a model that gives all stems of another but one with that one: what its stems leave of the song."""
    missing = [stem for stem in basis.outputs if _index(stem, member.outputs) is None]
    if member.adds_up or not basis.adds_up or len(missing) != 1 or len(member.outputs) != len(basis.outputs) - 1:
        return member
    return replace(member, residual=missing[0])


def ensemble(
    members: Sequence[ModelEntry],
    weights: Sequence[float] = (),
    combine: CombineName = CombineName.mean,
) -> Combination:
    """Return models as an ensemble, which combines their estimates of each stem.

    Its stems are those of the member with the most stems that add up to the song, or the most stems if none does. The
    others contribute to those of these stems that they have, be it as a residual. "other" is combined only from members
    that mean the same by it: those with the same other stems.

    Args:
        members: the models, at least one.
        weights: weight of each in the mean, above 0; equal if empty.
        combine: how the estimates of a stem become one.

    Raises:
        ValueError: a weight is not above 0 and finite, weights are given but not for the mean, or a model has none of
            the stems.
    """
    if weights and combine != CombineName.mean:
        raise ValueError(f"weights have a meaning only for the mean, not for {combine}")
    if any(not 0 < weight < float("inf") for weight in weights):
        raise ValueError(f"a weight must be above 0 and finite, not {', '.join(f'{w:g}' for w in weights)}")
    basis = max(members, key=lambda member: (member.adds_up, len(member.outputs)))
    members = [_with_residual(member, basis) for member in members]
    takes = {
        stem: tuple(index for index, member in enumerate(members) if _means_the_same(stem, basis, member))
        for stem in basis.outputs
    }
    for index, member in enumerate(members):
        if not any(index in indices for indices in takes.values()):
            given, there = ", ".join(member.outputs), ", ".join(basis.outputs)
            raise ValueError(
                f"{member.name} gives {given}, and {basis.name} gives {there}: there is nothing to combine; "
                "to take each stem from its own model, use --route"
            )
    shares = weights or [1.0] * len(members)
    parts = [f"{m.name}:{w:g}" if weights else m.name for m, w in zip(members, shares, strict=True)]
    # What the others leave is computed last. Every member that adds up agrees with it, if all have the same stems.
    own = {stem: indices for stem, indices in takes.items() if stem != basis.residual}
    return Combination(
        name="+".join(parts) + ("" if combine == CombineName.mean else f" combine={combine}"),
        members=tuple(members),
        takes=tuple(own.items()),
        remainder=basis.residual,
        spread=basis.mixture_consistency,
        combine=combine,
        weights=tuple(shares),
    )


def route(routes: Mapping[str, Source], rest: Source | None = None) -> Combination:
    """Return models that each give stems of their own; all stems together are the song.

    Args:
        routes: stem -> its model.
        rest: model of all its other stems. Without one, what the stems leave of the song becomes a stem, unless one of
            them is such a remainder already ("other", "instrumental").

    Raises:
        ValueError: no stem is named, a model does not give its stem, or what the stems of `rest` hold is unclear.
    """
    if not routes:
        raise ValueError("a route needs at least one stem and its model, such as vocals=NAME")
    for stem, source in routes.items():
        if _index(stem, source.outputs) is None:
            has = f"{', '.join(source.outputs)}{did_you_mean(stem, source.outputs)}"
            raise ValueError(f"{source.name} does not give {stem!r}, only {has}")
    wanted: dict[str, Source] = {}
    if rest:
        routed = {stem.casefold(): source for stem, source in routes.items()}
        wanted = {stem: routed.get(stem.casefold(), rest) for stem in rest.outputs}
    wanted |= {stem: source for stem, source in routes.items() if _index(stem, tuple(wanted)) is None}
    remainder = _remainder(routes, rest)
    others = [stem for stem, source in wanted.items() if stem.casefold() not in {name.casefold() for name in routes}]
    members = _unique([source for stem, source in wanted.items() if stem != remainder])
    given = [f"{stem}={source.name}" for stem, source in routes.items()]
    return Combination(
        name=",".join([*given, *([f"rest={rest.name}"] if rest else [])]),
        members=tuple(members),
        takes=tuple((stem, (members.index(source),)) for stem, source in wanted.items() if stem != remainder),
        remainder=remainder,
        spread=not remainder,
        # A single other stem would be no more than the rest of the song, whatever its model gives.
        kept=() if remainder or len(others) < 2 else tuple(stem for stem in wanted if stem not in others),
    )


def _remainder(routes: Mapping[str, Source], rest: Source | None) -> str:
    """Return the name of the stem that is the song minus all others; empty if the remainder is divided among all."""
    named = {stem.casefold() for stem in routes}
    if rest is None:
        return "" if named & set(CATCH_ALL) else MEANT.get(frozenset(named), REST)
    if rest.residual and rest.residual.casefold() not in named:
        return rest.residual
    if not rest.adds_up:
        return REST
    # A stem that `rest` does not have is a part of its catch-all stem.
    if added := [stem for stem in routes if _index(stem, rest.outputs) is None]:
        holder = next((stem for stem in rest.outputs if stem.casefold() in CATCH_ALL), None)
        if holder is None or holder.casefold() in named:
            given = ", ".join(rest.outputs)
            raise ValueError(f"{rest.name} gives {given}; which of them holds {added[0]!r} is unclear")
        return holder
    return ""

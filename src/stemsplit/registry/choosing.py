"""Recommends a model for what people want of a song, by rules: see `stemsplit help models`."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemsplit.errors import RegistryError
from stemsplit.registry import DEFAULT_MODEL, entries
from stemsplit.registry.entry import ModelEntry
from stemsplit.registry.scores import Scale, score_of
from stemsplit.registry.wishes import Wish, wishes
from stemsplit.words import did_you_mean, size

LIGHT = 0.5
"""A model is called fast if it needs at most this share of the recommended one's operations."""


@dataclass(frozen=True)
class Choice:
    """A recommended model, why it is that one, and what to take instead.

    Args:
        entry: the recommended model.
        why: the reason, in a few words.
        scale: what the candidates were compared by; None if no published score could decide.
        instead: other models by what speaks for them: "free licence", "fast".
    """

    entry: ModelEntry
    why: str
    scale: Scale | None
    instead: Mapping[str, ModelEntry]


def candidates(models: Iterable[ModelEntry], stems: Iterable[str], without: Iterable[str] = ()) -> list[ModelEntry]:
    """Return the models that give all of these stems, and none of the others, in any letter case."""
    wanted, unwanted = ({stem.casefold() for stem in names} for names in (stems, without))
    outputs = [(entry, {output.casefold() for output in entry.outputs}) for entry in models]
    return [entry for entry, names in outputs if wanted <= names and not unwanted & names]


def is_known(entry: ModelEntry) -> bool:
    """Return whether it is known which file a model's weights are: by a published digest, or as a file that is here."""
    return bool(entry.sha256 or entry.git_sha1) or all(source.startswith("file:") for source in entry.sources)


def is_free(entry: ModelEntry) -> bool:
    """Return whether a model's licence is stated, and allows commercial use."""
    return not entry.license_notice


def wish_for(stems: Collection[str], wished: Iterable[Wish]) -> Wish | None:
    """Return the wish for exactly these stems, or else the one of the fewest stems that has all of them."""
    wanted = {stem.casefold() for stem in stems}
    fitting = [wish for wish in wished if wanted <= {stem.casefold() for stem in wish.stems}]
    return min(fitting, key=lambda wish: len(wish.stems), default=None)


def _common_scale(
    pool: Sequence[ModelEntry], stems: Sequence[str], test_set: str, decisive: Collection[str]
) -> Scale | None:
    """Return the scale by which most candidates were measured: on that test set, or else on a decisive one if any."""
    scales = Counter(found[0] for entry in pool if (found := score_of(entry, stems)))
    kept = [scale for scale in scales if scale[2] == test_set] if test_set else list(scales)
    # The most candidates; of as many, on a set that decides elsewhere; then the registry's order.
    return max(kept, key=lambda scale: (scales[scale], scale[2] in decisive), default=None)


def ranked(models: Iterable[ModelEntry], stems: Sequence[str], scale: Scale | None) -> list[ModelEntry]:
    """Return models in the order of preference, the first the best.

    Scores of the given scale come first, the highest before others. Of equal ones, or without a score, it is a stated
    licence that is preferred, then a recommendation, then a small file. Those without a published digest come last.
    """

    def place(entry: ModelEntry) -> tuple[bool, bool, float, bool, bool, float]:
        found = score_of(entry, stems)
        value = found[1] if found and found[0] == scale else None
        unscored, loss = value is None, -(value or 0.0)
        return not is_known(entry), unscored, loss, not entry.license, not entry.recommended, entry.size or 10**15

    return sorted(models, key=place)


def _reason(entry: ModelEntry, stems: Sequence[str], scale: Scale | None, count: int) -> str:
    found = score_of(entry, stems)
    if found and found[0] == scale:
        (name, measure, test_set), value = found
        what = "mean of all stems" if name == "mean" else f"score of {name}"
        kind, decibels, _ = measure.partition(" in dB")
        return f"highest published {what}: {kind} {value:.2f}{' dB' if decibels else ''}, {test_set}"
    return "the only model" if count == 1 else entry.recommended or "no comparable scores are published"


def _instead(
    pool: Sequence[ModelEntry], best: ModelEntry, stems: Sequence[str], scale: Scale | None
) -> dict[str, ModelEntry]:
    """Return the best free model if the best one is not free, and the fastest one if that is much faster."""
    others: dict[str, ModelEntry] = {}
    known = [entry for entry in pool if is_known(entry)]
    if not is_free(best) and (free := ranked(filter(is_free, known), stems, scale)):
        others["free licence"] = free[0]
    taken = (best, *others.values())
    light = [entry for entry in known if entry.work and (entry.score or entry.name == DEFAULT_MODEL)]
    fastest = min(light, key=lambda entry: entry.work, default=best)
    if fastest not in taken and fastest.work <= LIGHT * min((entry.work for entry in taken if entry.work), default=0):
        others["fast"] = fastest
    return others


def choose(stems: Sequence[str], models: Mapping[str, ModelEntry], wished: Mapping[str, Wish]) -> Choice | None:
    """Return the recommended model that gives all of these stems; None if there is none.

    Args:
        stems: names of stems, in any letter case.
        models: all models by name.
        wished: all wishes by name.

    Raises:
        RegistryError: a wish names a model that does not exist.
    """
    pool, wish = candidates(models.values(), stems), wish_for(stems, wished.values())
    if not pool:
        return None
    # A wish for more stems than those asked for is measured by its own stems: the model is meant to be the same.
    asked = wish.stems if wish else tuple(stems)
    if wish:
        pool = candidates(models.values(), asked, wish.without) or pool
    decisive = {each.test_set for each in wished.values()} - {""}
    scale = _common_scale(pool, asked, wish.test_set if wish else "", decisive)
    if wish and wish.model and wish.model not in models:
        hint = did_you_mean(wish.model, models)
        raise RegistryError(f"[wish.{wish.name}] recommends {wish.model!r}, but no model has that name{hint}")
    if wish and wish.model and models[wish.model] in pool:
        best, why = models[wish.model], wish.reason
    else:
        # Also where a user's own model has taken the name of the one that was meant.
        best = ranked(pool, asked, scale)[0]
        why = _reason(best, asked, scale, len(pool))
    return Choice(best, why, scale, _instead(pool, best, asked, scale))


def licence_in_words(entry: ModelEntry) -> str:
    """Return a model's licence in a few words."""
    return f"licence {entry.license}" if entry.license else "licence not stated"


def size_in_words(entry: ModelEntry) -> str:
    """Return the size of a model's file in a few words."""
    return size(entry.size) if entry.size else "size not published"


def recommended(stems: Sequence[str], more: Path | None = None) -> Choice:
    """Return the recommended model that gives all of these stems.

    Args:
        stems: names of stems, in any letter case; without any, those of the built-in model are meant.
        more: registry with more models.

    Raises:
        ValueError: no model gives them all.
        RegistryError: a registry cannot be read, or a wish is invalid.
    """
    models, wished = entries(more), wishes(more)
    asked = [stem.strip() for stem in stems if stem.strip()] or list(models[DEFAULT_MODEL].outputs)
    if choice := choose(asked, models, wished):
        return choice
    outputs = dict.fromkeys(output for entry in models.values() for output in entry.outputs)
    known = {output.casefold() for output in outputs}
    if strange := [stem for stem in asked if stem.casefold() not in known]:
        if wish := wished.get(strange[0].casefold()):
            raise ValueError(f"{strange[0]!r} is not a stem; for {wish.name}, ask for {', '.join(wish.stems)}")
        hint = did_you_mean(strange[0].lower(), outputs) or "; see stemsplit list --all"
        raise ValueError(f"no model has a stem {strange[0]!r}{hint}")
    each = [(stem, choose([stem], models, wished)) for stem in asked]
    parts = ", ".join(f"{stem} by {choice.entry.name}" for stem, choice in each if choice)
    raise ValueError(f"no model gives all of {', '.join(asked)}; split the song once for each: {parts}")

"""Reads the published scores of entries. Only scores of the same scale can be compared."""

from collections.abc import Iterable
from typing import Any

from stemsplit.registry.entry import ModelEntry

Scale = tuple[str, str, str]
"""Stem or mean, measure and test set of a score. Only scores of the same scale can be compared."""


LARGEST = 1e6
"""Size from which on a figure is not taken for a score."""


def _is_figure(value: Any) -> bool:
    """Return whether a value is a number, and neither NaN, infinity nor an integer that is too large for a float."""
    return type(value) in (float, int) and -LARGEST < value < LARGEST


def figure(entry: ModelEntry, names: Iterable[str]) -> tuple[Scale, float] | None:
    """Return the first of these published scores that is a number, and its scale.

    Args:
        entry: entry of a model.
        names: names of stems, or "mean" for the mean of all stems; in order of preference.
    """
    name = next((name for name in names if _is_figure(entry.score.get(name))), None)
    if name is None:
        return None
    test_set = str(entry.score.get("test_set", "test set not stated"))
    # Authors use different validation sets.
    test_set += f", {entry.author}" if "author" in test_set else ""
    measure = str(entry.score.get("measure", "score")).partition(":")[0]
    return (name, measure, test_set), float(entry.score[name])


def score(entry: ModelEntry) -> tuple[Scale, float] | None:
    """Return the published score that stands for a model: the mean of its stems, or else that of its first stem."""
    return figure(entry, ("mean", *entry.outputs))


def score_of(entry: ModelEntry, stems: Iterable[str]) -> tuple[Scale, float] | None:
    """Return the published score of some of a model's stems: the mean if these are all, or else that of the first."""
    asked = [stem.casefold() for stem in stems]
    names = {output.casefold(): output for output in entry.outputs}
    whole = ("mean",) if set(asked) >= names.keys() else ()
    return figure(entry, (*whole, *(names[stem] for stem in asked if stem in names)))

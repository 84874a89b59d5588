"""Maps the stems of a song to the outputs of a model, for measuring and for training."""

from collections.abc import Callable, Collection, Sequence

from stemsplit.registry import ModelEntry

WITHOUT_VOCALS = ("instrumental", "accompaniment")
"""Names for all stems but vocals."""

REST = ("other", "noise")
"""Names for the output that also collects stems without an output of their own."""


def joined(stem: str) -> list[str]:
    """Return the stems that one recording holds together: `bass+other` is the sum of bass and other."""
    names = [part.strip() for part in stem.split("+")]
    return names if all(names) else [stem]


def wanted_by(
    output: str, outputs: Sequence[str], known: Collection[str], rest: Collection[str]
) -> Callable[[str], bool]:
    """Return which stems an estimate should hold; the arguments are those of `stems_of_outputs`."""
    left_out = "vocals" if output in WITHOUT_VOCALS else output.removeprefix("no_")
    if output in rest:
        return lambda stem: stem == output or stem not in outputs
    if output in known:
        return lambda stem: stem == output
    if left_out == output:
        return lambda stem: stem in joined(output)
    return lambda stem: stem != left_out


def stems_of_outputs(
    outputs: Sequence[str], stems: Collection[str], rest: Collection[str] = ()
) -> dict[str, list[str]]:
    """Choose the stems of a song whose sum each estimate is measured against.

    An estimate is measured against the stem of its name; otherwise an instrumental against all stems but vocals, a
    `no_X` against all stems but X, and a `bass+other` against both of these. Where a stem such as `bass+other` holds
    more than an estimate should, the estimate cannot be measured.

    Args:
        outputs: names of the estimates.
        stems: names of the song's stems; `bass+other` is one file that holds two.
        rest: outputs that also collect stems without an output of their own, such as `other`.

    Returns:
        Stems of each output, by its name; outputs without any are left out.
    """
    parts = {stem: [stem] if stem in outputs else joined(stem) for stem in stems}
    known = {part for names in parts.values() for part in names}
    chosen: dict[str, list[str]] = {}
    for output in outputs:
        wanted = wanted_by(output, outputs, known, rest)
        inside = {stem: [wanted(part) for part in names] for stem, names in parts.items()}
        if all(all(held) or not any(held) for held in inside.values()):
            chosen[output] = [stem for stem, held in inside.items() if any(held)]
    return {output: names for output, names in chosen.items() if names}


def rest_of(entry: ModelEntry) -> str:
    """Return the output of a model that collects stems without an output of their own; empty if there is none.

    In training every stem belongs to one output, so an instrumental is such an output too.
    """
    names = ("other", "instrumental", "noise")
    return next((name for name in names if name in entry.outputs), entry.residual)


def outputs_of(stem: str, entry: ModelEntry) -> list[int]:
    """Return the indices of the outputs that a stem belongs to in training: several if it is a sum of their stems.

    There are none if the model has no place for the stem, or for a part of it.
    """
    names = [stem] if stem in entry.outputs else joined(stem)
    places = {name if name in entry.outputs else rest_of(entry) for name in names}
    return sorted(map(entry.outputs.index, places)) if places <= {*entry.outputs} else []

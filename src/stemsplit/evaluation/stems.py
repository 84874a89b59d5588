"""Maps the stems of a song to the outputs of a model, for measuring and for training."""

from collections.abc import Collection, Sequence

from stemsplit.registry import ModelEntry

WITHOUT_VOCALS = ("instrumental", "accompaniment")
"""Names for all stems but vocals."""

REST = ("other", "noise")
"""Names for the output that also collects stems without an output of their own."""


def stems_of_outputs(
    outputs: Sequence[str], stems: Collection[str], rest: Collection[str] = ()
) -> dict[str, list[str]]:
    """Choose the stems of a song whose sum each estimate is measured against.

    An estimate is measured against the stem of its name; otherwise an instrumental against all stems but vocals, and a
    `no_X` against all stems but X.

    Args:
        outputs: names of the estimates.
        stems: names of the song's stems.
        rest: outputs that also collect stems without an output of their own, such as `other`.

    Returns:
        Stems of each output, by its name; outputs without any are left out.
    """
    chosen: dict[str, list[str]] = {}
    for output in outputs:
        left_out = "vocals" if output in WITHOUT_VOCALS else output.removeprefix("no_")
        if output in rest:
            chosen[output] = [stem for stem in stems if stem == output or stem not in outputs]
        elif output in stems:
            chosen[output] = [output]
        elif left_out != output:
            chosen[output] = [stem for stem in stems if stem != left_out]
    return {output: names for output, names in chosen.items() if names}


def rest_of(entry: ModelEntry) -> str:
    """Return the output of a model that collects stems without an output of their own; empty if there is none.

    In training every stem belongs to one output, so an instrumental is such an output too.
    """
    names = ("other", "instrumental", "noise")
    return next((name for name in names if name in entry.outputs), entry.residual)


def output_of(stem: str, entry: ModelEntry) -> int | None:
    """Return the index of the output that a stem belongs to in training; None if there is none."""
    name = stem if stem in entry.outputs else rest_of(entry)
    return entry.outputs.index(name) if name in entry.outputs else None

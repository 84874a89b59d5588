"""Chooses the files to write, and names the models that give a stem where the chosen model does not."""

from pathlib import Path
from typing import TYPE_CHECKING

from stemsplit.cli.options import listed
from stemsplit.words import did_you_mean

if TYPE_CHECKING:
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.outputs import Output

FEW = 3
"""Largest number of models that a hint names."""


def hint(stem: str, registry_file: Path | None) -> str:
    """Return a hint at the models of the registry that give a stem; empty if there are none.

    Args:
        stem: name of the stem, in any letter case.
        registry_file: registry with more models.

    Raises:
        RegistryError: a registry cannot be read.
    """
    from stemsplit.registry import entries

    stem = stem.strip().casefold()
    known = [model for model in entries(registry_file).values() if stem in map(str.casefold, model.outputs)]
    names = [model.name for model in sorted(known, key=lambda model: not model.recommended)]
    if not names:
        return ""
    others = f" and {len(names) - FEW} more" if len(names) > FEW else ""
    give = "gives" if len(names) == 1 else "give"
    return f"; {', '.join(names[:FEW])}{others} {give} it: add --model {names[0]}, or see stemsplit list {stem}"


def chosen_outputs(
    models: "ChainEntry",
    stems: str | None,
    two_stems: str | None,
    mixes: list[str] | None,
    registry_file: Path | None,
) -> "tuple[Output, ...]":
    """Return the files to write for each song.

    Raises:
        ValueError: an option names a stem that the models do not give, or is malformed.
    """
    from stemsplit.songs import outputs

    wanted = None if stems is None else listed([stems])
    try:
        return outputs.chosen(models.stems, wanted, mixes or [], two_stems, models.sums)
    except outputs.StemError as error:
        close = did_you_mean(error.stem.lower(), (*models.stems, *models.sums))
        raise ValueError(f"{error}{close or hint(error.stem, registry_file)}") from error

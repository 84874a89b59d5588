"""Names the models that give a stem, where the chosen model does not."""

from pathlib import Path

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

"""Runs `stemsplit remove`."""

from typing import Annotated

import typer

from stemsplit.cli.choose import ModelNames, RegistryFile
from stemsplit.cli.several import models


def remove(
    names: Annotated[list[str], ModelNames],
    registry_file: RegistryFile = None,
) -> None:
    """Remove downloaded weights, and unfinished downloads."""
    from stemsplit.checkpoints.resolve import registered
    from stemsplit.engine.combination.entry import Combination
    from stemsplit.errors import WeightsError
    from stemsplit.fetch import store
    from stemsplit.terminal import console
    from stemsplit.words import size

    kept = "no space was freed, because another revision in the hub's cache uses the same file"
    failed = False
    several = models(registry_file)
    for name in names:
        if isinstance(preset := several.registered(name), Combination):
            what = " ".join(entry.name for entry in preset.entries)
            raise typer.BadParameter(f"{name} is a preset, whose models others may need; remove them by name: {what}")
    for entry in [registered(name, registry_file) for name in dict.fromkeys(names)]:
        try:
            freed = store.remove(entry)
        except WeightsError as error:
            console.error(str(error))
            failed = True
            continue
        if freed is None:
            console.note(f"{entry.name} is not downloaded")
        else:
            room = f"{size(freed)} freed" if freed else kept
            console.note(f"{entry.name} was removed; {room}")
    if failed:
        raise typer.Exit(3)

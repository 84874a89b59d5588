"""Runs `stemsplit download`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli.choose import ModelNames, RegistryFile
from stemsplit.cli.obtain import obtain
from stemsplit.cli.options import Quiet
from stemsplit.cli.several import models

if TYPE_CHECKING:
    from stemsplit.registry import ModelEntry


def chosen(names: list[str] | None, all_: bool, stems: str | None, registry_file: Path | None) -> "list[ModelEntry]":
    """Return the entries that the arguments mean, each once; of a preset, those of its models.

    Raises:
        typer.BadParameter: the arguments contradict each other, or mean no model.
        RegistryError: no model has one of the names.
    """
    from stemsplit import registry
    from stemsplit.engine.combination.entry import entries_of

    if bool(names) == all_ or (stems and not all_):
        raise typer.BadParameter("name one or more models, or use --all, alone or with --stems")
    known = registry.entries(registry_file)
    if all_:
        if not (found := registry.select(known.values(), stems)):
            raise typer.BadParameter(f"no model has all of these stems: {stems}", param_hint="--stems")
        return found
    several = models(registry_file)
    found = [entry for name in names or () for entry in entries_of(several.registered(name))]
    return list({entry.name: entry for entry in found}.values())


def download(
    names: Annotated[list[str] | None, ModelNames] = None,
    all_: Annotated[bool, typer.Option("--all", help="Download all models.")] = False,
    stems: Annotated[
        str | None,
        typer.Option("--stems", "-s", help="With --all: only models that have all of these stems, e.g. vocals,drums."),
    ] = None,
    quiet: Quiet = False,
    registry_file: RegistryFile = None,
) -> None:
    """Download models, so that they can be used offline.

    An interrupted download resumes where it stopped. The paths of the
    files go to stdout, messages to stderr.
    """
    from stemsplit.errors import WeightsError
    from stemsplit.fetch import store
    from stemsplit.terminal import console
    from stemsplit.terminal.stdout import print_paths
    from stemsplit.words import counted, size

    entries = chosen(names, all_, stems, registry_file)
    here = {entry.name for entry in entries if store.local(entry)}
    if all_ and not quiet:
        missing = [entry.size for entry in entries if entry.name not in here]
        least = "at least " if 0 in missing else ""
        amount = f" ({least}{size(sum(missing))})" if any(missing) else ""
        count = counted(len(entries), "model")
        console.note(f"{count}: {len(here)} already on this machine, {len(missing)} to download{amount}")
    failed = False
    for entry in entries:
        try:
            path = obtain(entry, quiet)
        except WeightsError as error:
            console.error(str(error))
            failed = True
            continue
        if entry.name in here and not quiet:
            console.note(f"{entry.name} is already on this machine")
        print_paths([path])
    if failed:
        raise typer.Exit(3)

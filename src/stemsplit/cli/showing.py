"""Prints what `list` and `info` show. It does not import typer, so that both start fast."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stemsplit.registry import ModelEntry


def print_models(
    stems: str | None = None,
    architecture: str | None = None,
    licence: str | None = None,
    downloaded: bool = False,
    as_json: bool = False,
    whole: bool = False,
    registry_file: Path | None = None,
) -> None:
    """Print the models that `stemsplit list` is asked for.

    Args:
        stems: names of stems, as `registry.select` takes them.
        architecture: words of an architecture's name, as `registry.select` takes them.
        licence: part of a licence's name, as `registry.select` takes it.
        downloaded: whether to leave out models that are not on this machine.
        as_json: whether to print complete entries as JSON.
        whole: whether to show all models on a terminal, instead of recommended and downloaded ones.
        registry_file: registry with more models.

    Raises:
        RegistryError: a registry cannot be read.
    """
    from stemsplit.registry import entries, select
    from stemsplit.terminal import models, stdout
    from stemsplit.terminal.tables import is_terminal

    known = entries(registry_file).values()
    chosen, paths = select(known, stems, architecture, licence), {}
    if downloaded or as_json or is_terminal():
        from stemsplit.fetch import store

        paths = {entry.name: store.local(entry) for entry in chosen}
        chosen = [entry for entry in chosen if paths[entry.name] or not downloaded]
    if as_json:
        stdout.print_json([models.entry_as_data(entry, paths[entry.name]) for entry in chosen])
    elif chosen:
        here = {name for name, path in paths.items() if path}
        asked = stems or architecture or licence or downloaded or whole
        shown = [entry for entry in chosen if asked or entry.recommended or entry.name in here]
        models.print_models(chosen, here, shown or chosen)
    else:
        from stemsplit.terminal import console
        from stemsplit.words import did_you_mean

        outputs = {output.lower() for entry in known for output in entry.outputs}
        unknown = [name for name in map(str.strip, (stems or "").lower().split(",")) if name and name not in outputs]
        hint = did_you_mean(unknown[0], outputs) if unknown else ""
        console.hint(f"no model matches{hint}; see them all with: stemsplit list --all")


def print_model(entry: "ModelEntry", as_json: bool = False, verbose: bool = False) -> None:
    """Print what `stemsplit info` shows of a model in the registry.

    Args:
        entry: entry of the model.
        as_json: whether to print the complete entry as JSON.
        verbose: whether to print the network's hyperparameters too.
    """
    from stemsplit.fetch import store
    from stemsplit.terminal import models, stdout

    path = store.local(entry)
    if as_json:
        stdout.print_json(models.entry_as_data(entry, path))
    else:
        models.print_facts(models.facts(entry, path, verbose))

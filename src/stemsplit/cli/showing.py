"""Prints what `list` and `info` show. It does not import typer, so that both start fast."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from stemsplit.engine.combination.entry import Combination
    from stemsplit.registry import ModelEntry
    from stemsplit.registry.choosing import Choice
    from stemsplit.registry.presets import Preset


def print_models(
    names: str | None = None,
    architecture: str | None = None,
    licence: str | None = None,
    downloaded: bool = False,
    as_json: bool = False,
    whole: bool = False,
    registry_file: Path | None = None,
) -> None:
    """Print the models that `stemsplit list` is asked for; on a terminal, without a filter, the recommended ones.

    Args:
        names: names of stems or wishes, separated by commas.
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
    from stemsplit.terminal import models, presets, stdout
    from stemsplit.terminal.tables import is_terminal

    known = entries(registry_file)
    people = is_terminal() and not as_json
    if people and not (names or architecture or licence or downloaded or whole):
        _print_advice(known, registry_file)
        return
    stems, choice = _wanted(names, known, registry_file, people)
    chosen, paths = select(known.values(), ",".join(stems), architecture, licence), {}
    if downloaded or as_json or people:
        from stemsplit.fetch import store

        paths = {entry.name: store.local(entry) for entry in chosen}
        chosen = [entry for entry in chosen if paths[entry.name] or not downloaded]
    if as_json:
        stdout.print_json([models.entry_as_data(entry, paths[entry.name]) for entry in chosen])
    elif chosen:
        advice = f"recommended: {choice.entry.name} ({choice.why})" if choice and choice.entry in chosen else ""
        if people and choice:
            from stemsplit.registry.choosing import ranked

            chosen = ranked(chosen, stems, choice.scale)
        here = {name for name, path in paths.items() if path}
        more = [] if architecture or licence or downloaded else _presets(stems, registry_file)
        models.print_models(chosen, here, advice, list(map(presets.row, more)), presets.listing(more))
    else:
        _say_that_none_matches(stems, architecture, known)


def _say_that_none_matches(stems: list[str], architecture: str | None, known: "Mapping[str, ModelEntry]") -> None:
    """Print that no model is as asked for, and which name was probably meant."""
    from stemsplit.registry import select
    from stemsplit.terminal import console
    from stemsplit.words import did_you_mean

    outputs = {output.lower() for entry in known.values() for output in entry.outputs}
    unknown = [name for name in map(str.lower, stems) if name not in outputs]
    hint = did_you_mean(unknown[0], outputs) if unknown else ""
    if not hint and architecture and not select(known.values(), architecture=architecture):
        architectures = {entry.architecture for entry in known.values()}
        hint = did_you_mean(architecture.lower().replace("-", "_"), architectures)
    console.hint(f"no model matches{hint}; see them all with: stemsplit list --all")


def _wanted(
    names: str | None, known: "Mapping[str, ModelEntry]", registry_file: Path | None, people: bool
) -> "tuple[list[str], Choice | None]":
    """Return the stems that are asked for by names of stems or wishes, and for people also what is recommended.

    Raises:
        RegistryError: a registry cannot be read.
    """
    asked = [name for name in map(str.strip, (names or "").split(",")) if name]
    outputs = {output.casefold() for entry in known.values() for output in entry.outputs}
    # The wishes are read only where they are needed, because that takes as long as everything else.
    if not asked or (not people and all(name.casefold() in outputs for name in asked)):
        return asked, None
    from stemsplit.registry.choosing import choose
    from stemsplit.registry.wishes import stems_of, wishes

    wished = wishes(registry_file)
    stems = stems_of(asked, wished, outputs)
    return stems, choose(stems, known, wished) if people else None


def _print_advice(known: "Mapping[str, ModelEntry]", registry_file: Path | None) -> None:
    """Print the model that is recommended for each wish.

    Raises:
        RegistryError: a registry cannot be read.
    """
    from stemsplit.cli.machine import NO_GPU, cores, gpu
    from stemsplit.fetch import store
    from stemsplit.registry.choosing import choose
    from stemsplit.registry.wishes import wishes
    from stemsplit.songs.durations import durations
    from stemsplit.terminal.presets import listing
    from stemsplit.terminal.wishes import Advice, print_advice

    wished = wishes(registry_file)
    choices = [(wish, choice) for wish in wished.values() if (choice := choose(wish.stems, known, wished))]
    advised = {entry.name for _, choice in choices for entry in (choice.entry, *choice.instead.values())}
    others = [entry for entry in known.values() if entry.recommended and entry.name not in advised]
    shown = [known[name] for name in advised] + others
    guessed_by = cores() if gpu() == NO_GPU else None
    here = {entry.name for entry in known.values() if store.local(entry)}
    print_advice(
        Advice(
            choices,
            others,
            durations(shown, known, guessed_by),
            here,
            len(known),
            guessed_by,
            listing(_presets((), registry_file)),
        )
    )


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


def print_several(source: "Combination", preset: "Preset | None", as_json: bool = False) -> None:
    """Print what `stemsplit info` shows of several models that work together.

    Args:
        source: the models.
        preset: the preset that they are; None if the user put them together.
        as_json: whether to print JSON.
    """
    from stemsplit.fetch import store
    from stemsplit.terminal import presets, stdout
    from stemsplit.terminal.tables import print_table

    paths = {entry.name: store.local(entry) for entry in source.entries}
    if as_json:
        stdout.print_json(presets.as_data(source, preset, paths))
    else:
        print_table(presets.facts(source, preset, paths))


def _warn(text: str) -> None:
    """Print a warning. The console is imported only for one: it takes longer than the registry takes to read."""
    from stemsplit.terminal import console

    console.warning(text)


def _presets(stems: "Sequence[str]", registry_file: Path | None) -> "list[tuple[Preset, Combination]]":
    """Return the presets that give all of these stems, and what they mean.

    Raises:
        RegistryError: a registry cannot be read.
    """
    from stemsplit.engine.combination.typed import Models
    from stemsplit.registry import find

    wanted = {stem.casefold() for stem in stems}
    found = Models(lambda name: find(str(name), registry_file), registry_file).all_presets(_warn)
    return [each for each in found if wanted <= {output.casefold() for output in each[1].outputs}]

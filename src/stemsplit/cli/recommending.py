"""Takes or names the recommended model for the stems that `split` is asked for."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from stemsplit.cli.options import listed, usage_errors
from stemsplit.words import printable

if TYPE_CHECKING:
    from stemsplit.registry.choosing import Choice

LONGEST = 300
"""Characters of a command beyond which it is not repeated in a message."""

CHOOSING = ("--model", "--ensemble", "--route", "--combine")
"""Options that choose the models."""


def asked_stems(
    stems: str | None, two_stems: str | None, mixes: list[str] | None, registry_file: Path | None
) -> list[str]:
    """Return the names of all stems that the options of `split` ask for; none if they leave the choice to the model.

    Raises:
        RegistryError: a registry cannot be read.
        ValueError: a sum cannot be understood.
    """
    from stemsplit.registry import entries
    from stemsplit.songs import outputs

    names = [name for name in listed([stems or "", two_stems or ""]) if name.casefold() != "none"]
    if not mixes:
        return names
    known = list(dict.fromkeys(stem for entry in entries(registry_file).values() for stem in entry.outputs))
    for recipe in mixes:
        _, *gains = outputs.parse(recipe, known).gains
        names += [stem for stem, gain in zip(known, gains, strict=True) if gain]
    return list(dict.fromkeys(names))


def is_automatic(model: str | None, registry_file: Path | None) -> bool:
    """Return whether --model asks for the recommended model; a model that is called so takes precedence.

    Raises:
        RegistryError: a registry cannot be read.
    """
    from stemsplit.registry import AUTO, entries

    return model == AUTO and AUTO not in entries(registry_file)


def automatic(
    stems: str | None,
    two_stems: str | None,
    mixes: list[str] | None,
    then: list[str] | None,
    registry_file: Path | None,
    quiet: bool,
) -> str:
    """Return the name of the recommended model for the stems asked for, and print which it is, and why.

    Raises:
        typer.BadParameter: no model gives all of the stems, or others are asked for with --then.
        RegistryError: a registry cannot be read.
    """
    from stemsplit.registry.choosing import recommended
    from stemsplit.terminal import console

    if then:
        raise typer.BadParameter("--model auto chooses by the stems asked for; with --then, name the first model")
    with usage_errors():
        choice = recommended(asked_stems(stems, two_stems, mixes, registry_file), registry_file)
    if not quiet:
        console.note(f"--model auto takes {in_words(choice)}")
    return choice.entry.name


def in_words(choice: "Choice") -> str:
    """Return a recommended model, why it is that one, and its size and licence, in one line."""
    from stemsplit.fetch import store
    from stemsplit.registry.choosing import licence_in_words, size_in_words

    entry = choice.entry
    place = "on this machine" if store.local(entry) else f"{size_in_words(entry)} to download"
    return f"{entry.name} ({choice.why}): {place}, {licence_in_words(entry)}"


def command_with(name: str) -> str:
    """Return this command with another model, as it can be typed; empty if that would be too long."""
    words, kept = iter(sys.argv[1:]), ["stemsplit"]
    for word in words:
        if word in ("-m", *CHOOSING):
            next(words, None)
        elif not word.startswith(("-m", *(f"{option}=" for option in CHOOSING))):
            kept.append(word)
    text = shlex.join([*kept, "--model", name])
    # Behind --, everything is a song.
    return text if len(text) <= LONGEST and text == printable(text) and "--" not in kept else ""


def suggestion(stem: str, registry_file: Path | None) -> str:
    """Return how to get a stem that the chosen model does not give; empty if no model gives it.

    Args:
        stem: name of the stem, or of a wish.
        registry_file: registry with more models.

    Raises:
        RegistryError: a registry cannot be read.
    """
    from stemsplit.registry import entries
    from stemsplit.registry.choosing import candidates, choose, licence_in_words, size_in_words
    from stemsplit.registry.wishes import stems_of, wishes

    models, wished = entries(registry_file), wishes(registry_file)
    stems = stems_of([stem], wished, (output for entry in models.values() for output in entry.outputs))
    if not (choice := choose(stems, models, wished)):
        return ""
    name = choice.entry.name
    facts = f"recommended is {name} ({size_in_words(choice.entry)}, {licence_in_words(choice.entry)})"
    if stems != [stem]:
        return f"; for {stem}, {facts}, whose stems are {', '.join(choice.entry.outputs)}: add --model {name}"
    others = len(candidates(models.values(), stems)) - 1
    see = f"{others} more" if others else "it"
    command = command_with(name)
    again = f"; the whole command: {command}" if command else ""
    return f"; {facts}: add --model {name}, or see stemsplit list {stem.lower()} for {see}{again}"

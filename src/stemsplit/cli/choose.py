"""Which model the arguments mean: one of the registry, or a checkpoint of the user's own."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli.options import usage_errors

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from stemsplit.checkpoints.describe import Described
    from stemsplit.engine.chain import Plan
    from stemsplit.registry import ModelEntry


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Models' names that begin like that, for the shell."""
    from stemsplit.registry import entries

    return [(entry.name, entry.description) for entry in entries().values() if entry.name.startswith(incomplete)]


def complete_then(incomplete: str) -> list[tuple[str, str]]:
    """The same for [STEM:]MODEL."""
    stem, colon, name = incomplete.rpartition(":")
    return [(f"{stem}{colon}{known}", description) for known, description in complete_model(name)]


ModelNames = typer.Argument(metavar="NAME", help="Models from `stemsplit list`.", autocompletion=complete_model)
RegistryFile = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        envvar="STEMSPLIT_REGISTRY",
        exists=True,
        readable=False,
        help="A models.toml that adds to the models there are.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        exists=True,
        readable=False,
        help="The YAML of a checkpoint of your own.",
        rich_help_panel="Own checkpoints",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Say what a checkpoint of your own does not tell, e.g. stft_hop_length=512 or stems=vocals.",
        rich_help_panel="Own checkpoints",
    ),
]

CHECKPOINT_SUFFIXES = (".ckpt", ".pt", ".pth", ".th", ".bin", ".safetensors")


def model(
    name: str,
    registry_file: Path | None,
    config: Path | None = None,
    settings: list[str] | None = None,
    *,
    quiet: bool = False,
    first: bool = True,
) -> "ModelEntry":
    """The entry of that name, or the one made of a checkpoint's file; what had to be assumed of a file is said.

    Args:
        name: of a model, or path of a file.
        registry_file: more models.
        config: the file's config.
        settings: the file's settings, each NAME=VALUE.
        quiet: say nothing of what was assumed.
        first: as in `tell`.

    Raises:
        RegistryError: there is no such model, or the config makes none.
        WeightsError: the file cannot be used.
    """
    entry, described = look_up(name, registry_file, config, settings)
    if described and not quiet:
        tell(described, first)
    return entry


def look_up(
    name: str, registry_file: Path | None, config: Path | None, settings: list[str] | None
) -> "tuple[ModelEntry, Described | None]":
    """The entry of that name; for a file, the one made of it, and what it was made from.

    Raises:
        RegistryError: there is no such model, or the config makes none.
        WeightsError: the file cannot be used.
    """
    from stemsplit import registry

    known = registry.entries(registry_file)
    # os.path: of a name that no file can have, it says no instead of raising.
    is_file = name not in known and (Path(name).suffix in CHECKPOINT_SUFFIXES or os.path.isfile(name))  # noqa: PTH113
    if not is_file:
        if config or settings:
            raise typer.BadParameter(f"--config and --set go with a checkpoint's file, which {name!r} is not")
        return registry.find(name, registry_file), None
    # Only now: it brings PyTorch in, which takes seconds.
    from stemsplit.checkpoints import describe

    with usage_errors("--set"):
        described = describe.describe(Path(name), config, settings or ())
    return described.entry, described


def tell(described: "Described", first: bool = True) -> None:
    """Say what of a checkpoint is no more than usual, and what its config got wrong.

    Args:
        described: what is known of it.
        first: whether it is the one that `--set` and `--config` are about.
    """
    from stemsplit.terminal import console

    for name, (written, told) in described.overruled.items():
        console.warning(f"the config says {name} {written}, the weights are of {told}: taking {told}")
    if described.assumed:
        usual = ", ".join(f"{name}={as_setting(value)}" for name, value in described.assumed.items())
        whose = "" if first else f" of {described.entry.name}"
        advice = ": --set NAME=VALUE or --config" if first else ", describe them in a models.toml: --registry"
        console.hint(f"what the weights{whose} do not tell is taken as usual: {usual}; to change it{advice}")


def chain(first: "ModelEntry", then: "Sequence[str]", registry_file: Path | None, quiet: bool) -> "Plan":
    """The models that split songs, one after another.

    Args:
        first: of them.
        then: what comes after it, each [STEM:]MODEL.
        registry_file: as in `model`.
        quiet: say nothing of what is taken as usual.

    Raises:
        RegistryError: there is no such model.
        WeightsError: a checkpoint's file cannot be used.
    """
    from dataclasses import replace

    from stemsplit.engine.chain import Plan
    from stemsplit.registry import entries

    plan, known = Plan(first), entries(registry_file) if then else {}
    for text in then:
        stem, name = _stem_and_model(text, plan, known)
        entry = model(name, registry_file, quiet=quiet, first=False)
        with usage_errors("--then"):
            plan = replace(plan, then=(*plan.then, (stem, entry)))
    return plan


def _stem_and_model(text: str, plan: "Plan", known: "Collection[str]") -> tuple[str, str]:
    """What [STEM:]MODEL means: one of the plan's stems, and a model's name or file."""
    from stemsplit.words import did_you_mean

    def is_model(name: str) -> bool:
        return name in known or os.path.isfile(name)  # noqa: PTH113 -- as in `model`

    head, colon, name = text.partition(":")
    stems = {stem.casefold(): stem for stem in plan.stems}
    there = ", ".join(plan.stems)
    if colon and head.casefold() in stems:
        return stems[head.casefold()], name
    # A file's path may have a colon, too, if only after the letter of a drive.
    if colon and not is_model(text) and len(head) > 1 and not {"/", "\\"} & {*head}:
        hint = did_you_mean(head, plan.stems)
        raise typer.BadParameter(f"there is no stem {head!r} to split on, only {there}{hint}", param_hint="--then")
    if not (usual := _usual_stem(plan)):
        raise typer.BadParameter(f"say which stem to split on, STEM:{text}; there are {there}", param_hint="--then")
    return usual, text


def _usual_stem(plan: "Plan") -> str:
    """The stem that is most likely to be split on: vocals, speech, or what the last model is for; empty if unclear."""
    last = plan.entries[-1]
    target = last.stems[0] if len(last.stems) == 1 and last.residual else ""
    if target and plan.then:
        target = f"{plan.then[-1][0]}-{target}"
    return next((stem for name in ("vocals", "speech") for stem in plan.stems if stem.casefold() == name), target)


def as_setting(value: object) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def complete_stems(context: typer.Context, incomplete: str) -> list[str]:
    """Lists of the chosen model's stems that begin like that, for the shell."""
    from stemsplit.errors import RegistryError
    from stemsplit.registry import DEFAULT_MODEL, find

    *before, last = incomplete.split(",")
    try:
        stems = find(context.params.get("model") or DEFAULT_MODEL).outputs
    except RegistryError:
        return []
    return [",".join([*before, stem]) for stem in stems if stem.startswith(last) and stem not in before]

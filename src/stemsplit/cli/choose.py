"""Finds the model that the arguments mean: one of the registry, or a checkpoint of the user's own."""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli.options import usage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stemsplit.checkpoints.describe import Described
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.engine.combination.entry import Source
    from stemsplit.engine.combination.typed import Models
    from stemsplit.registry import ModelEntry


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Complete the name of a model or preset, for the shell; of several, the last."""
    from stemsplit.registry import entries
    from stemsplit.registry.presets import presets

    before, last = re.fullmatch(r"(?s)(.*[+,])?(.*)", incomplete).groups("")  # type: ignore[union-attr]  # any text
    known = {name: about.description for name, about in (entries() | ({} if before else presets())).items()}
    return [(before + name, description) for name, description in known.items() if name.startswith(last)]


def complete_route(incomplete: str) -> list[tuple[str, str]]:
    """Complete the last model in STEM=MODEL,STEM=MODEL, for the shell."""
    head, equals, name = incomplete.rpartition("=")
    if not equals or "," in name:
        return []
    return [(f"{head}{equals}{known}", description) for known, description in complete_model(name)]


def complete_then(incomplete: str) -> list[tuple[str, str]]:
    """Complete the model in [STEM:]MODEL, for the shell."""
    stem, colon, name = incomplete.rpartition(":")
    return [(f"{stem}{colon}{known}", description) for known, description in complete_model(name)]


ModelNames = typer.Argument(
    metavar="NAME", help="Names of models, as shown by `stemsplit list`.", autocompletion=complete_model
)
RegistryFile = Annotated[
    Path | None,
    typer.Option(
        "--registry",
        envvar="STEMSPLIT_REGISTRY",
        exists=True,
        readable=False,
        help="File with more models, in the format of models.toml; it replaces models of the same name.",
    ),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        exists=True,
        readable=False,
        help="Config file (YAML) of your own checkpoint.",
        rich_help_panel="Own checkpoints",
    ),
]
Settings = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="Set a value that your own checkpoint does not contain, e.g. stft_hop_length=512 or stems=vocals.",
        rich_help_panel="Own checkpoints",
    ),
]


def model(
    name: str,
    registry_file: Path | None,
    config: Path | None = None,
    settings: list[str] | None = None,
    *,
    quiet: bool = False,
    first: bool = True,
) -> "ModelEntry":
    """Return the entry of a model, or make one for a checkpoint file and print what was assumed about it.

    Args:
        name: name of a model, or path of a checkpoint file.
        registry_file: registry with more models.
        config: config file of the checkpoint.
        settings: values for the checkpoint, each NAME=VALUE.
        quiet: whether to print no warnings and hints.
        first: whether `--set` and `--config` are about this model.

    Raises:
        RegistryError: there is no such model, or the config is invalid.
        WeightsError: the file cannot be used.
    """
    entry, described = look_up(name, registry_file, config, settings)
    if described and not quiet:
        tell(described, first)
    return entry


def look_up(
    name: str, registry_file: Path | None, config: Path | None, settings: list[str] | None
) -> "tuple[ModelEntry, Described | None]":
    """Return the entry of a model, or for a checkpoint file its entry and how well that is known; see `model`.

    Raises:
        RegistryError: there is no such model, or the config is invalid.
        WeightsError: the file cannot be used.
    """
    from stemsplit.checkpoints import resolve

    with usage_errors("--set"):
        return resolve.look_up(name, registry_file, config, settings)


def tell(described: "Described", first: bool = True) -> None:
    """Print what was assumed about a checkpoint, and where its config contradicts its weights.

    Args:
        described: what is known about the checkpoint.
        first: whether `--set` and `--config` are about this checkpoint.
    """
    from stemsplit.terminal import console

    for name, (written, inferred) in described.overruled.items():
        console.warning(f"the config says {name}={written}, but the weights have {name}={inferred}; using {inferred}")
    if described.remarks:
        console.hint(f"{described.entry.name}: {'; '.join(described.remarks)}")
    if described.defaults:
        usual = ", ".join(f"{name}={as_setting(value)}" for name, value in described.defaults.items())
        whose = "" if first else f" of {described.entry.name}"
        remedy = "use --set NAME=VALUE or --config" if first else "describe the model in a file for --registry"
        console.hint(f"the weights{whose} do not say, so usual values are assumed: {usual}; to change them, {remedy}")


def chain(first: "Source", then: "Sequence[str]", models: "Models", estimates: str) -> "ChainEntry":
    """Return the models that split each song, one after another.

    Args:
        first: what splits the song.
        then: what splits its stems further, each [STEM:]MODEL.
        models: the models that can be named.
        estimates: what becomes of the estimates of them all, one of `stemsplit.choices.Estimates`.

    Raises:
        RegistryError: there is no such model.
        WeightsError: a checkpoint file cannot be used.
    """
    from dataclasses import replace

    from stemsplit.engine.chain_entry import ChainEntry

    plan = ChainEntry(first.with_estimates(estimates))
    for text in then:
        with usage_errors("--then"):
            stem, name = _stem_and_model(text, plan, models)
            plan = replace(plan, then=(*plan.then, (stem, models.source(name).with_estimates(estimates))))
    return plan


def _stem_and_model(text: str, plan: "ChainEntry", models: "Models") -> tuple[str, str]:
    """Parse [STEM:]MODEL into one of the plan's stems, and the text of a model or several."""
    from stemsplit.words import did_you_mean

    head, colon, name = text.partition(":")
    stems = {stem.casefold(): stem for stem in plan.stems}
    there = ", ".join(plan.stems)
    if colon and head.casefold() in stems:
        return stems[head.casefold()], name
    # The path of a file may have a colon too, at least after the letter of a drive.
    if colon and not models.is_known_or_several(text) and len(head) > 1 and not {"/", "\\"} & {*head}:
        hint = did_you_mean(head, plan.stems)
        raise typer.BadParameter(f"there is no stem {head!r} to split further, only {there}{hint}", param_hint="--then")
    if not (usual := _usual_stem(plan)):
        raise typer.BadParameter(f"name the stem to split further, STEM:{text}; there are {there}", param_hint="--then")
    return usual, text


def _usual_stem(plan: "ChainEntry") -> str:
    """Return the stem that is most likely to be split further, or an empty text if that is unclear.

    It is vocals, speech, or the only stem of the last model.
    """
    last = plan.then[-1][1] if plan.then else plan.first
    own = [stem for stem in last.outputs if stem != last.residual]
    target = own[0] if len(own) == 1 and last.residual else ""
    if target and plan.then:
        target = f"{plan.then[-1][0]}-{target}"
    return next((stem for name in ("vocals", "speech") for stem in plan.stems if stem.casefold() == name), target)


def as_setting(value: object) -> str:
    """Write a value as `--set` takes it."""
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return str(value).lower() if isinstance(value, bool) else str(value)


def complete_stems(context: typer.Context, incomplete: str) -> list[str]:
    """Complete a list of the chosen model's stems, for the shell."""
    from stemsplit.engine.combination.typed import Models
    from stemsplit.errors import StemsplitError
    from stemsplit.registry import DEFAULT_MODEL, find

    *before, last = incomplete.split(",")
    ensemble, route = (context.params.get(name) for name in ("ensemble", "route"))
    try:
        models = Models(lambda name: find(str(name)))
        if route:
            stems = models.route(route).outputs
        elif ensemble:
            stems = models.ensemble(ensemble).outputs
        else:
            stems = models.source(context.params.get("model") or DEFAULT_MODEL).outputs
    except (StemsplitError, ValueError):
        return []
    return [",".join([*before, stem]) for stem in stems if stem.startswith(last) and stem not in before]

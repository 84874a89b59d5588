"""Runs `stemsplit info`."""

from typing import Annotated

import typer

from stemsplit.cli import choose, several
from stemsplit.cli.options import Json, usage_errors
from stemsplit.cli.showing import print_model, print_several


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="Name of a model or preset, as shown by `stemsplit list`, a checkpoint file, or several models: a+b.",
            autocompletion=choose.complete_model,
        ),
    ],
    as_json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="Also show the network's hyperparameters.")] = False,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Show what is known about a model.

    This is what it is for, its stems, licence, scores and size, whether it
    is downloaded, and more. For a checkpoint file, it is what the file says
    and what has to be assumed.
    """
    from stemsplit.engine.combination.entry import Combination

    known = several.models(registry_file)
    if not known.is_single(name):
        if config or settings:
            raise typer.BadParameter("--config and --set are about one checkpoint, not about several models")
        with usage_errors():
            source = known.source(name)
        assert isinstance(source, Combination)
        print_several(source, known.presets.get(name), as_json)
        return
    entry, described = choose.look_up(name, registry_file, config, settings)
    if described:
        choose.tell(described)
    if described and not as_json:
        from stemsplit.fetch import store
        from stemsplit.terminal.models import facts_of_file, print_facts

        print_facts(facts_of_file(entry, store.local(entry), described.defaults, described.ignored))
    else:
        print_model(entry, as_json, verbose)

"""`stemsplit info`."""

from typing import Annotated

import typer

from stemsplit.cli import choose
from stemsplit.cli.options import Json
from stemsplit.cli.showing import print_model


def info(
    name: Annotated[
        str,
        typer.Argument(
            metavar="NAME",
            help="A model from `stemsplit list`, or a checkpoint's file.",
            autocompletion=choose.complete_model,
        ),
    ],
    as_json: Json = False,
    verbose: Annotated[bool, typer.Option("--verbose", help="The network's hyperparameters too.")] = False,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Show what is known of a model: what for, stems, licence, scores, where it is; of a file, what it tells."""
    entry, described = choose.model(name, registry_file, config, settings)
    if described:
        choose.tell(described)
    if described and not as_json:
        from stemsplit.fetch import store
        from stemsplit.terminal.models import facts_of_file, print_facts

        print_facts(facts_of_file(entry, store.local(entry), described.assumed))
    else:
        print_model(entry, as_json, verbose)

"""`stemsplit info`."""

from typing import Annotated

import typer

from stemsplit.cli import choose, quick
from stemsplit.cli.options import Json


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
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Show everything known of a model: stems, licence, scores, where it is; of a file, what it tells of itself."""
    entry, described = choose.look_up(name, registry_file, config, settings)
    if described:
        choose.tell(described)
    if described and not as_json:
        from stemsplit.fetch import store
        from stemsplit.terminal.models import facts_of_file, print_facts

        print_facts(facts_of_file(entry, store.local(entry), described.assumed))
    else:
        quick.print_model(entry, as_json)

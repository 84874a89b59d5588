"""`stemsplit list`."""

from typing import Annotated

import typer

from stemsplit.cli.choose import RegistryFile


def list_(
    stems: Annotated[str | None, typer.Option("--stems", "-s", help="Only models that give all of these.")] = None,
    architecture: Annotated[str | None, typer.Option("--arch", help="Only these networks, e.g. mel-roformer.")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="Only weights under this licence, e.g. MIT; `none` for not stated.")
    ] = None,
    downloaded: Annotated[bool, typer.Option("--downloaded", help="Only models that are on this machine.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything known of each, for a script.")] = False,
    registry_file: RegistryFile = None,
) -> None:
    """List the models there are."""
    from stemsplit import console, listing
    from stemsplit.registry import entries, select
    from stemsplit.weights import store

    chosen = select(entries(registry_file).values(), stems, architecture, license_)
    if downloaded:
        chosen = [entry for entry in chosen if store.local(entry)]
    if as_json:
        listing.print_json([listing.as_data(entry, store.local(entry)) for entry in chosen])
    elif chosen:
        listing.print_models(chosen)
    else:
        console.hint("no model is like that; see them all with: stemsplit list")

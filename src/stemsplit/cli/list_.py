"""Runs `stemsplit list`."""

from typing import Annotated

import typer

from stemsplit.cli.choose import RegistryFile
from stemsplit.cli.showing import print_models


def list_(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="STEMS", help="The same as --stems: stemsplit list vocals.")
    ] = None,
    stems: Annotated[str | None, typer.Option("--stems", "-s", help="Only models that give all of these.")] = None,
    architecture: Annotated[str | None, typer.Option("--arch", help="Only these networks, e.g. mel-roformer.")] = None,
    license_: Annotated[
        str | None, typer.Option("--license", help="Only weights under this licence, e.g. MIT; `none` for not stated.")
    ] = None,
    downloaded: Annotated[bool, typer.Option("--downloaded", help="Only models that are on this machine.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="All models, not only recommendations.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Everything known of each, for a script.")] = False,
    registry_file: RegistryFile = None,
) -> None:
    """List models: on a terminal recommendations and what is on this machine, elsewhere all.

    Scripts can rely on --json, and on the plain table: a header, then a line a model. Its columns keep their order,
    with two spaces or more between them. The first is the name, which has no spaces.
    """
    asked = ",".join([*(names or []), *([stems] if stems else [])]) or None
    print_models(asked, architecture, license_, downloaded, as_json, all_, registry_file)

"""`stemsplit list`."""

from typing import Annotated

import typer

from stemsplit.cli import quick
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
    quick.print_models(stems, architecture, license_, downloaded, as_json, registry_file)

"""Runs `stemsplit list`."""

from typing import Annotated

import typer

from stemsplit.cli.choose import RegistryFile
from stemsplit.cli.showing import print_models


def list_(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="STEMS|WISH", help="Stems that a model must have, as with --stems; or a wish, e.g. karaoke."
        ),
    ] = None,
    stems: Annotated[
        str | None, typer.Option("--stems", "-s", help="Only models that have all of these stems, e.g. vocals,drums.")
    ] = None,
    architecture: Annotated[
        str | None, typer.Option("--arch", help="Only models of this architecture, e.g. mel-roformer.")
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license", help="Only models whose weights have this licence, e.g. MIT; none: no stated licence."
        ),
    ] = None,
    downloaded: Annotated[bool, typer.Option("--downloaded", help="Only models that are on this machine.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="All models, not only the recommended ones.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all that is known about each model as JSON on stdout.")
    ] = False,
    registry_file: RegistryFile = None,
) -> None:
    """List the models that stemsplit knows.

    Without a filter, a terminal shows which model is recommended for what
    you want of a song; a pipe or a file gets all models, as a table. How
    they are chosen: stemsplit help models.

    Scripts can rely on --json, and on that table: a header, then one line
    per model. Its columns keep their order, and are separated by two or
    more spaces. The first column is the name, which has no spaces.
    """
    asked = ",".join([*(names or []), *([stems] if stems else [])]) or None
    print_models(asked, architecture, license_, downloaded, as_json, all_, registry_file)

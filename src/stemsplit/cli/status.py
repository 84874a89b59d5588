"""Runs `stemsplit status`."""

from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli import split_cloud
from stemsplit.cli.options import Json, usage_errors

if TYPE_CHECKING:
    from stemsplit.cli.split_cloud import Addresses
    from stemsplit.songs.sharing.place import Place


def place_of(folder: str, away: "Addresses") -> "Place":
    """Return the output folder of a path or an address.

    Raises:
        typer.BadParameter: there is no such folder.
    """
    from stemsplit.songs.near import Near
    from stemsplit.songs.sharing.place import LocalPlace

    if away.place:
        return away.place
    near = Near()
    path = near.meant(folder)
    if not path.is_dir():
        why = near.problem(path, folder) or f"there is no folder {folder}"
        raise typer.BadParameter(f"{why}; name the folder that split wrote to (-o)", param_hint="FOLDER")
    return LocalPlace(path)


def status(
    folder: Annotated[
        str, typer.Argument(metavar="FOLDER", help="Folder, or address, with the stems: the -o of split.")
    ] = "stems",
    songs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SONG", help="Songs, folders or lists, as for split, to tell which of them are missing."
        ),
    ] = None,
    name: Annotated[str, typer.Option("--name", help="The --name of split, if it had one.")] = "{track}/{stem}",
    as_json: Json = False,
) -> None:
    """Show which songs are split, failed, missing, or being split.

    It reads what lies in the folder: records of finished songs, claims of
    processes at work, and notes of runs on several machines. Nothing is
    changed. Exit status: 0 all are split, 1 a song failed, is missing, or is
    still being split.
    """
    from stemsplit.cli.listen_ import saying_after
    from stemsplit.cli.split_notes import nothing_found
    from stemsplit.disk.limits import longest_name
    from stemsplit.errors import AudioError
    from stemsplit.songs import find
    from stemsplit.songs.job import Options
    from stemsplit.songs.naming import Template
    from stemsplit.songs.sharing import status as statuses
    from stemsplit.terminal import console
    from stemsplit.terminal.status import print_status, status_as_data
    from stemsplit.terminal.stdout import print_json

    away = split_cloud.addresses(folder, None, split_cloud.STAGING_SIZE, force=False, csv=None)
    place, out = place_of(folder, away), away.out
    with usage_errors():
        template = Template(name, longest_name(out), needs_stem=False)
        search = away.wrapped(find.find(songs, out, elsewhere=away.find)) if songs else None
    if songs and search and not search.songs:
        raise AudioError(nothing_found(songs, search))
    with saying_after(2.0, f"looking at what lies in {place.shown('')}"):
        found = statuses.status(place, search.songs if search else None, Options(out, ()), template)
    if found.closed:
        console.warning(f"{found.closed}; what is in there is taken for missing")
    if as_json:
        print_json(status_as_data(found, place.shown("")))
    else:
        print_status(found, place.shown(""))
        if any(claim.is_live is False for claim, _ in found.claims):
            console.hint("run the same command as before once more: it takes over what was left behind")
        if not songs:
            console.hint(f"to see which songs are missing, name them, too: stemsplit status {folder} SONGS")
    if not found.is_complete:
        raise typer.Exit(1)

"""Defines the option that divides songs among machines, and says what of a run depends on it."""

from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.cli.options import usage_errors

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from stemsplit.songs.found import Found
    from stemsplit.songs.job import Options
    from stemsplit.songs.sharing.notes import Notes
    from stemsplit.songs.sharing.place import Place
    from stemsplit.songs.sharing.shards import Shard

MACHINES = "Several machines"
"""Panel of the command's help."""

Share = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N|auto",
        help="Split only part I of N of the songs, e.g. 3/16. auto: the part that a Slurm array, or a Kubernetes "
        "Indexed Job, gives to this process.",
        rich_help_panel=MACHINES,
    ),
]


def chosen(text: str | None, quiet: bool) -> "Shard | None":
    """Return the shard that is to be split; None for all songs.

    Raises:
        typer.BadParameter: there is no such shard, or the variables do not say which.
    """
    if text is None:
        return None
    from stemsplit.songs.sharing import shards

    if text.strip().lower() != "auto":
        with usage_errors("--shard"):
            return shards.parsed(text)
    import os

    from stemsplit.terminal import console

    try:
        shard, told = shards.automatic(os.environ)
    except ValueError as error:
        raise typer.BadParameter(f"auto: {error}; write the shard yourself, e.g. 3/16", param_hint="--shard") from error
    if not quiet:
        console.note(f"shard {shard}, from {told}")
    return shard


def own(songs: "Sequence[Found]", shard: "Shard | None", quiet: bool) -> "set[int] | None":
    """Return the places of the songs that are to be split; None for all of them."""
    if shard is None:
        return None
    from stemsplit.songs.sharing import shards
    from stemsplit.terminal import console

    found = shards.own(songs, shard)
    if not quiet:
        console.note(f"shard {shard}: {len(found)} of {len(songs)} songs")
    return found


def table(csv: "Path | None", shard: "Shard | None", quiet: bool) -> "Path | None":
    """Return the file of the table, with the shard in its name: all shards are given the same command."""
    if csv is None or shard is None:
        return csv
    from stemsplit.terminal import console

    path = csv.with_name(f"{csv.stem}-{shard.number}-of-{shard.count}{csv.suffix}")
    if not quiet:
        console.note(f"the table of this shard is {path}")
    return path


def notes_of(
    options: "Options", shard: "Shard | None", place: "Place | None" = None, wanted: bool = False
) -> "Notes | None":
    """Return the notes that a run keeps in the output folder; None for a run of one machine, which keeps none.

    Args:
        options: settings of the run.
        shard: shard of the songs; None for all.
        place: output folder, if it is in an object store.
        wanted: whether to keep notes even for all songs and an output folder on a disk.
    """
    if not (shard or place or wanted):
        return None
    from stemsplit.songs.sharing.notes import Notes, this_host
    from stemsplit.songs.sharing.place import LocalPlace
    from stemsplit.terminal import console

    where = place or LocalPlace(options.out)
    return Notes(where, options, this_host(), str(shard or ""), console.warning)

"""Finds the songs that the arguments of `split` mean, and plans what is to be done with each."""

from typing import TYPE_CHECKING

from stemsplit.cli import split_shards
from stemsplit.cli.ending import account
from stemsplit.cli.options import usage_errors
from stemsplit.cli.split_notes import nothing_found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stemsplit.cli.split_cloud import Addresses
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.find import Search
    from stemsplit.songs.job import Job, Options
    from stemsplit.songs.known_failures import KnownFailures
    from stemsplit.songs.naming import Template
    from stemsplit.songs.sharing.shards import Shard


def planned(
    songs: list[str],
    options: "Options",
    template: "Template",
    models: "ChainEntry",
    known: "KnownFailures | None" = None,
    shard: "Shard | None" = None,
    quiet: bool = False,
    away: "Addresses | None" = None,
) -> "tuple[Sequence[Job], Search]":
    """Return a job for each song that the arguments mean, and what was found besides songs.

    Raises:
        typer.BadParameter: no song can be split in this way.
        AudioError: the arguments mean no song, or a list of songs cannot be read.
    """
    from stemsplit.errors import AudioError
    from stemsplit.songs import find, plan
    from stemsplit.songs.found import nowhere

    with usage_errors():
        found = find.find(songs, options.out, elsewhere=away.find if away else nowhere)
        found = away.wrapped(found) if away else found
        mine = split_shards.own(found.songs, shard, quiet or not found.songs)
        jobs = plan.plan(found.songs, options, template, models.short_name, mine)
    if known:
        jobs, found = known.without(jobs, found)
    if not jobs and not found.known_failures and not (shard and found.songs):
        raise AudioError(nothing_found(songs, found))
    account().jobs, account().found = jobs, found
    return jobs, found

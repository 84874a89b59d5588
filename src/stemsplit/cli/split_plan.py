"""Finds the songs that the arguments of `split` mean, and plans what is to be done with each."""

from typing import TYPE_CHECKING

import typer

from stemsplit.cli.options import usage_errors
from stemsplit.cli.split_notes import nothing_found

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.failures import KnownFailures
    from stemsplit.songs.find import Search
    from stemsplit.songs.job import Job, Options
    from stemsplit.songs.naming import Template


def planned(
    songs: list[str],
    options: "Options",
    template: "Template",
    models: "ChainEntry",
    known: "KnownFailures | None" = None,
) -> "tuple[Sequence[Job], Search]":
    """Return a job for each song that the arguments mean, and what was found besides songs.

    Raises:
        typer.BadParameter: no song can be split in this way.
        typer.Exit: the arguments mean no song.
        AudioError: a list of songs cannot be read.
    """
    from stemsplit.songs import find, plan
    from stemsplit.terminal import console

    with usage_errors():
        found = find.find(songs, options.out)
        jobs = plan.plan(found.songs, options, template, "+".join(entry.name for entry in models.entries))
    if known:
        jobs, found = known.without(jobs, found)
    if not jobs and not found.known_failures:
        console.error(nothing_found(songs, found))
        raise typer.Exit(1)
    return jobs, found

"""Downloads the weights that a command needs, and shows the progress."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.registry import ModelEntry


def obtain(entry: "ModelEntry", quiet: bool) -> Path:
    """Return the file with an entry's weights, downloading it first if it is not on this machine.

    Args:
        entry: entry of the model.
        quiet: whether to print no progress and no warnings about licence or digest.

    Raises:
        WeightsError: the file cannot be downloaded or verified.
    """
    from stemsplit.fetch import digests, download, store
    from stemsplit.fetch.pins import lock_file
    from stemsplit.terminal import console
    from stemsplit.terminal.downloads import DownloadReport

    if path := store.local(entry):
        return path
    try:
        with DownloadReport(entry.name, quiet) as report:
            path = download.fetch(entry, report.progress)
    except KeyboardInterrupt:
        console.error("interrupted; run the same command again to resume the download")
        raise typer.Exit(130) from None
    if entry.license_notice and not quiet:
        console.warning(entry.license_notice)
    if not digests.published(entry) and not quiet:
        recorded = f"that of this file is now recorded in {lock_file()}, and any other file will be refused"
        console.warning(f"no digest of {entry.name} was published; {recorded}")
    return path


def obtain_unidentified(models: "ChainEntry", quiet: bool) -> None:
    """Download weights without a known digest: only the digest tells which stems were made with them before.

    Raises:
        WeightsError: they cannot be downloaded.
    """
    from stemsplit.fetch import digests

    for entry in models.entries:
        if not digests.identity(entry):
            obtain(entry, quiet)


def obtain_all(models: "ChainEntry", quiet: bool) -> None:
    """Download all weights that are not on this machine, before any song is read.

    Raises:
        WeightsError: some cannot be downloaded.
    """
    for entry in models.entries:
        obtain(entry, quiet)

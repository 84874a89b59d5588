"""Gets the weights that a command needs, and shows how far that is."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from stemsplit.registry import ModelEntry


def obtain(entry: "ModelEntry", quiet: bool) -> Path:
    """The file with an entry's weights; one that is downloaded is shown, and what should be known of it said.

    Raises:
        WeightsError: it cannot be had.
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
        console.error("interrupted; the download goes on from there next time")
        raise typer.Exit(130) from None
    if entry.license_notice and not quiet:
        console.warning(entry.license_notice)
    if not digests.published(entry) and not quiet:
        remembered = f"this file's is now remembered in {lock_file()}, and no other will be taken for it"
        console.warning(f"no digest of {entry.name} was published; {remembered}")
    return path

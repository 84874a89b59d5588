"""Splits the songs of a plan, and prints the result of each and a summary."""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING

import typer

from stemsplit.cli.ending import INTERRUPTED, account
from stemsplit.cli.split_extras import tell_of_lacking

if TYPE_CHECKING:
    from stemsplit.songs.extras import Extra
    from stemsplit.songs.find import Search
    from stemsplit.songs.finishing import Report
    from stemsplit.songs.known_failures import KnownFailures
    from stemsplit.songs.outcome import Outcome, Totals
    from stemsplit.songs.sharing.notes import Notes
    from stemsplit.terminal.splitting import SplitReport


def run(
    work: "Callable[[Report], object]",
    notices: "Sequence[Callable[[Outcome], object]]",
    as_json: bool,
    further: "Sequence[Extra]" = (),
    quiet: bool = False,
) -> "Totals":
    """Split the songs, and print the result of each.

    Args:
        work: splits the songs, and calls a function with the outcome of each, in this thread.
        notices: called with the outcome of each song.
        as_json: whether to print JSON instead of paths.
        further: kinds of files to write beside the stems of each song.
        quiet: whether to print errors only.

    Raises:
        typer.Exit: the user interrupted the run.
        RegistryError, WeightsError, DeviceError: a model cannot be loaded.
    """
    from stemsplit.songs import extras
    from stemsplit.songs.outcome import Totals
    from stemsplit.terminal import console
    from stemsplit.terminal.songs import outcome_as_data
    from stemsplit.terminal.stdout import print_line, print_paths

    totals, owed = Totals(), account()
    kinds = [extra.name for extra in further]
    owed.totals = totals

    def tell(outcome: "Outcome") -> None:
        for notice in notices:
            notice(outcome)
        # A page of a long song takes as long as splitting it on a fast device.
        shown = bool(kinds and outcome.record) and console.PEOPLE.is_terminal and not quiet
        with console.PEOPLE.status(f"writing the {' and the '.join(kinds)}") if shown else nullcontext():
            outcome = extras.added(outcome, further, (lambda _: None) if quiet else console.note)
        tell_of_lacking(outcome)
        totals.add(outcome)
        owed.told.add(outcome.job.path)
        try:
            if as_json:
                print_line(outcome_as_data(outcome, kinds))
            else:
                print_paths([*outcome.shown, *outcome.extras.values()])
        except OSError as error:
            # The reader of stdout is gone, but the songs should still be split.
            console.error(f"cannot write to stdout ({error.strerror})")
            totals.untold += 1

    try:
        work(tell)
    except KeyboardInterrupt:
        console.error("interrupted; no stem was left half-written; run the same command again to continue")
        raise typer.Exit(INTERRUPTED) from None
    return totals


def close(
    totals: "Totals",
    found: "Search",
    report: "SplitReport",
    known: "KnownFailures | None",
    as_json: bool,
    further: "Sequence[Extra]" = (),
    notes: "Notes | None" = None,
) -> None:
    """Remember the songs that failed, and print the summary.

    Args:
        totals: totals of the run.
        found: what was found besides songs.
        report: shows results.
        known: remembers songs that cannot be read; None to remember nothing.
        as_json: whether to print JSON, too.
        further: kinds of files that were asked for beside the stems.
        notes: notes for other machines; None to keep none.
    """
    from stemsplit.terminal import console
    from stemsplit.terminal.songs import totals_as_data
    from stemsplit.terminal.stdout import print_line

    if known:
        try:
            known.write()
        except OSError as error:
            console.warning(f"cannot remember the songs that failed ({error.strerror}); they will be tried again")
    totals.seconds = time.monotonic() - account().begun
    report.total(totals, found)
    data = totals_as_data(totals, found, [extra.name for extra in further])
    if notes:
        notes.close(data["summary"])
    if as_json:
        account().closed = True
        print_line(data)

"""Defines the options that end a run early or estimate it for many machines; says which songs are not tried."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.cli.ending import account
from stemsplit.cli.split_shards import MACHINES

if TYPE_CHECKING:
    from collections.abc import Mapping

    from stemsplit.engine.chain_entry import ChainEntry
    from stemsplit.songs.finishing import Report
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome
    from stemsplit.songs.sharing.notes import Notes
    from stemsplit.songs.speeds import Speed

MOST = 1e9
"""Highest price of an hour, in any currency."""

MaxFailures = Annotated[
    int | None,
    typer.Option(
        "--max-failures",
        min=1,
        metavar="N",
        help="Stop as soon as N songs have failed; songs in progress are finished, the others are not tried.",
        rich_help_panel=MACHINES,
    ),
]
Cost = Annotated[
    float | None,
    typer.Option(
        "--cost-per-hour",
        min=0,
        max=MOST,
        metavar="PRICE",
        help="With --dry-run: price of a machine for an hour, in any currency, to estimate what the run costs.",
        rich_help_panel=MACHINES,
    ),
]


class EnoughError(Exception):
    """So many songs have failed that the run ends."""


class Queue(deque["Job"]):
    """The songs that are still to be split. `stop` empties it, and nothing can be put in after that."""

    stopped = False

    def stop(self) -> None:
        """Let no more song be taken."""
        self.stopped = True
        self.clear()

    def append(self, job: "Job") -> None:
        """Put a song that another process works on at the end."""
        if not self.stopped:
            super().append(job)

    def appendleft(self, job: "Job") -> None:
        """Put a song back at the front until there is room for it."""
        if not self.stopped:
            super().appendleft(job)


class Machines:
    """The machines that a dry run estimates time and cost for.

    Args:
        workers: number of machines; None if nobody asked.
        price: price of a machine for an hour; None if unknown.
        dry_run: whether it is a dry run.

    Raises:
        typer.BadParameter: it is not a dry run, and there is a price.
    """

    def __init__(self, workers: int | None, price: float | None, dry_run: bool) -> None:
        if price is not None and not dry_run:
            raise typer.BadParameter("--cost-per-hour needs --dry-run, which estimates what a run costs")
        self.workers, self.price = workers or (None if price is None else 1), price

    def estimated(self, jobs: "Sequence[Job]", models: "ChainEntry", speeds: "Sequence[Speed]") -> dict[str, Any]:
        """Return what the summary of a dry run says of the machines; nothing if nobody asked."""
        from stemsplit.songs.sharing import machines

        if self.workers is None:
            return {}
        found = machines.estimated(jobs, models, speeds, self.workers)
        if any(job.seconds is None for job in jobs) and not any(job.seconds for job in jobs):
            found = None  # the length of no song is known
        data: dict[str, Any] = {"workers": self.workers}
        for name in ("makespan", "bound", "longest", "paid"):
            data[f"{name}_seconds"] = round(getattr(found, name), 1) if found else None
        if self.price is not None:
            data["cost"] = round(found.paid / 3600 * self.price, 4) if found else None
        return data

    def in_words(self, data: "Mapping[str, Any]") -> str:
        """Return the summary of a dry run, with what `estimated` found, as a line for people."""
        from stemsplit.words import clock, counted

        who = f"{counted(data['workers'], 'machine')} like this one"
        if data["makespan_seconds"] is None:
            return f"{who}: time unknown until this model has run here once, and the lengths of songs are known"
        hours = few_digits(data["paid_seconds"] / 3600, 1)
        text = f"{who}: about {clock(data['makespan_seconds'])}, and {hours} machine hours"
        if "cost" in data:
            text += f", which cost {few_digits(data['cost'], 2)}"
        text += f"; no order of the songs takes less than {clock(data['bound_seconds'])}"
        text += f", and the longest song alone takes {clock(data['longest_seconds'])}"
        if unknown := data["unknown_length"]:
            text += f"; {counted(unknown, 'song')} of unknown length not counted"
        return text


def few_digits(value: float, after: int) -> str:
    """Return a number with so many digits after the point, but never as 0 if it is more."""
    return f"{value:.{after}f}" if value >= 1 or not value else f"{value:.2g}"


def settled(
    jobs: "Sequence[Job]", notes: "Notes | None", is_shared: bool
) -> "tuple[Sequence[Job], Callable[[Outcome], object] | None]":
    """Return the jobs as several machines should take them, and what is to be called with each outcome.

    Args:
        jobs: jobs of all songs.
        notes: notes in the output folder, which all machines read; None for a run of one machine.
        is_shared: whether several workers take their songs from these.
    """
    if is_shared:
        from stemsplit.songs.sharing.order import longest_first

        jobs = longest_first(jobs)
    if notes is None:
        return jobs, None
    from stemsplit.songs.sharing.tries import Tries

    tries = Tries(notes)
    jobs = tries.settled(jobs)
    account().jobs = jobs
    return jobs, tries.add


def limited(
    work: "Callable[[Report], object]", queue: Queue, jobs: "Sequence[Job]", most: int | None, ends_by_itself: bool
) -> "Callable[[Report], object]":
    """Return work that ends when so many songs have failed, and counts the songs that were not tried.

    Args:
        work: splits the songs, see `split_run.run`.
        queue: songs that the work takes from, if it does.
        jobs: jobs of all songs.
        most: number of failures that ends the run; None for no limit.
        ends_by_itself: whether the work ends once the queue is empty; otherwise an error ends it.
    """
    if most is None:
        return work

    def run(report: "Report") -> None:
        ended: set[Any] = set()
        failed = 0
        if totals := account().totals:
            totals.not_tried = 0

        def counted(outcome: "Outcome") -> None:
            nonlocal failed
            report(outcome)
            ended.add(outcome.job.path)
            failed += bool(outcome.error)
            if failed >= most:
                queue.stop()
                if not ends_by_itself:
                    raise EnoughError

        with suppress(EnoughError):
            work(counted)
        if failed >= most:
            tell_of_untried([job for job in jobs if job.path not in ended], failed, report)

    return run


def tell_of_untried(jobs: "Sequence[Job]", failed: int, report: "Report") -> None:
    """Report the songs that were not tried, and say how many these are."""
    from stemsplit.songs.outcome import Outcome
    from stemsplit.terminal import console
    from stemsplit.words import counted

    why = f"not tried: the run ended after {counted(failed, 'failure')}"
    left = [job for job in jobs if not job.done]
    for job in jobs:
        skipped = job.recorded() if job.done else None
        report(Outcome(job, record=skipped, skipped=True) if skipped else Outcome(job, why, not_tried=True))
    if left:
        ended = f"the run ended after {counted(failed, 'failure')} (--max-failures)"
        again = "to go on, run the command again with a larger number, as songs that fail again count"
        console.error(f"{ended}, with {counted(len(left), 'song')} not tried; {again}")

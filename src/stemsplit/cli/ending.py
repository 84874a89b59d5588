"""Decides how a command ends: its exit status, and the last lines of JSON of a run that ends before its songs do."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from stemsplit.errors import DeviceError, RegistryError, StemsplitError, WeightsError

if TYPE_CHECKING:
    from stemsplit.songs.find import Search
    from stemsplit.songs.job import Job
    from stemsplit.songs.outcome import Outcome, Totals

Command = TypeVar("Command", bound=Callable[..., Any])

INTERRUPTED = 130
"""Exit status of a run that the user interrupted."""

STOPPED = "interrupted"
"""Reason for the end of a run that the user or the system stopped."""


def exit_status(error: BaseException) -> int:
    """Return the exit status of a command that an error ends."""
    if isinstance(error, RegistryError | WeightsError):
        return 3
    if isinstance(error, DeviceError):
        return 2
    code = getattr(error, "exit_code", getattr(error, "code", 1))  # typer's errors, then SystemExit
    return INTERRUPTED if isinstance(error, KeyboardInterrupt) else code if isinstance(code, int) else 1


def why(error: BaseException, status: int) -> str:
    """Return in one line why a run ended."""
    if status == INTERRUPTED or isinstance(error, SystemExit):
        return STOPPED
    if isinstance(error, StemsplitError | OSError):
        return str(error)
    if hasattr(error, "format_message"):  # an error of typer's about arguments
        return " ".join(error.format_message().split())
    if isinstance(error, Exception):
        from stemsplit.failures import cause

        return cause(error, "running")
    return type(error).__name__


@dataclass
class Account:
    """What a run of `split` has printed as JSON, and so what it still owes whoever reads that.

    Args:
        jobs: jobs of all songs, once they are planned.
        found: what was found besides songs, once the search has ended.
        totals: totals of the songs that have a line.
        told: paths of these songs.
        closed: whether the summary is printed.
        begun: time at which the run began.
    """

    jobs: "Sequence[Job]" = ()
    found: "Search | None" = None
    totals: "Totals | None" = None
    told: set[Path] = field(default_factory=set)
    closed: bool = False
    begun: float = field(default_factory=time.monotonic)


_present = ContextVar[Account]("account")


def account() -> Account:
    """Return the account of the present run; one that nobody reads if there is none."""
    return _present.get(None) or Account()


def _owed(job: "Job", message: str) -> "Outcome":
    """Return the outcome of a song that the end of the run came before."""
    from stemsplit.songs.outcome import Outcome

    if job.done and not job.problem:
        with suppress(StemsplitError, OSError):
            return Outcome(job, record=job.recorded(), skipped=True)
    return Outcome(job, job.problem or message)


def _close(account: Account, message: str, status: int, dry_run: bool) -> None:
    """Print a line for each song that has none, and the summary, which says why the run ended."""
    from stemsplit.songs.outcome import Totals
    from stemsplit.terminal.songs import outcome_as_data, plan_as_data, totals_as_data
    from stemsplit.terminal.stdout import print_line

    ended = {"error": message, "exit_status": status}
    if dry_run:
        print_line({"summary": {**plan_as_data((), None, None, None, None), **ended}})
        return
    totals = account.totals or Totals()
    totals.seconds = time.monotonic() - account.begun
    # Songs that an interrupt came before did not fail: nobody tried them.
    for job in account.jobs if message != STOPPED else ():
        if job.path not in account.told:
            outcome = _owed(job, message)
            totals.add(outcome)
            print_line(outcome_as_data(outcome))
    summary = totals_as_data(totals, account.found)["summary"]
    print_line({"summary": {**summary, **ended}})


def closing_json(command: Command) -> Command:
    """Let `split --json` end with a summary, whatever ends it. Messages and exit status stay as they are."""

    @wraps(command)
    def run(**options: Any) -> None:
        present = Account()
        _present.set(present)
        try:
            command(**options)
        except BaseException as error:
            if options.get("as_json") and not present.closed:
                status = exit_status(error)
                with suppress(OSError):  # stdout is gone
                    _close(present, why(error, status), status, bool(options.get("dry_run")))
            raise

    return run  # type: ignore[return-value]  # it has the command's own signature, by `wraps`

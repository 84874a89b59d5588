"""Reports the songs of a plan for which no worker is needed."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.preparing import Course, given_up, prepare
from stemsplit.songs.stem_files import StemFiles

if TYPE_CHECKING:
    from stemsplit.songs.finishing import Report


def settled_here(jobs: Sequence[Job], report: "Report", tell: Callable[[str], object]) -> list[Job]:
    """Report the songs that have a problem or are already split; return the others.

    Args:
        jobs: jobs of all songs.
        report: called with the outcome of each song that needs no worker.
        tell: called with a message that people should see besides outcomes.
    """
    left, course = list[Job](), Course(tell)
    for job in jobs:
        item = prepare(job, course) if job.problem or job.done else None
        if isinstance(item, StemFiles):
            given_up(item.close)  # it was changed since the plan was made
        if isinstance(item, Outcome):
            report(item)
        else:
            left.append(job)
    return left

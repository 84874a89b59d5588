"""Knows which songs failed again and again, on whatever machine, and are not tried for ever.

Machines tell each other by notes in the output folder (`songs.notes`); a machine that died tells by the claim that it
left behind. A song counts as hopeless only as long as its file, the settings and the program stay the same.
"""

from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from stemsplit.errors import AudioError
from stemsplit.songs.job import Job
from stemsplit.songs.outcome import Outcome
from stemsplit.songs.sharing.notes import FOLDER, Notes, Said, name_of
from stemsplit.words import counted, printable

HOSTS, FAILURES = 2, 3
"""A song is not tried again once it failed on so many machines, or so many times on any of them. Failures do not count
that were known without trying the song, or whose cause was the machine: no room, no permission, no memory.
"""

DEATHS = 5
"""Processes that may die at a song before it is taken for what kills them.

With processes that are stopped every hour and songs of three minutes, one in twenty songs is interrupted by chance; of
a hundred thousand songs, 12 are three times in a row, and one in thirty runs has one that is five times.
"""

LOST = "processes died, or went silent, while they split it"
"""Marks the message about a song at which processes died, which is believed at once: the claim is gone by then."""

AGAIN = "it is tried again when the song or the settings change, or with --force"


def is_hopeless(said: Sequence[Said]) -> bool:
    """Return whether a song need not be tried again, by what was said of it with the same settings."""
    counting = [one for one in said if one.counts]
    hosts = {one.host for one in counting}
    return len(hosts) >= HOSTS or len(counting) >= FAILURES or any(LOST in one.error for one in counting)


def lost(job: Job, deaths: int) -> str:
    """Return why a song is given up at which processes died; empty if it is to be tried.

    Args:
        job: job of the song.
        deaths: number of processes that died, or went silent, at the song since it was last finished or given up.
    """
    if job.options.force or deaths < DEATHS:
        return ""
    return f"cannot split {job.song}: {deaths} {LOST}; it may need more memory than there is, try it alone with --force"


def in_words(job: Job, said: Sequence[Said]) -> str:
    """Return why a song is not tried again."""
    said = [one for one in said if one.counts]
    hosts = [*dict.fromkeys(one.host for one in said)]
    where = f"on {hosts[0]}" if len(hosts) == 1 else f"on {counted(len(hosts), 'machine')}"
    last = said[-1]
    what = f"{job.song} failed {counted(len(said), 'time')} {where}"
    return f"{what}, and is not tried again ({printable(last.error)}); {AGAIN}"


class Tries:
    """What earlier trials of a run's songs say.

    Args:
        notes: notes in the output folder.
    """

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.hopeless: set[Path] = set()
        """Songs that are not tried in this run."""

    def settled(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs; those of hopeless songs get what was said of them as their problem."""
        try:
            found = [name for name, _ in self.notes.place.files(FOLDER)]
            noted = {name for name in found if PurePosixPath(name).name.startswith("failed-")}
            return [self._settled(job, noted) for job in jobs] if noted else list(jobs)
        except AudioError as error:
            self.notes.tell(f"{error}; songs that failed before are tried again")
            return list(jobs)

    def _settled(self, job: Job, noted: Collection[str]) -> Job:
        if job.done or job.problem or job.options.force or name_of(job.below(job.record).as_posix()) not in noted:
            return job
        known = self.notes.known(job)
        if not known or not is_hopeless(known.said):
            return job
        self.hopeless.add(job.path)
        return replace(job, problem=in_words(job, known.said))

    def add(self, outcome: Outcome) -> None:
        """Write a note if a song failed, unless it was not even tried."""
        if not outcome.not_tried and outcome.job.path not in self.hopeless:
            self.notes.add(outcome)

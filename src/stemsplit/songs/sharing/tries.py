"""Knows which songs failed again and again, on whatever machine, and are not tried for ever.

Machines tell each other of failures by notes in the output folder (`songs.sharing.notes`), and a machine that died
leaves a claim that counts such deaths. A song counts as hopeless only as long as its file, the settings and the program
stay the same.
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
"""A song is not tried again once it failed on so many machines, or so many times on any of them. A failure does not
count if it was known without trying the song, or if the machine was its cause: no room, no permission, no memory.
"""

DEATHS = 5
"""Number of processes that may die at a song before the song is taken for the cause.

If processes are stopped every hour and songs take three minutes, one in twenty songs is interrupted by chance. Of a
hundred thousand songs, 12 are interrupted three times in a row. Five times in a row happens in one of thirty runs.
"""

LOST = "processes died, or went silent, while they split it"
"""Marks the message about a song at which processes died. One such message is enough, as the claim that counted the
deaths is gone by then.
"""

AGAIN = "is tried again only when the song or the settings change, or with --force"
"""Ends the message about a song that is not tried again."""


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
    return f"{what} (the last time: {printable(last.error)}), so it is not tried again; it {AGAIN}"


class Tries:
    """What earlier trials of a run's songs say.

    Args:
        notes: notes in the output folder.
    """

    def __init__(self, notes: Notes) -> None:
        self.notes = notes
        self.hopeless: set[Path] = set()
        """Songs that are not tried in this run."""
        self.noted: Collection[str] = ()
        """Names of the notes on songs that failed before."""

    def settled(self, jobs: Sequence[Job]) -> list[Job]:
        """Return the jobs; those of hopeless songs get what was said of them as their problem."""
        try:
            found = [name for name, _ in self.notes.place.files(FOLDER)]
            self.noted = {name for name in found if PurePosixPath(name).name.startswith("failed-")}
            return [*map(self._settled, jobs)] if self.noted else list(jobs)
        except AudioError as error:
            self.notes.tell(f"{error}; songs that failed before are tried again")
            return list(jobs)

    def _is_noted(self, job: Job) -> bool:
        """Return whether there is a note on a song."""
        return bool(self.noted) and name_of(job.below(job.record).as_posix()) in self.noted

    def _settled(self, job: Job) -> Job:
        if job.done or job.problem or job.options.force or not self._is_noted(job):
            return job
        known = self.notes.known(job)
        if not known or not is_hopeless(known.said):
            return job
        self.hopeless.add(job.path)
        return replace(job, problem=in_words(job, known.said))

    def add(self, outcome: Outcome) -> None:
        """Write a note if a song failed, unless it was not tried; settle that of a song that is split after all."""
        if outcome.skipped and self._is_noted(outcome.job):
            self.notes.settle(outcome.job)
        elif not outcome.not_tried and outcome.job.path not in self.hopeless:
            self.notes.add(outcome)

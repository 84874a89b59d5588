"""Looks at songs before the first is split: their records, folders, names and headers.

A plan may have hundreds of thousands of songs. What they share is looked at once: folders, and the settings of the run.
What is quickly seen to be ordinary is not looked at again; everything else takes the long way.
"""

import os
import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from stemsplit.audio.heading import heading
from stemsplit.disk.files import size_of
from stemsplit.disk.folder import is_link
from stemsplit.disk.space import existing_ancestor
from stemsplit.errors import AudioError
from stemsplit.songs import record, trial
from stemsplit.songs.failures import reason
from stemsplit.songs.job import Job
from stemsplit.songs.standing import Standing, Standings

USUAL = re.compile(rf"({trial.USUAL.pattern}/)*{trial.USUAL.pattern}", re.ASCII)
"""Paths of names that every disk can hold."""

EFFECTIVE = os.access in os.supports_effective_ids
"""Whether the system can say what this process may do, whatever user started it."""


@dataclass(frozen=True, slots=True)
class Parent:
    """A folder that songs get their folders in: the output folder, or one below it.

    Args:
        is_there: whether it exists.
        is_plain: whether no folder below the output folder on the way to it is a link, or has an unusual name.
        problem: why nothing can be written there, if it does not exist or has no folder for the song; else empty.
    """

    is_there: bool
    is_plain: bool
    problem: str


def unwritable(folder: Path) -> str:
    """Return why nothing can be written into a folder, which need not exist yet; empty if something can."""
    parent = existing_ancestor(folder)
    if parent.is_dir() and os.access(parent, os.W_OK | os.X_OK, effective_ids=EFFECTIVE):
        return ""
    return f"cannot write into {parent} (no permission, or not a folder); choose another with -o"


class Examiner:
    """Looks at the songs of a run.

    Args:
        songs: real paths of all songs, none of which may be overwritten.
        standings: what earlier runs left in the places of the songs.
    """

    def __init__(self, songs: Collection[str], standings: Standings) -> None:
        self.songs, self.standings = songs, standings
        self.names = {os.path.basename(song) for song in songs}  # noqa: PTH119  # of 200,000
        self.places: dict[Path, Parent] = {}
        self.real_folder = lru_cache(1024)(os.path.realpath)

    def _place(self, job: Job) -> Parent:
        if (known := self.places.get(job.folder)) is None:
            below = job.below(job.folder)
            ways = [job.options.out / way for way in (*reversed(below.parents[:-1]), below)] if below.parts else []
            links = any(os.path.lexists(way) and is_link(way.lstat()) for way in ways)
            is_plain = not links and all(map(trial.USUAL.fullmatch, below.parts))
            known = Parent(os.path.lexists(job.folder), is_plain, unwritable(job.folder))
            self.places[job.folder] = known
        return known

    def examined(self, job: Job) -> Job:
        """Return the job with its size, and with any problem of its folder, its names and the song's header."""
        if job.elsewhere:
            return self._from_elsewhere(job)
        options, place, files, found = job.options, self._place(job), job.files, None
        below = job.names.record
        own = f"{job.folder}/{below}"
        try:
            if self._may_have_link(job, place, (*files, below)):
                targets = (*job.targets.values(), job.record)
                if link := job.link(targets):
                    what = f"{link} is a link, which is not followed; remove it, or choose another -o"
                    return replace(job, problem=what)
            if place.is_there:
                found = self.standings.taken(job, own)
            if found and found.fits and not options.force:
                now = record.state(job.path)
                if now.size == found.size and record.is_newer(own, now):
                    return replace(job, done=True)
                # See `record.unchanged`.
                if now.size == found.size and record.has_digest(job.path, found.sha256):
                    return replace(job, done=True, compared=(now, found.sha256))
            if found and found.name != job.path.name and (other := job.other_song(job.recorded())):
                return replace(job, problem=other)
        except AudioError as error:
            return replace(job, problem=str(error))
        except OSError as error:
            return replace(job, problem=f"cannot read {job.path} ({error.strerror})")
        if problem := self._problem(job, place, files, below):
            return replace(job, problem=problem)
        return self._measured(job, found)

    def _from_elsewhere(self, job: Job) -> Job:
        """Do what `examined` does for a song that comes from elsewhere, or whose stems go there."""
        assert job.elsewhere is not None
        try:
            if not job.elsewhere.sends and (link := job.link((*job.targets.values(), job.record))):
                return replace(job, problem=f"{link} is a link, which is not followed; remove it, or choose another -o")
            found = job.recorded()
            if found and not job.options.force and job.is_done(found):
                return replace(job, done=True)
            if other := job.other_song(found):
                return replace(job, problem=other)
        except AudioError as error:
            return replace(job, problem=str(error))
        except OSError as error:
            return replace(job, problem=f"cannot read {job.song} ({error.strerror})")
        if not job.elsewhere.sends:
            problem = self._problem(job, self._place(job), job.files, job.names.record)
        else:
            targets = [job.folder / file for file in job.files if file.rpartition("/")[2] in self.names]
            taken = [target for target in targets if job.shown(target) in self.songs]
            problem = f"{taken[0]} is itself one of the songs; choose another folder with -o" if taken else ""
        if problem or job.elsewhere.fetches:
            return replace(job, problem=problem)
        return self._measured(job, Standing.of(found, fits=False) if found else None)

    def attempted(self, job: Job) -> Job:
        """Return the job as `examined` does; an error of any kind becomes its problem, and does not end the others."""
        try:
            return self.examined(job)
        except Exception as error:
            return replace(job, problem=reason(error, job, "looking at"))

    def _may_have_link(self, job: Job, place: Parent, files: Collection[str]) -> bool:
        """Return whether a folder between the output folder and one of the files may be a link."""
        if not place.is_plain or not place.is_there:
            return not place.is_plain
        if job.names.template.is_folder:
            folders = {job.names.folder}
        else:
            folders = {file.rpartition("/")[0] for file in files} - {""}
        for folder in folders:
            steps = folder.split("/")
            for count in range(1, len(steps) + 1):
                try:
                    if is_link(os.lstat(f"{job.folder}/{'/'.join(steps[:count])}")):
                        return True
                except OSError:
                    break
        return False

    def _problem(self, job: Job, place: Parent, files: Collection[str], own: str) -> str:
        """Return why the files of a song cannot be written; empty if nothing is known against it."""
        first, *further = own.split("/")
        has_folder = place.is_there and further and os.path.lexists(f"{job.folder}/{first}")
        if problem := unwritable(job.record.parent) if has_folder else place.problem:
            return problem
        is_usual = place.is_plain and USUAL.fullmatch(own)
        if not (is_usual and all(map(USUAL.fullmatch, files))) and (problem := trial.known_problem(job)):
            return problem
        for file in files:
            name = file.rpartition("/")[2]
            if name in self.names:
                target = job.folder / file
                if os.path.join(self.real_folder(target.parent), name) in self.songs:  # noqa: PTH118  # a real path
                    return f"{target} is itself one of the songs; choose another folder with -o"
        return ""

    def _measured(self, job: Job, found: Standing | None) -> Job:
        """Return the job with what the song's header says."""
        options = job.options
        try:
            song = heading(job.path, options.start, options.duration, options.track)
        except AudioError as error:
            return replace(job, problem=str(error))
        if reason := job.format.refusal(song.sample_rate, song.channels, song.speakers, song.frames):
            return replace(job, problem=f"cannot write the stems of {job.path}: {reason}")
        replaces = found is not None and found.size != size_of(Path(os.path.realpath(job.path)))
        size = seconds = None
        problem = ""
        if song.frames is not None:
            seconds = song.frames / song.sample_rate
            size = job.size_for(job.format.frames(song.frames, song.sample_rate), song.channels)
            problem = trial.too_large(job, size // len(options.outputs))
        return replace(
            job,
            channels=song.channels,
            replaces=replaces,
            conversion=job.format.conversion(song.sample_rate, song.channels),
            size=size,
            seconds=seconds,
            problem=problem,
        )

"""Keeps songs apart whose files would have the same names, and says how to where it cannot."""

import hashlib
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from stemsplit.disk.names import Distinctions, distinctions
from stemsplit.disk.space import existing_ancestor
from stemsplit.songs.job import Job
from stemsplit.songs.naming import UNSAFE_VALUE, Template, cut, folded, rendered, track_of
from stemsplit.songs.standing import Standings

KEPT = 100
"""Bytes of a long name that are left in front of its digest."""


ELSEWHERE = "split one of them into another folder, with -o"


def files(job: Job) -> dict[str, str]:
    """Return the output in each file of a song, by the file's path in a form that is equal for paths of one file."""
    # As text: a plan may have hundreds of thousands of songs.
    held: dict[str, str] = {folded(f"{job.folder}/{job.names.record}"): "the record"}
    for part in job.parts:
        held.setdefault(folded(f"{job.folder}/{job.names.path(part)}{job.format.suffix}"), part)
    return held


def clash(job: Job) -> str:
    """Return a message about two outputs of a song that would be the same file; empty if there are none."""
    held = files(job)
    for part in job.parts:
        path = f"{job.folder}/{job.names.path(part)}{job.format.suffix}"
        if (other := held[folded(path)]) != part:
            name = path.rpartition("/")[2]
            return f"{part!r} and {other!r} would be one file, {name}; name them otherwise"
    return ""


def as_written(job: Job) -> dict[str, str]:
    """Return the paths of a song's files by the same paths in the form of `files`."""
    paths = [f"{job.folder}/{job.names.record}"]
    paths += [f"{job.folder}/{job.names.path(part)}{job.format.suffix}" for part in job.parts]
    return {folded(path): path for path in paths}


def suspects(jobs: Sequence[Job]) -> Sequence[int]:
    """Return the numbers of the songs that may write a file twice, or one that another writes.

    Where the names that contain the stem contain no other field, songs whose other names differ share no file.
    """
    if not jobs:
        return []
    if len({job.names.template for job in jobs}) > 1 or not jobs[0].names.template.is_by_stem or clash(jobs[0]):
        return range(len(jobs))
    first: dict[str, int] = {}
    found: set[int] = set()
    for number, job in enumerate(jobs):
        # As text: a plan may have hundreds of thousands of songs.
        place = folded(f"{job.folder}/{'/'.join([step or '' for step in job.names.steps])}")
        if (other := first.setdefault(place, number)) != number:
            found |= {other, number}
    return sorted(found)


def clashing(jobs: Sequence[Job]) -> dict[int, int]:
    """Return the songs that would write a file twice: index of a job -> index of the other job, or its own.

    Names that differ only in letter case or in how accents are encoded are kept apart if the disk does.
    """
    writers: dict[str, list[int]] = defaultdict(list)
    found: dict[int, int] = {}
    for number in suspects(jobs):
        job = jobs[number]
        held = files(job)
        if len(held) <= len(job.parts):
            found[number] = number
        for path in held:
            writers[path].append(number)
    ask: Callable[[Path], Distinctions] = lru_cache(1024)(distinctions)
    for path, numbers in writers.items():
        if len(numbers) == 1:
            continue
        same: dict[str, list[int]] = defaultdict(list)
        spelled = [as_written(jobs[number])[path] for number in numbers]
        away = jobs[numbers[0]].elsewhere  # object stores tell all names apart
        is_asked = len({*spelled}) > 1 and not (away and away.sends)
        disk = ask(existing_ancestor(jobs[numbers[0]].folder)) if is_asked else Distinctions(True, True)
        for number, name in zip(numbers, spelled, strict=True):
            same[disk.key(name)].append(number)
        for first, *others in same.values():
            for number in others:
                found.setdefault(first, number)
                found.setdefault(number, first)
    return found


def with_suffix(song: Path) -> str:
    """Return the name of a song with its suffix."""
    return song.name


def digested(song: Path) -> str:
    """Return the name of a song with a digest of its whole name, so that no other song's is the same on any disk."""
    return f"{cut(track_of(song), KEPT)}~{hashlib.sha256(os.fsencode(song.name)).hexdigest()[:8]}"


def renamed(job: Job, template: Template, track: str) -> Job:
    """Return the job with names by a template, and with another text for `{track}`, also where that is the title.

    Raises:
        ValueError: the template cannot name the stems of a song.
    """
    values = job.names.values
    title = None if values["title"] == values["track"] else values["title"]
    others = {name: values[name] for name in ("model", "parent", "ext", "artist")}
    return replace(job, names=template.of_song(track=track, title=title, **others), told_apart=True)


def advice(jobs: Sequence[Job]) -> str:
    """Return how to tell songs of the same name apart, as far as that is possible in one folder."""
    text = jobs[0].names.template.text
    suffixed = text.replace("{track}", "{track}.{ext}")
    # Where one file holds all stems, the record needs the name of the song, too.
    alone = [] if jobs[0].names.template.needs_stem else [text.replace("{stem}", "{track}")]
    for other in (suffixed, *alone, f"{{parent}}/{text}", f"{{parent}}/{suffixed}"):
        try:
            template = replace(jobs[0].names.template, text=other)
        except ValueError:
            continue  # too long
        if not clashing([renamed(job, template, job.names.values["track"]) for job in jobs]):
            return f'tell them apart, with --name "{other}"'
    return ELSEWHERE


def is_place_of(job: Job, standings: Standings) -> bool:
    """Return whether a record says that the song's stems are in the place that the job has for them."""
    found = standings.of(job)
    return found is not None and found.name == job.path.name


def may_be_renamed(job: Job) -> bool:
    """Return whether there may be stems under the song's name with its suffix; False if there certainly are none."""
    part, values = job.names.template.parts[0], job.names.safe
    if ("", "stem") in part:
        return True
    name = UNSAFE_VALUE.sub("_", with_suffix(job.path))
    titled = {"title": name} if job.names.values["title"] == job.names.values["track"] else {}
    first = rendered(part, {**values, **titled, "track": name}, job.names.template.longest)
    return os.path.lexists(f"{job.folder}/{first}")


def is_found(job: Job) -> bool:
    """Return whether there is a song, as far as that is known without bringing it here."""
    return not job.elsewhere.problem if job.elsewhere and job.elsewhere.fetches else os.path.lexists(job.path)


def settled(job: Job, standings: Standings, is_there: Callable[[Path], bool] = os.path.lexists) -> Job:
    """Return the job of a song that has no rival in this run, at the place that earlier runs leave it.

    Where stems of a song of the same name are, it gets a name of its own, as if that song were there too; and where its
    own stems are, it stays: a song is not split again because another one came, or went.

    Args:
        job: job of the song.
        standings: what earlier runs left.
        is_there: function that tells whether a folder exists.
    """
    is_sent = job.elsewhere is not None and job.elsewhere.sends
    if job.options.force or "{track}" not in job.names.template.text or not (is_sent or is_there(job.folder)):
        return job
    found = standings.of(job)
    if found and found.name == job.path.name:
        return job
    other = found and job.other_song(job.recorded())
    if not (other or is_sent or may_be_renamed(job)):
        return job
    own = renamed(job, job.names.template, with_suffix(job.path))
    if not other and is_sent and own.present(own.record) is None:
        return job
    return own if other or is_place_of(own, standings) else job


def rivals(jobs: Sequence[Job], standings: Standings) -> dict[int, int]:
    """Return the songs that need other names, as `clashing` does.

    A song that is not there has no rivals, and of several, one whose stems are in the place already stays there.
    """
    found = clashing(jobs)
    lost = {number for number in found if not is_found(jobs[number])}
    if lost and lost != found.keys():
        numbers = [number for number in range(len(jobs)) if number not in lost]
        among = clashing([jobs[number] for number in numbers])
        found = {numbers[first]: numbers[second] for first, second in among.items()}
    places: dict[Path, list[int]] = defaultdict(list)
    for number in found:
        if is_place_of(jobs[number], standings):
            places[jobs[number].record].append(number)
    # Of two songs with the same name, in different folders, a record does not tell which one it is of.
    at_home = {numbers[0] for numbers in places.values() if len(numbers) == 1}
    return {number: other for number, other in found.items() if number == other or number not in at_home}


def apart(jobs: Sequence[Job], standings: Standings | None = None) -> list[Job]:
    """Return the jobs; those that would write the same files get other names, or a problem.

    Such songs get their names with their suffixes in place of `{track}`, as `song.flac` and `song.mp3`; if that does
    not help, with a digest of the name. All of them do, in whatever order they are given, but for one whose stems are
    there already.

    Args:
        jobs: jobs of all songs.
        standings: what earlier runs left in their places; read anew if None.
    """
    if not jobs:
        return []
    standings = standings or Standings(jobs[0].options)
    found, is_there = rivals(jobs, standings), lru_cache(1024)(os.path.lexists)
    told = [job if number in found else settled(job, standings, is_there) for number, job in enumerate(jobs)]
    for name in (with_suffix, digested):
        for number in (number for number, other in found.items() if other != number):
            told[number] = renamed(told[number], told[number].names.template, name(told[number].path))
        found = rivals(told, standings) if found or any(job.told_apart for job in told) else found
    clusters: dict[int, list[Job]] = defaultdict(list)
    for number, other in found.items():
        if number != other:
            clusters[min(number, other)].append(jobs[number])
    told_how = {first: advice(cluster) for first, cluster in clusters.items()}
    for number, other in found.items():
        job = jobs[number]
        if other == number:
            problem = f"{job.song}: {clash(told[number])}"
        else:
            problem = f"{job.song} and {jobs[other].song} would be written to the same files; "
            problem += told_how[min(number, other)]
        told[number] = replace(job, problem=job.problem or problem)
    return told

"""Divides songs among machines that know nothing of each other, by their names alone."""

import hashlib
import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stemsplit.songs.found import Found

ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
"""Matches the beginning of an address."""

MOST = 100_000
"""Largest number of shards."""

SLURM = ("SLURM_ARRAY_TASK_ID", "SLURM_ARRAY_TASK_MIN", "SLURM_ARRAY_TASK_COUNT", "SLURM_ARRAY_TASK_STEP")
"""Variables of a task in an array of Slurm: its number, the lowest number, how many there are, and their distance."""

KUBERNETES = ("JOB_COMPLETION_INDEX", "JOB_COMPLETIONS")
"""Variables of a pod of an Indexed Job: its number from 0 on, which Kubernetes sets, and how many there are, which the
job has to set.
"""


@dataclass(frozen=True, slots=True)
class Shard:
    """One of several parts of the songs.

    Args:
        number: number of the shard, from 1 on.
        count: number of shards.

    Raises:
        ValueError: there is no such shard.
    """

    number: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.count <= MOST:
            raise ValueError(f"there cannot be {self.count:,} shards; choose 1 to {MOST:,}")
        if self.number == 0:
            raise ValueError(f"shards are counted from 1 on, so 0/{self.count} does not exist")
        if not 1 <= self.number <= self.count:
            raise ValueError(f"there is no shard {self.number} of {self.count}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def holds(self, key: str) -> bool:
        """Return whether a song belongs to this shard.

        Args:
            key: name of the song, from `keys`.
        """
        digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
        return int.from_bytes(digest[:8], "big") % self.count == self.number - 1


def parsed(text: str) -> Shard:
    """Return the shard that a text such as 3/16 means.

    Raises:
        ValueError: it means none.
    """
    match = re.fullmatch(r"\s*(\d{1,9})\s*/\s*(\d{1,9})\s*", text, re.ASCII)
    if not match:
        raise ValueError(f"{text!r} is not a shard; write 3/16 for the third of sixteen, or auto")
    return Shard(int(match[1]), int(match[2]))


def _whole(variables: Mapping[str, str], name: str) -> int:
    """Return the number in a variable.

    Raises:
        ValueError: it is not set, or not a whole number.
    """
    text = variables.get(name, "").strip()
    if not text:
        raise ValueError(f"{name} is not set")
    if not re.fullmatch(r"\d{1,9}", text, re.ASCII):
        raise ValueError(f"{name} is {text!r}, which is not a whole number")
    return int(text)


def of_slurm(variables: Mapping[str, str]) -> Shard:
    """Return the shard of a task in an array of Slurm.

    Raises:
        ValueError: variables are missing, or contradict each other.
    """
    number, lowest, count = (_whole(variables, name) for name in SLURM[:3])
    step = _whole(variables, SLURM[3]) if variables.get(SLURM[3]) else 1
    place, rest = divmod(number - lowest, step) if step else (0, 1)
    highest = _whole(variables, "SLURM_ARRAY_TASK_MAX") if variables.get("SLURM_ARRAY_TASK_MAX") else None
    if rest or not 0 <= place < count or highest not in (None, lowest + step * (count - 1)):
        raise ValueError(f"the tasks of the array are not numbered evenly ({_told(variables, SLURM)})")
    return Shard(place + 1, count)


def of_kubernetes(variables: Mapping[str, str]) -> Shard:
    """Return the shard of a pod of an Indexed Job.

    Raises:
        ValueError: variables are missing, or contradict each other.
    """
    number, count = (_whole(variables, name) for name in KUBERNETES)
    if number >= count:
        raise ValueError(f"there is no such pod ({_told(variables, KUBERNETES)})")
    return Shard(number + 1, count)


def _told(variables: Mapping[str, str], names: Sequence[str]) -> str:
    return ", ".join(f"{name}={variables[name]}" for name in names if variables.get(name))


def automatic(variables: Mapping[str, str]) -> tuple[Shard, str]:
    """Return the shard that a scheduler gave to this process, and the variables that say so.

    Args:
        variables: variables of the environment.

    Raises:
        ValueError: they name no shard, or contradict each other.
    """
    here = [
        (read(variables), _told(variables, names))
        for names, read in ((SLURM, of_slurm), (KUBERNETES, of_kubernetes))
        if variables.get(names[0], "").strip()
    ]
    if not here:
        raise ValueError(f"neither {SLURM[0]} nor {KUBERNETES[0]} is set")
    (shard, told), *others = here
    if any(other != shard for other, _ in others):
        raise ValueError(f"the variables contradict each other ({'; '.join(told for _, told in here)})")
    return shard, told


def keys(songs: Sequence[Found]) -> list[str]:
    """Return the name of each song that decides its shard: the same on every machine that has these songs.

    It is the song's path below the folder that was named, or its file's name if it was named itself. If several songs
    have the same name, such as `mixture.wav` in each of many folders, it is their path below the folder that all of
    them are in. Where that folder lies, and how accents in names are encoded, makes no difference.
    """
    found = [_normal((song.below / song.path.name).as_posix()) for song in songs]
    same: dict[str, list[int]] = defaultdict(list)
    for number, key in enumerate(found):
        same[key].append(number)
    for numbers in same.values():
        if len(numbers) > 1:
            paths = [_place(songs[number]) for number in numbers]
            lowest, highest, top = min(paths), max(paths), 0
            while top < min(len(lowest), len(highest)) - 1 and lowest[top] == highest[top]:
                top += 1
            for number, path in zip(numbers, paths, strict=True):
                found[number] = _normal("/".join(path[top:]))
    return found


def _place(song: Found) -> list[str]:
    """Return the steps of a song's path, or of its address: the path of a staged file is another one everywhere."""
    shown = song.elsewhere.song if song.elsewhere else ""
    if ADDRESS.match(shown):
        return shown.split("/")
    return os.path.abspath(song.path).replace(os.sep, "/").split("/")  # noqa: PTH100  # links keep their names


def _normal(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def own(songs: Sequence[Found], shard: Shard) -> set[int]:
    """Return the positions, in a list of songs, of those that belong to a shard."""
    return {number for number, key in enumerate(keys(songs)) if shard.holds(key)}

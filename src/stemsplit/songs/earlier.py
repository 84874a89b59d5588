"""Finds the stems that earlier runs wrote, by the records near them, so that they are not taken for songs.

A record may be a stranger's: it hides only files whose names differ from its own as those of stems do.
"""

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from stemsplit.choices import FormatName
from stemsplit.disk.files import size_of
from stemsplit.disk.folder import Folder, is_plain
from stemsplit.songs import naming, record

RECORD = f"{naming.RECORD}.json"
"""Name of the record in a folder that holds the stems of one song."""

COMPARISON = "comparison.json"
"""Name of the record beside the clips of `stemsplit compare`."""

DEEPEST = 8
"""Largest number of folders whose names may differ between a record and its stems, counted from the record's own."""

SUFFIX = re.compile(rf"(.*)\.({'|'.join(map(re.escape, FormatName))})")


@dataclass(frozen=True, slots=True)
class Stem:
    """A file that an earlier run wrote.

    Args:
        path: real path of its folder, and its name.
        size: size in bytes when it was written; None if the record does not say.
        name: name of the stem; empty for a clip of a comparison.
        song: name of the song's file; empty if unknown.
    """

    path: str
    size: int | None
    name: str
    song: str = ""

    @property
    def is_changed(self) -> bool:
        """Whether the file has another size than the record says."""
        return self.size is not None and size_of(Path(self.path)) != self.size


def _filled_in(step: str, other: str) -> str | None:
    """Return what stands in `other` where `step` has `stemsplit`; empty if both are equal, None if they do not fit."""
    first, *middle = naming.folded(step).split(naming.RECORD)
    other = naming.folded(other)
    if not middle:
        return "" if first == other else None
    last = middle.pop()
    if not other.startswith(first) or not other.endswith(last):
        return None
    # From left to right, each text where it first fits: a pattern with many gaps could take for ever.
    start, end, gap = len(first), len(other) - len(last), ""
    for text in (*middle, None):
        found = end if text is None else other.find(text, start + 1, end)
        if found <= start:
            return None
        gap = gap or other[start:found]
        start = found + len(text or "")
    return gap


def stem_name(own: list[str], others: list[str]) -> str | None:
    """Return the stem that one path belongs to, judging by the path of the record; None if it is not one of its stems.

    Args:
        own: steps of the record's path, the last without its suffix.
        others: steps of the file's path from the same folder on, the last without its suffix.
    """
    name = None
    for step, other in zip(own, others, strict=True):
        gap = _filled_in(step, other)
        if gap is None:
            return None
        name = name or gap
    return name


def named_by(folder: str, file: str, found: record.Record) -> Iterator[Stem]:
    """Yield the stems that a record names, but not files that cannot be its stems.

    A file that holds all stems of a song may have the name of its record without `.stemsplit.json`.

    Args:
        folder: real path of the record's folder.
        file: name of the record's file.
        found: the record.
    """
    above = Path(folder).parts
    for path, size in found.files.items():
        steps = path.split("/")
        ups = steps.count("..")
        own, others = [*above[len(above) - ups :], file.removesuffix(".json")], steps[ups:]
        audio = SUFFIX.fullmatch(others[-1])
        if ups >= min(DEEPEST, len(above)) or len(own) != len(others) or not audio:
            continue
        if ups and own[0] == others[0]:
            continue  # such a file would have a shorter path
        names_all = audio[2] == FormatName.stem_mp4 and own == [*others[:-1], f"{audio[1]}.{naming.RECORD}"]
        if name := stem_name(own, [*others[:-1], audio[1]]) or (audio[1] if names_all else None):
            yield Stem(os.path.join(*above[: len(above) - ups], *others), size, name, found.song["name"])  # noqa: PTH118  # a real path


def clips(folder: str) -> list[Stem]:
    """Return the clips that a comparison's record names, all of which lie in its folder."""
    try:
        with Folder(Path(folder)) as opened:
            content = json.loads(opened.read(COMPARISON, record.LIMIT))
    except (OSError, ValueError, RecursionError):
        return []
    names = content.get("files") if isinstance(content, dict) else None
    if not isinstance(names, list):
        return []
    audio = [name for name in names if isinstance(name, str) and is_plain(name) and SUFFIX.fullmatch(name)]
    return [Stem(os.path.join(folder, name), None, "") for name in audio]  # noqa: PTH118  # real paths are texts


@dataclass
class Earlier:
    """The stems that earlier runs wrote, in the folders that were asked about and near them. Each record is read once.

    Attributes:
        stems: stems by their paths, in a form that is equal for paths of one file.
        unreadable: real paths of folders whose `stemsplit.json` is not a record of this version.
        records: real paths of the records.
    """

    stems: dict[str, list[Stem]] = field(default_factory=dict)
    unreadable: set[str] = field(default_factory=set)
    records: set[str] = field(default_factory=set)
    _asked: set[str] = field(default_factory=set)
    _read: set[tuple[str, str]] = field(default_factory=set)
    _near: dict[str, list[str]] = field(default_factory=dict)

    def find(self, path: str) -> Stem | None:
        """Return what an earlier run wrote of a real path; None if no record near it names it."""
        folder, name = os.path.split(path)
        if folder not in self._asked:
            self._asked.add(folder)
            self._look_around(folder)
        if not self.stems and not self.unreadable:
            return None  # as for most of hundreds of thousands of songs
        for stem in self.stems.get(naming.folded(path), ()):
            if stem.path == path or _is_same(stem.path, path):
                return stem
        # Nobody knows what it names, so all audio beside it may be stems.
        return Stem(path, None, Path(name).stem) if folder in self.unreadable else None

    def is_record(self, path: str) -> bool:
        """Return whether the file of a real path is a record of stems or clips."""
        folder, name = os.path.split(path)
        if not name.endswith(".json"):
            return False
        self._read_records(folder, "" if naming.RECORD in naming.folded(folder) else naming.RECORD)
        return path in self.records

    def _look_around(self, folder: str) -> None:
        """Read the records that may name files of a folder: in it, and where a stem named `stemsplit` would be."""
        self._read_records(folder, naming.RECORD)
        parts = Path(folder).parts
        for ups in range(1, min(DEEPEST, len(parts))):
            places = [os.path.join(*parts[: len(parts) - ups])]  # noqa: PTH118  # real paths are texts
            for depth, step in enumerate(parts[len(parts) - ups :]):
                unchanged = [os.path.join(place, step) for place in places] if depth else []  # noqa: PTH118
                places = [*unchanged, *(near for place in places for near in self._folders_near(place))]
            for place in dict.fromkeys(places):
                self._read_records(place, "")

    def _folders_near(self, place: str) -> list[str]:
        """Return the folders in a place whose names contain `stemsplit`."""
        if place not in self._near:
            found = []
            with suppress(OSError), os.scandir(place) as entries:
                for entry in entries:
                    if naming.RECORD in naming.folded(entry.name) and entry.is_dir(follow_symlinks=False):
                        found.append(entry.path)
            self._near[place] = found
        return self._near[place]

    def _read_records(self, folder: str, word: str) -> None:
        """Read the records in a folder whose names contain a word."""
        if (folder, word) in self._read:
            return
        self._read.add((folder, word))
        try:
            names = os.listdir(folder)  # noqa: PTH208  # plain names
        except OSError:
            return
        for name in names:
            if name == COMPARISON:
                stems = clips(folder)
            elif name.endswith(".json") and word in naming.folded(name):
                found = record.read(Path(folder, name))
                stems = list(named_by(folder, name, found)) if found else []
                if found:
                    self.records.add(os.path.join(folder, name))  # noqa: PTH118  # a real path
                if not found and name == RECORD:
                    self.unreadable.add(folder)
            else:
                continue
            for stem in stems:
                self.stems.setdefault(naming.folded(stem.path), []).append(stem)
            if stems or name == RECORD:
                self.records.add(os.path.join(folder, name))  # noqa: PTH118  # a real path


def _is_same(path: str, other: str) -> bool:
    """Return whether two spellings are one file, as on disks that do not tell letter cases apart."""
    try:
        return os.path.samefile(path, other)  # noqa: PTH121
    except OSError:
        return False

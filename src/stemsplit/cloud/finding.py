"""Finds the songs that addresses mean: an object, all audio below a prefix, a pattern, or a file on the web."""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from stemsplit.audio.kinds import EXTENSIONS
from stemsplit.cloud import listing, sources, staging
from stemsplit.cloud.address import Address, is_address, is_usable, parse
from stemsplit.cloud.away import Away
from stemsplit.cloud.failures import StoreError
from stemsplit.cloud.output import AT_ONCE, Output
from stemsplit.cloud.place import StorePlace
from stemsplit.cloud.store import Item, bucket_of
from stemsplit.disk.folder import is_plain
from stemsplit.disk.limits import longest_name
from stemsplit.songs import naming, record
from stemsplit.songs.find import WILDCARD, Search
from stemsplit.songs.found import Distant, Found
from stemsplit.songs.naming import UNSAFE_VALUE, named
from stemsplit.words import natural, printable

STEP = (("", "parent"),)
"""Template of a folder's name, in the form that `naming` has: a single field."""


def matches(steps: Sequence[str], pattern: Sequence[str]) -> bool:
    """Return whether a pattern means an object, or a folder that it is in. `*` stays within a step; `**` does not.

    Args:
        steps: steps of the object's name.
        pattern: steps of the pattern.
    """
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(matches(steps[start:], pattern[1:]) for start in range(len(steps)))
    return bool(steps) and fnmatchcase(steps[0], pattern[0]) and matches(steps[1:], pattern[1:])


@dataclass
class Below:
    """What was found below a prefix.

    Args:
        items: audio by extension, by its name relative to the prefix.
        records: names of what may be records of earlier runs.
        others: number of other objects.
        stems: number of objects in the place that stems go to, which are left out.
    """

    items: dict[str, Item] = field(default_factory=dict)
    records: list[str] = field(default_factory=list)
    others: int = 0
    stems: int = 0


@dataclass
class Finder:
    """Finds songs at addresses, and wraps those on this machine whose stems go to one.

    Args:
        out: output folder on this machine, or the folder that stands for the address that stems go to.
        output: address that stems go to; None if they stay here.
        place: where songs are staged.
        force: whether objects that stemsplit did not write are replaced.
        is_used: whether anything comes from an address or goes to one.
    """

    out: Path
    output: Output | None
    place: staging.Stage
    force: bool = False
    is_used: bool = False

    def __call__(self, texts: Sequence[str]) -> Distant:
        """Find the songs at the addresses among the arguments.

        Raises:
            AddressError: one is not an address.
            StoreError: a prefix cannot be listed.
        """
        addresses = {text: parse(text) for text in dict.fromkeys(texts) if is_address(text)}
        if not addresses:
            return Distant()
        self.is_used = True
        with ThreadPoolExecutor(AT_ONCE, "looking") as executor:
            found = dict(zip(addresses, executor.map(self._meant, addresses, addresses.values()), strict=True))
        songs = {text: songs for text, (songs, _) in found.items()}
        belows = [below for _, below in found.values() if below]
        return Distant(songs, sum(below.others for below in belows), sum(below.stems for below in belows))

    def wrapped(self, search: Search) -> Search:
        """Return what was found; songs of this machine know where their stems go to, if that is an address."""
        if self.output is None:
            return search
        self.is_used = True
        songs = (
            song
            if song.elsewhere
            else replace(song, elsewhere=Away(song.path, self.out, self.place, output=self.output, force=self.force))
            for song in search.songs
        )
        return replace(search, songs=tuple(songs))

    def _song(self, source: Address, item: Item | None, below: str = "", problem: str = "") -> Found:
        """Return a song.

        Args:
            source: its address.
            item: the song as its store describes it; None if it cannot be found.
            below: its folder, relative to the prefix that it was found below.
            problem: why it cannot be split; else empty.
        """
        name, shown = source.name, printable(str(source))
        usable = is_plain(name) and len(os.fsencode(name)) <= longest_name(self.place.root)
        if not usable or (below and not is_usable(below)) or not is_usable(source.key):
            problem = problem or f"cannot split {shown} (no file can have its name); give that object another name"
            name = "song"
        folder = Path(*(named(UNSAFE_VALUE.sub("_", step), STEP) for step in below.split("/"))) if below else Path()
        key = sources.digest(f"{self.out}\0{source.url or source}")[:16]
        path = self.place.song(key, name)
        away = Away(path, self.out, self.place, source, self.output, item, problem, self.force)
        return Found(path, folder if not problem else Path(), problem, away)

    def _meant(self, text: str, address: Address) -> tuple[list[Found], Below | None]:
        """Return the songs that an address means, and what lies below it if it is a prefix."""
        problem = f"cannot read {address} (it does not exist)"
        try:
            item = None
            if address.key and not (text.endswith("/") and not address.is_on_web):
                item = bucket_of(address).look(address.key)
            if item is not None or address.is_on_web:
                return [self._song(address, item, problem="" if item else problem)], None
            base, pattern = split_pattern(address)
            below = self._listed(base, pattern)
        except StoreError as error:
            return [self._song(address, None, problem=str(error))], None
        if not below.items and not below.others and not below.stems:
            return [self._song(address, None, problem=problem)], None
        names = sorted(below.items, key=lambda name: [natural(step) for step in name.split("/")])
        songs = [self._song(base.at(name), below.items[name], folder_of(name)) for name in names]
        return songs, below

    def _listed(self, base: Address, pattern: Sequence[str]) -> Below:
        """List the audio below a prefix, without hidden objects, stems of earlier runs, and the place of the output."""
        found = Below()
        out = self.output.address if self.output else None
        inside = f"{out.key}/" if out and (out.scheme, out.bucket) == (base.scheme, base.bucket) and out.key else None
        if inside and base.key and f"{base.key}/".startswith(inside):
            inside = None  # named itself, or below it
        for item in listing.objects(bucket_of(base), base.key):
            name = base.below(item.key)
            steps = name.split("/")
            if any(step.startswith(".") for step in steps) or not matches(steps, pattern):
                continue
            is_song = PurePosixPath(name).suffix[1:].lower() in EXTENSIONS
            if inside and item.key.startswith(inside):
                found.stems += is_song
            elif is_song:
                found.items[name] = item
            elif name.endswith(".json") and naming.RECORD in naming.folded(name):
                found.records.append(name)
            else:
                found.others += not name.endswith("/") and bool(item.size)
        for stem in stems_of(base, found.records, found.items):
            found.stems += found.items.pop(stem, None) is not None
        return found


def folder_of(name: str) -> str:
    """Return the folder of a name; empty if it is in none."""
    return name.rpartition("/")[0]


def split_pattern(address: Address) -> tuple[Address, Sequence[str]]:
    """Return the prefix before the first wildcard of a key, and the steps of the pattern below it."""
    steps = address.key.split("/")
    first = next((number for number, step in enumerate(steps) if WILDCARD.search(step)), len(steps))
    return replace(address, key="/".join(steps[:first])), steps[first:]


def stems_of(base: Address, names: Sequence[str], items: dict[str, Item]) -> Iterator[str]:
    """Yield the names of stems that earlier runs wrote, by the records beside them.

    Args:
        base: prefix that the names are relative to.
        names: names of what may be records.
        items: audio below the prefix.
    """
    place = StorePlace(base)
    with ThreadPoolExecutor(AT_ONCE, "looking") as executor:
        for name, content in zip(names, executor.map(lambda name: place.read(name, record.LIMIT), names), strict=True):
            found = record.parsed(content) if content else None
            for file in found.files if found else ():
                stem = os.path.normpath(f"{folder_of(name)}/{file}" if "/" in name else file)
                if stem in items and items[stem].size == (found.files[file] if found else None):
                    yield stem

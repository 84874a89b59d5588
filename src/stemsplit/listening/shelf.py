"""Finds what can be listened to below the folders that people name, without reading the records."""

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from pathlib import Path

from stemsplit.comparison.clip_files import RECORD as COMPARISON
from stemsplit.disk.folder import is_link
from stemsplit.songs import naming
from stemsplit.words import natural

LARGEST = 1_000_000
"""Most items of a shelf."""

MARK = b'"stemsplit_record"'
"""Stands at the beginning of every song's record."""

HEAD = 64
"""Bytes at the beginning of a file in which the mark is looked for."""

LONGEST_QUERY = 200
"""Most characters of a query that are used."""


class Kind(StrEnum):
    """What an item is."""

    song = "song"
    comparison = "comparison"


@dataclass(frozen=True, slots=True)
class Item:
    """Something to listen to, as it was found; its record has not been read.

    Args:
        title: what people see.
        kind: what it is.
        path: the record's file; for a song without stems, the song's.
        root: folder that people named; a record's files must lie below it.
        is_alone: whether it is a song without stems.
    """

    title: str
    kind: Kind
    path: str
    root: str
    is_alone: bool = False


def title_of(below: Sequence[str], root: str) -> str:
    """Return the title of a song: its record's path without the record's own name.

    Args:
        below: steps of the record's path below the folder that people named.
        root: that folder.
    """
    steps = [*below[:-1], below[-1].removesuffix(".json")]
    words = [re.sub(naming.RECORD, "", step, flags=re.IGNORECASE) for step in steps]
    bare = [word.strip(" -_.()[]") if word != step else step for word, step in zip(words, steps, strict=True)]
    return "/".join(filter(None, bare)) or os.path.basename(os.path.abspath(root)) or root  # noqa: PTH100, PTH119


def _has_mark(path: str) -> bool:
    """Return whether a file begins as a song's record does."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    except OSError:
        return False
    try:
        return MARK in os.read(descriptor, HEAD)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _item(root: str, below: tuple[str, ...], path: str) -> Item | None:
    """Return the item of a JSON file; None if its name is not that of a record."""
    name = below[-1]
    if name == COMPARISON:
        title = "/".join(below[:-1]) or os.path.basename(os.path.abspath(root)) or root  # noqa: PTH100, PTH119
        return Item(title, Kind.comparison, path, root)
    if naming.RECORD in naming.folded(name):
        return Item(title_of(below, root), Kind.song, path, root)
    above = (*Path(os.path.abspath(root)).parts[-2:], *below[:-1])  # noqa: PTH100
    if any(naming.RECORD in naming.folded(step) for step in above) and _has_mark(path):
        return Item(title_of(below, root), Kind.song, path, root)
    return None


def walk(root: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Yield the JSON files below a folder, as steps below it and as paths. Links and hidden folders are left out."""
    waiting: list[tuple[str, tuple[str, ...]]] = [(root, ())]
    while waiting:
        place, steps = waiting.pop()
        with suppress(OSError), os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                if entry.name.endswith(".json"):
                    if entry.is_file(follow_symlinks=False):
                        yield (*steps, entry.name), entry.path
                elif entry.is_dir(follow_symlinks=False) and not is_link(entry.stat(follow_symlinks=False)):
                    waiting.append((entry.path, (*steps, entry.name)))


def found_below(root: str) -> list[Item]:
    """Return the items below a folder, in the order in which people would sort their titles."""
    items = []
    for steps, path in walk(root):
        if item := _item(root, steps, path):
            items.append(item)
        if len(items) >= LARGEST:
            break
    return sorted(items, key=lambda item: natural(item.title))


@dataclass
class Shelf:
    """All that can be listened to. An item's number is its place.

    Args:
        items: the items, in their order.
    """

    items: list[Item]
    _folded: list[str] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._folded = [naming.folded(item.title) for item in self.items]
        self.matching = lru_cache(8)(self._matching)

    def _matching(self, query: str) -> Sequence[int]:
        words = naming.folded(query).split()
        if not words:
            return range(len(self.items))
        return [index for index, title in enumerate(self._folded) if all(word in title for word in words)]

    def page(self, query: str, first: int, count: int) -> tuple[int, list[int]]:
        """Return how many items match a query, and the numbers of some of them.

        Args:
            query: words that must all occur in a title, in any letter case; empty for all items.
            first: number of matching items to pass over.
            count: largest number of items to return.
        """
        numbers = self.matching(query[:LONGEST_QUERY])
        return len(numbers), list(numbers[first : first + count])

    def item(self, number: int) -> Item | None:
        """Return the item of a number; None if there is none."""
        return self.items[number] if 0 <= number < len(self.items) else None

"""Divides the songs that the built-in model is trained on into folds, so that choices need no other songs."""

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from stemsplit.evaluation.multitracks import Multitrack

ARTISTS = (
    "actions",
    "animal",
    "claraberryandwooldog",
    "darkride",
    "fergessen",
    "jamesmay",
    "leaf",
    "musicdelta",
    "younggriffo",
)
"""Artists of several songs: songs of one artist share players, instruments and the studio."""


@dataclass(frozen=True)
class Fold:
    """One of several equal parts of the songs.

    Args:
        index: number of the fold, from 1 on.
        count: number of folds.

    Raises:
        ValueError: there is no such fold.
    """

    index: int
    count: int

    def __post_init__(self) -> None:
        if not 1 <= self.index <= self.count or self.count < 2:
            raise ValueError(f"there is no fold {self}; write 1/5 for the first of five")

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @classmethod
    def parsed(cls, text: str) -> "Fold":
        """Return the fold that a text such as `2/5` names.

        Raises:
            ValueError: it names none.
        """
        if not (found := re.fullmatch(r"(\d{1,3})/(\d{1,3})", text, re.ASCII)):
            raise ValueError(f"{text!r} is not a fold; write 1/5 for the first of five")
        return cls(*map(int, found.groups()))


def fold_argument(text: str) -> Fold:
    """Parse a fold on a command line, where `argparse` shows the message of no other error."""
    try:
        return Fold.parsed(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def origin(name: str) -> str:
    """Return what excerpts and songs have in common that must not be in two folds.

    That is the song, of which there may be several excerpts, and recordings in several collections; for artists of
    several songs, the artist. "Everything is Free" is by one artist, but is most of the music: its songs are apart.
    """
    last = name.rpartition("/")[2].lower()
    last = re.sub(r"^(eif|cmt|\d+)-|[-_]drum$", "", re.sub(r"-\d+$", "", last))
    plain = re.sub(r"[^a-z0-9]", "", last)
    return next((artist for artist in ARTISTS if plain.startswith(artist)), plain)


def folds_of(collections: Iterable[Sequence[str]], count: int) -> dict[str, int]:
    """Return the fold of each origin, counted from 1.

    Songs are dealt out so that every fold has about as many of each collection. The same songs are always dealt out in
    the same way.

    Args:
        collections: names of the songs of each collection.
        count: number of folds.
    """
    places: dict[str, int] = {}
    for names in collections:
        sizes = Counter(map(origin, names))
        filled = Counter(dict.fromkeys(range(1, count + 1), 0))
        for name in sizes.keys() & places.keys():
            filled[places[name]] += sizes[name]
        shuffled = sorted(sizes, key=lambda name: hashlib.sha256(name.encode()).digest())
        for name in sorted(shuffled, key=lambda name: -sizes[name]):
            if name not in places:
                places[name] = min(filled, key=lambda fold: (filled[fold], fold))
                filled[places[name]] += sizes[name]
    return places


def divided(
    songs: Mapping[str, Sequence[Multitrack]], with_songs: Collection[str], fold: Fold
) -> tuple[dict[str, list[Multitrack]], dict[str, list[Multitrack]]]:
    """Take a fold out of the songs.

    Args:
        songs: songs of each collection, and single sources.
        with_songs: collections that have songs. Single sources are in no fold, because nothing can be measured with
            them; but those of the same origin as a song of the fold are left out with it.
        fold: the fold.

    Returns:
        Songs of each collection that remain, and those of the fold.
    """
    names = [[song.name for song in group] for name, group in songs.items() if name in with_songs]
    places = folds_of(names, fold.count)

    def part(name: str, inside: bool) -> list[Multitrack]:
        return [song for song in songs[name] if (places.get(origin(song.name)) == fold.index) == inside]

    return {name: part(name, False) for name in songs}, {name: part(name, True) for name in songs if name in with_songs}

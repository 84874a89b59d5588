"""Finds what the folders and songs that people name hold to listen to: stems, comparisons, and songs alone."""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from stemsplit.audio import Reader
from stemsplit.errors import AudioError
from stemsplit.listening.mixtures import Mixtures
from stemsplit.listening.piece import Piece
from stemsplit.listening.pieces import opened
from stemsplit.listening.shelf import Item, Kind, Shelf, found_below
from stemsplit.songs import naming, record
from stemsplit.words import counted

STEMS = Path("stems")
"""Folder in which `stemsplit split` writes by default."""


@dataclass(frozen=True)
class Gathered:
    """What was found to listen to.

    Args:
        shelf: all that can be listened to.
        mixtures: finds the songs.
        notes: what people should know of it.
        only: what is played, if it is one thing; None if people can choose.
    """

    shelf: Shelf
    mixtures: Mixtures
    notes: Sequence[str] = field(default_factory=tuple)
    only: Piece | None = None


def _in_folder(path: Path, is_one_of_several: bool) -> list[Item]:
    """Return the items below a folder, or the one whose record this is.

    Raises:
        AudioError: there is none.
    """
    if path.is_file():
        items = [item for item in found_below(str(path.parent)) if Path(item.path) == path]
        told = f"{path} is not a record of stems or of a comparison; name the folder of the stems"
    else:
        items = found_below(str(path))
        told = (
            f"{path} has no stems: there is no record such as stemsplit.json in it; split songs first: stemsplit SONG"
        )
    if not items:
        raise AudioError(told)
    if not is_one_of_several:
        return items
    return [Item(f"{path.name or path}: {item.title}", item.kind, item.path, item.root) for item in items]


def stems_of(song: Path, items: Iterable[Item]) -> list[Item]:
    """Return the items that are stems of a song, by the names and sizes in their records.

    Args:
        song: file of the song.
        items: items to choose from; only those whose titles contain the song's name are read.
    """
    track, size = naming.folded(naming.track_of(song)), song.stat().st_size
    found = []
    for item in items:
        if item.kind == Kind.song and track in naming.folded(item.title):
            there = record.read(Path(item.path))
            if there and there.song["name"] == song.name and there.song["size"] == size:
                found.append(item)
    return found


def _refusal(song: Path) -> str:
    """Return why a song cannot be played; empty if it can, as far as its header tells."""
    try:
        Reader(song).close()
    except AudioError as error:
        return str(error)
    return ""


def gathered(folders: Sequence[Path], songs: Sequence[Path], songs_folder: Path | None = None) -> Gathered:
    """Gather what can be listened to.

    Args:
        folders: folders, or records in them; if there are none, the songs' stems are looked for in `stems`.
        songs: files of songs.
        songs_folder: folder in which to look for songs; None for the likely places only.

    Raises:
        AudioError: a folder has no stems, or nothing can be played.
        OSError: a song is missing.
    """
    items: list[Item] = []
    for folder in folders:
        items += _in_folder(folder, len(folders) > 1)
    nearby = items if folders else found_below(str(STEMS)) if songs and STEMS.is_dir() else []
    chosen, notes, alone = list(items), list[str](), list[Path]()
    for song in songs:
        stems = stems_of(song, nearby)
        if not folders:
            chosen += stems
        if not stems and (why := _refusal(song)):
            notes.append(f"{song} is left out: {why}")
        elif not stems:
            alone.append(song)
            chosen.append(Item(song.name, Kind.song, str(song), str(song.parent), is_alone=True))
    if not chosen:
        raise AudioError(notes[0].partition(" is left out: ")[2] if notes else "there is nothing to listen to")
    if alone:
        where = "in the folders" if folders else f"in {STEMS}{os.sep}"
        what = f"{alone[0]} plays alone" if len(alone) == 1 else f"{counted(len(alone), 'song')} play alone"
        notes.append(f"{what}: no stems were found {where}; make them first, or name the folder that they are in")
    unique = {item.path: item for item in chosen}
    mixtures = Mixtures(songs, songs_folder)
    only = opened(chosen[0], mixtures) if len(unique) == 1 else None
    notes += only.notes if only else ()
    return Gathered(Shelf([*unique.values()]), mixtures, notes, only)

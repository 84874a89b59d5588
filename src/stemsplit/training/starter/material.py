"""Lists the songs and single sources that the built-in model is trained on.

`python -m stemsplit.training.starter.material AUDIO -o FOLDER` writes a list for each collection, FOLDER/NAME.csv, for
`stemsplit train` to draw from. With `--fold 2/5`, the second of five folds is left out of them, and its songs are in
FOLDER/fold.csv.
"""

import argparse
import csv
import io
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from stemsplit.audio.kinds import EXTENSIONS
from stemsplit.disk import replacing
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.evaluation.multitracks import COLUMNS, Multitrack, folders, multitracks
from stemsplit.training.starter.folds import Fold, divided, fold_argument

PROGRAM = "python -m stemsplit.training.starter.material"


@dataclass(frozen=True)
class Place:
    """Where a collection's files are.

    Args:
        folder: folder below the folder of all audio.
        stem: stem that every file is a recording of; empty if the folder has a folder for each song.
        songs: pattern of the names of its songs.
    """

    folder: str
    stem: str = ""
    songs: str = "*"


COLLECTIONS: Mapping[str, tuple[Place, ...]] = {
    "musdb": (Place("musdb18-7s"),),
    "free": (Place("everything-is-free"), Place("songs", songs="eif-*")),
    "bands": (Place("songs", songs="cmt-*"), Place("songs", songs="mdn-*"), Place("songs", songs="trackswitch-*")),
    "electronic": (Place("songs", songs="lmms-*"),),
    "drummers": (Place("drums-mdb", "drums"),),
    "loops": (Place("drums-waivops", "drums"),),
    "basses": (Place("bass-rendered", "bass"),),
    "guitars": (Place("guitar-fof", "other"),),
    "pianos": (Place("piano-waivops", "other"),),
    "syllables": (Place("vocals-alys", "vocals"),),
    "singers": (Place("voice", "vocals"),),
}
"""Name of each collection -> where its files are. The first four have songs, the others single sources."""

WITH_SONGS = tuple(name for name, places in COLLECTIONS.items() if not any(place.stem for place in places))
"""Collections that have songs rather than single sources."""

JOINED = ("hydrogen", "potassium", "rubidium", "caesium", "francium")
"""Songs of "Everything is Free" whose bass is a part of `other`. In sodium it is not."""

WITH_BASS = ("3-sodium-1", "eif-sodium-5")
"""Excerpts of sodium in which the bass plays."""


def is_free(place: Place) -> bool:
    """Return whether the songs of a place are of "Everything is Free"."""
    return place.folder == "everything-is-free" or place.songs == "eif-*"


def of_everything_is_free(song: Multitrack) -> Multitrack:
    """Return a song of "Everything is Free" with the sum of bass and other as one stem, where that is what there is."""
    stems = dict(song.stems)
    if song.name not in WITH_BASS:
        stems.pop("bass", None)  # a silent file
    if any(name in song.name for name in JOINED) and "other" in stems:
        stems["bass+other"] = stems.pop("other")
    return Multitrack(song.name, stems)


def songs_of(place: Place, audio: Path) -> list[Multitrack]:
    """Return the songs of a place, or each of its single sources as a song; names begin with the place's folder.

    Raises:
        AudioError: there are none, or two single sources have the same name but for its suffix.
    """
    root = audio / place.folder
    if place.stem:
        files = [file for _, found in folders(root) for file in found if file.suffix[1:].lower() in EXTENSIONS]
        named: dict[str, Path] = {}
        for path in files:
            name = path.relative_to(root).with_suffix("").as_posix()
            if name in named:
                raise AudioError(f"{named[name]} and {path.name} have one name; keep one of them")
            named[name] = path
        songs = [Multitrack(name, {place.stem: path}) for name, path in named.items()]
    else:
        songs = [song for song in multitracks(root) if Path(song.name).match(place.songs)]
        songs = [of_everything_is_free(song) if is_free(place) else song for song in songs]
    if not songs:
        raise AudioError(f"{root} has no {place.songs if place.songs != '*' else 'recordings'}")
    return [Multitrack(f"{place.folder}/{song.name}", song.stems) for song in songs]


def write(path: Path, songs: Sequence[Multitrack], relative: bool = False) -> None:
    """Write a list of songs, as `multitracks` reads it.

    Args:
        path: list to write.
        songs: the songs.
        relative: whether the list names their files relative to its own folder, below which they are.

    Raises:
        OSError: it cannot be written.
    """
    lines = io.StringIO(newline="")

    def named(file: Path) -> str:
        return file.relative_to(path.parent).as_posix() if relative else str(file.resolve())

    rows = [(song.name, stem, named(file)) for song in songs for stem, file in song.stems.items()]
    csv.writer(lines).writerows([COLUMNS, *rows])
    with replacing(path) as file:
        file.write(lines.getvalue().encode())


def collection(name: str, audio: Path) -> list[Multitrack]:
    """Return the songs of a collection.

    Args:
        name: one of `COLLECTIONS`.
        audio: folder that has the folders of all collections.

    Raises:
        AudioError: a folder is missing or empty.
    """
    return [song for place in COLLECTIONS[name] for song in songs_of(place, audio)]


def write_lists(audio: Path, folder: Path, fold: Fold | None = None) -> list[Path]:
    """Write a list of each collection, without the songs of a fold if there is one; these are written to `fold.csv`.

    Args:
        audio: folder that has the folders of all collections.
        folder: folder for the lists; it is made.
        fold: fold to leave out.

    Returns:
        The files.

    Raises:
        AudioError: a folder is missing or empty.
        OSError: a list cannot be written.
    """
    songs = {name: collection(name, audio) for name in COLLECTIONS}
    if fold:
        songs, apart = divided(songs, WITH_SONGS, fold)
        songs["fold"] = [song for group in apart.values() for song in group]
    folder.mkdir(parents=True, exist_ok=True)
    for name, group in songs.items():
        write(folder / f"{name}.csv", group)
    return [folder / f"{name}.csv" for name in songs]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.material`; the exit status is 1 if something is missing."""
    parser = argparse.ArgumentParser(PROGRAM, description="List the songs that the built-in model is trained on.")
    parser.add_argument(
        "audio", type=Path, metavar="AUDIO", help="folder with musdb18-7s, everything-is-free, songs ..."
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder for the lists")
    parser.add_argument("--fold", type=fold_argument, metavar="INDEX/COUNT", help="fold to leave out, such as 2/5")
    args = parser.parse_args(arguments)
    try:
        print(*write_lists(args.audio, args.output, args.fold), sep="\n")
    except (OSError, StemsplitError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

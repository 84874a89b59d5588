"""Finds multitracks, songs whose true stems are known: as a folder with a file per stem, a `.stem.mp4`, or a list."""

import csv
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from stemsplit.audio import Reader
from stemsplit.audio.kinds import EXTENSIONS
from stemsplit.disk import open_regular
from stemsplit.errors import AudioError
from stemsplit.evaluation.stem_mp4 import MIXTURE, SUFFIX, track_numbers
from stemsplit.words import natural

COLUMNS = ("song", "stem", "path")
"""Columns of a list of songs; others are ignored."""


@dataclass(frozen=True)
class Multitrack:
    """A song whose stems are files.

    Args:
        name: path of the song's folder below the searched one, with slashes; `.` for the searched folder itself. For a
            `.stem.mp4`, the path of that file without its suffix; for a song of a list, its name there.
        stems: file of each stem by its name, in order of name.
        mixture: file of all stems together, if there is one.
        tracks: number of the audio track of a stem or of the mixture in its file, for files that hold several.
    """

    name: str
    stems: Mapping[str, Path]
    mixture: Path | None = None
    tracks: Mapping[str, str] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """The song's name, or for `.` the name of the folder."""
        return next(iter(self.stems.values())).absolute().parent.name if self.name == "." else self.name

    def open(self, stem: str, start: float = 0.0, duration: float | None = None) -> Reader:
        """Open a stem, or the `mixture`, or an excerpt of it.

        Args:
            stem: name of the stem.
            start: start of the excerpt in seconds.
            duration: length of the excerpt in seconds; None for the rest of the song.

        Raises:
            AudioError: the file cannot be read.
            KeyError: the song has no such stem.
        """
        files = {**self.stems, MIXTURE: self.mixture} if self.mixture else self.stems
        return Reader(files[stem], start, duration, self.tracks.get(stem, ""))


def folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Yield a folder and those below it, each with its files.

    Hidden files and folders are left out. Links are followed, and each folder is visited once.

    Raises:
        AudioError: a folder cannot be listed.
    """

    def refuse(error: OSError) -> None:
        raise AudioError(f"cannot look into {error.filename} ({(error.strerror or 'no reason given').lower()})")

    entered: set[str] = set()
    for here, below, files in os.walk(root, onerror=refuse, followlinks=True):
        below[:] = sorted((name for name in below if not name.startswith(".")), key=natural)
        if (real := os.path.realpath(here)) in entered:
            below.clear()
            continue
        entered.add(real)
        yield Path(here), [Path(here, name) for name in sorted(files, key=natural) if not name.startswith(".")]


def song_folders(root: Path) -> list[Multitrack]:
    """Find the songs in a folder and below it, in natural order.

    A song is a folder with a file for each stem, in any format, named after the stem in any letter case, as in
    MUSDB18-HQ; `mixture` does not count as a stem. A `.stem.mp4` is a song by itself. `root` itself is a song only if
    there is none below it.

    Raises:
        AudioError: a folder does not exist, cannot be listed, or has two files for the same stem; or it is not clear
            which track of a `.stem.mp4` is which stem.
    """
    songs: list[Multitrack] = []
    for folder, files in folders(root):
        stems: dict[str, Path] = {}
        for path in files:
            if path.name.endswith(SUFFIX):
                name = path.relative_to(root).as_posix().removesuffix(SUFFIX)
                tracks = track_numbers(path)
                mixed = path if MIXTURE in tracks else None
                songs.append(Multitrack(name, dict.fromkeys(sorted({*tracks} - {MIXTURE}), path), mixed, tracks))
            elif path.suffix[1:].lower() in EXTENSIONS:
                stem = path.stem.lower()  # people write Vocals.wav too
                if stem in stems:
                    raise AudioError(f"{stems[stem]} and {path.name} are the same stem; keep one of them")
                stems[stem] = path
        mixture = stems.pop(MIXTURE, None)
        if stems:
            songs.append(Multitrack(folder.relative_to(root).as_posix(), stems, mixture))
    below = [song for song in songs if song.name != "."]
    return sorted(below or songs, key=lambda song: [natural(part) for part in song.name.split("/")])


def rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Yield the lines of a CSV file that are not empty: the line's number, and its values without spaces around them.

    Raises:
        AudioError: the file cannot be read, or is not a CSV.
    """
    try:
        # Spreadsheets write a byte-order mark first.
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                if any(row):
                    yield reader.line_num, [value.strip() for value in row]
    except OSError as error:
        raise AudioError(f"cannot read the list {path} ({(error.strerror or 'no reason given').lower()})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AudioError(f"cannot read the list {path} (it is not a CSV with {', '.join(COLUMNS)})") from error


def manifest(path: Path) -> list[Multitrack]:
    """Read a list of songs: a CSV with the heading `song,stem,path` and a line for every stem.

    Paths are relative to the list's folder. The stem `mixture` is the file of all stems together. Songs keep the order
    of their first lines.

    Raises:
        AudioError: the list cannot be read or lacks a column; or a line lacks a value, names a file that does not
            exist, or a stem that the song already has.
    """
    lines = rows(path)
    _, heading = next(lines, (0, []))
    if missing := [column for column in COLUMNS if column not in heading]:
        raise AudioError(f"the list {path} has no column {missing[0]}; its first line should be {','.join(COLUMNS)}")
    songs: dict[str, dict[str, Path]] = {}
    for number, row in lines:
        where, values = f"{path}, line {number}", dict(zip(heading, row, strict=False))
        if lacking := [column for column in COLUMNS if not values.get(column)]:
            raise AudioError(f"{where}: the {lacking[0]} is missing")
        song, stem, file = values["song"], values["stem"].lower(), path.parent / values["path"]
        if not file.is_file():
            raise AudioError(f"{where}: {file} does not exist")
        if stem in songs.setdefault(song, {}):
            raise AudioError(f"{where}: {song} already has {stem}: {songs[song][stem]}")
        if file.name.endswith(SUFFIX) and stem not in (there := track_numbers(file)):
            raise AudioError(f"{where}: {file} holds {', '.join(there)}, but not {stem}")
        songs[song][stem] = file
    return [listed(song, stems) for song, stems in songs.items() if {*stems} - {MIXTURE}]


def listed(name: str, files: Mapping[str, Path]) -> Multitrack:
    """Return the song that has these files, stem -> file; `mixture` may be among them."""
    stems = {stem: files[stem] for stem in sorted(files) if stem != MIXTURE}
    tracks = {stem: track_numbers(path)[stem] for stem, path in files.items() if path.name.endswith(SUFFIX)}
    return Multitrack(name, stems, files.get(MIXTURE), tracks)


def multitracks(path: Path) -> list[Multitrack]:
    """Return the songs in a folder, as `song_folders` finds them, or of a list, as `manifest` reads it.

    Raises:
        AudioError: there are no songs, or the folder or the list cannot be read.
    """
    songs = song_folders(path) if path.is_dir() else manifest(path)
    if not songs:
        wanted = "a folder for each song, with a file for each stem" if path.is_dir() else "a line for each stem"
        raise AudioError(f"no song with stems in {path}; it should have {wanted}")
    return songs

"""Knows where songs are whose stems are known: each a folder with a file a stem, a `.stem.mp4`, or lines of a list."""

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
from stemsplit.words import natural

MIXTURE = "mixture"
"""What the file is called that holds all stems together."""

STEM_MP4 = ".stem.mp4"
STREAMS = (MIXTURE, "drums", "bass", "other", "vocals")
"""What such a file holds, one after the other, in MUSDB18 (Rafii et al. 2017) as in most others."""

COLUMNS = ("song", "stem", "path")
"""Of a list of songs; others are passed over."""


@dataclass(frozen=True)
class Multitrack:
    """A song whose stems are files.

    Args:
        name: its folder's path from the one that was searched, with slashes; `.` for that folder itself. A `.stem.mp4`
            goes by its own name without that suffix.
        stems: name -> file, in order of name.
        mixture: the file of all stems together, if there is one.
        streams: which of a file's streams a stem or the mixture is, where it is not the first.
    """

    name: str
    stems: Mapping[str, Path]
    mixture: Path | None = None
    streams: Mapping[str, int] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """Its name, or for `.` what that folder is called."""
        return next(iter(self.stems.values())).absolute().parent.name if self.name == "." else self.name

    def open(self, stem: str, start: float = 0.0, duration: float | None = None) -> Reader:
        """A reader of a stem, or of the `mixture`, or of a part of it.

        Raises:
            AudioError: it cannot be read.
            KeyError: the song has no such stem.
        """
        files = {**self.stems, MIXTURE: self.mixture} if self.mixture else self.stems
        return Reader(files[stem], start, duration, self.streams.get(stem, 0))


def folders(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """A folder and those below it, with their files; what is hidden is left out, links are followed, but once."""

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
    """The songs in a folder and below it, as a person would sort them.

    A song is a folder with a file of any format for each stem, called after it in any letter case, as in MUSDB18-HQ;
    `mixture` is none of them. A `.stem.mp4` is a song by itself. `root` is itself a song only if there is none below.

    Raises:
        AudioError: there is no such folder, or one below cannot be listed, or has two files for the same stem.
    """
    songs: list[Multitrack] = []
    for folder, files in folders(root):
        stems: dict[str, Path] = {}
        for path in files:
            if path.name.endswith(STEM_MP4):
                name = path.relative_to(root).as_posix().removesuffix(STEM_MP4)
                numbers = {stem: number for number, stem in enumerate(STREAMS)}
                songs.append(Multitrack(name, dict.fromkeys(sorted(STREAMS[1:]), path), path, numbers))
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
    """The lines of a CSV file that are not empty, each with its number; what surrounds a value is dropped.

    Raises:
        AudioError: it cannot be read, or is no CSV.
    """
    try:
        # Spreadsheets put a byte-order mark first.
        with io.TextIOWrapper(open_regular(path), encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            for row in reader:
                if any(row):
                    yield reader.line_num, [value.strip() for value in row]
    except OSError as error:
        raise AudioError(f"cannot read the list {path} ({(error.strerror or 'no reason given').lower()})") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise AudioError(f"cannot read the list {path} (it is no CSV with {', '.join(COLUMNS)})") from error


def manifest(path: Path) -> list[Multitrack]:
    """The songs of a list: a CSV with a line for every stem, `song,stem,path` at its top.

    Paths count from the list's own folder. The stem `mixture` is the file of all together. The songs come in the order
    in which they are first named.

    Raises:
        AudioError: it cannot be read or lacks a column; a line lacks a value, names a file that is not there, or a stem
            that the song already has.
    """
    lines = rows(path)
    _, heading = next(lines, (0, []))
    if missing := [column for column in COLUMNS if column not in heading]:
        raise AudioError(f"the list {path} has no column {missing[0]}; its first line should be {','.join(COLUMNS)}")
    songs: dict[str, dict[str, Path]] = {}
    for number, row in lines:
        where, values = f"{path}, line {number}", dict(zip(heading, row, strict=False))
        if lacking := [column for column in COLUMNS if not values.get(column)]:
            raise AudioError(f"{where}: there is no {lacking[0]}")
        song, stem, file = values["song"], values["stem"].lower(), path.parent / values["path"]
        if not file.is_file():
            raise AudioError(f"{where}: there is no file {file}")
        if stem in songs.setdefault(song, {}):
            raise AudioError(f"{where}: {song} has its {stem} already, {songs[song][stem]}")
        if file.name.endswith(STEM_MP4) and stem not in STREAMS:
            raise AudioError(f"{where}: {file} holds {', '.join(STREAMS)}, no {stem}")
        songs[song][stem] = file
    return [listed(song, stems) for song, stems in songs.items() if {*stems} - {MIXTURE}]


def listed(name: str, files: Mapping[str, Path]) -> Multitrack:
    """A song that these files make, its mixture among them if there is one."""
    stems = {stem: files[stem] for stem in sorted(files) if stem != MIXTURE}
    streams = {stem: STREAMS.index(stem) for stem, path in files.items() if path.name.endswith(STEM_MP4)}
    return Multitrack(name, stems, files.get(MIXTURE), streams)


def multitracks(path: Path) -> list[Multitrack]:
    """The songs in a folder, or of a list; at least one.

    Raises:
        AudioError: there is none; see also `song_folders` and `manifest`.
    """
    songs = song_folders(path) if path.is_dir() else manifest(path)
    if not songs:
        wanted = "a folder a song, with a file a stem in it" if path.is_dir() else "a line a stem"
        raise AudioError(f"no song with stems in {path}; it should have {wanted}")
    return songs

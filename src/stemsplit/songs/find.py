"""Finds the songs that the arguments mean: files, folders, globs, and lists of these."""

import os
import re
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import IO, NamedTuple

from stemsplit.audio.kinds import EXTENSIONS, is_audio, other_kind
from stemsplit.songs import naming
from stemsplit.songs.earlier import RECORD, Earlier, Stem
from stemsplit.songs.found import Distant, Found, nowhere
from stemsplit.songs.lists import expand_lists
from stemsplit.songs.near import Near
from stemsplit.songs.remarks import (
    few,
    told_of_expanded,
    told_of_other,
    told_of_others,
    told_of_stems,
    told_of_true_stems,
)
from stemsplit.songs.true_stems import true_stems
from stemsplit.words import counted, natural

WILDCARD = re.compile(r"[*?[]")
"""The characters that make a glob of a path."""


@dataclass(frozen=True)
class Search:
    """The songs that the arguments mean.

    Args:
        songs: songs in the order of the arguments; those in a folder in natural order, the same on every machine.
        passed_over: number of files that are not audio, in folders or named beside songs.
        stems: number of audio files in folders that earlier runs wrote.
        true_stems: number of audio files in folders that are stems of a multitrack beside its mixture.
        known_failures: number of songs that failed in an earlier run, and are not tried again.
        notes: messages about files that are not what they seem.
    """

    songs: tuple[Found, ...]
    passed_over: int
    stems: int = 0
    true_stems: int = 0
    known_failures: int = 0
    notes: tuple[str, ...] = field(default=(), compare=False)


class Seen(NamedTuple):
    """A file, or a folder that cannot be listed.

    Args:
        path: its path.
        folder: folder that it was found in; None if it was named itself.
        real: its real path; empty if it may be a link, or is not a regular file.
    """

    path: Path
    folder: Path | None = None
    real: str = ""


def walk(top: Path, out: str, entered: set[str]) -> Iterator[Seen]:
    """Yield the files below a folder, and the folders below it that cannot be listed. Hidden files are left out.

    Args:
        top: the folder, or a file, which is yielded itself.
        out: real path of the output folder, which is left out below `top`; empty for none.
        entered: real paths of the folders that are already listed; folders are added to it.
    """
    waiting = [Seen(top)]
    while waiting:
        seen = waiting.pop()
        path = seen.path
        if seen.real or not os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises if a folder above is closed
            yield seen
            continue
        real = os.path.realpath(path)
        if real in entered or (real == out and path != top):
            continue
        entered.add(real)
        try:
            with os.scandir(path) as entries:
                inside = [(each.name, each.is_file(follow_symlinks=False)) for each in entries if each.name[0] != "."]
        except OSError:
            yield seen
        else:
            inside.sort(key=lambda each: natural(each[0]), reverse=True)
            waiting += [Seen(path / name, path, os.path.join(real, name) if plain else "") for name, plain in inside]  # noqa: PTH118


def expand_glob(pattern: Path, out: str) -> tuple[Path, list[Path]]:
    """Find the paths that match a glob.

    Hidden files and folders are left out, unless a part of the glob begins with a dot.

    Args:
        pattern: the glob.
        out: real path of the output folder, which is left out unless it is named before the first wildcard.

    Returns:
        The part of the glob before its first wildcard, and the paths that match.
    """
    base, rest = Path(pattern.anchor), list(pattern.relative_to(pattern.anchor).parts)
    # A part that exists by its very name is not a pattern: a folder may be called `Live [1999]`.
    while os.path.lexists(base / rest[0]):
        base /= rest.pop(0)
    if ".." in rest:
        return base, []
    # pathlib refuses `**` except as a whole part. At the end it should match folders only, for which Python 3.13 needs
    # a slash after it.
    steps = [step if step == "**" else re.sub(r"\*+", "*", step) for step in rest]
    slash = "/" if steps[-1] == "**" else ""
    try:
        paths = list(base.glob("/".join(steps) + slash))
    except OSError:
        return base, []
    if not any(step.startswith(".") for step in steps):
        paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(base).parts)]
    if Path(os.path.realpath(base)) in Path(out).parents:
        paths = [path for path in paths if not Path(os.path.realpath(path)).is_relative_to(out)]
    return base, sorted(paths, key=lambda path: [natural(part) for part in path.parts])


def names_stem(pattern: Path, stem: Stem) -> bool:
    """Return whether a glob names a stem, so that whoever typed it wants that stem to be split further."""
    *folders, last = map(naming.folded, pattern.parts)
    if not WILDCARD.search(last):
        return True
    word = re.compile(rf"(?<!\w){re.escape(naming.folded(stem.name))}(?!\w)")
    return bool(stem.name) and (naming.folded(stem.name) in folders or bool(word.search(last)))


def stems_beside_songs(songs: Mapping[str, Found], named: set[str], stems: Mapping[str, Stem]) -> list[str]:
    """Return the real paths of stems that are named together with their own songs, as a shell does with `*.mp3`."""
    names = {os.path.basename(real) for real in named if real not in stems}  # noqa: PTH119  # of 200,000
    return [real for real, stem in stems.items() if real in songs and stem.song in names]


def is_special(path: Path) -> bool:
    """Return whether a file is a pipe, a socket or a device, which may lie in a folder and is nobody's song."""
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def stands_for_song(file: Path) -> bool:
    """Return whether a path in a folder is audio, or a folder that cannot be listed."""
    return os.path.isdir(file) or not (is_special(file) or not is_audio(file))  # noqa: PTH112  # see `walk`


def without_others(songs: Mapping[str, Found], named: set[str]) -> tuple[dict[str, Found], dict[str, Path]]:
    """Return the songs without files of other kinds that were named beside them, as a shell does with `*`.

    Returns:
        The songs by their real paths; and the paths of the others. If there are only others, they are kept, with what
        they are as their problem.
    """
    kinds = {real: kind for real in named & songs.keys() if (kind := other_kind(songs[real].path)) is not None}
    if len(kinds) < len(songs):
        left = {real: found for real, found in songs.items() if real not in kinds}
        return left, {real: found.path for real, found in songs.items() if real in kinds}
    problems = {real: told_of_other(songs[real].path, kind) for real, kind in kinds.items() if kind}
    return {real: replace(found, problem=problems.get(real, "")) for real, found in songs.items()}, {}


def inside(out: Path, earlier: Earlier, songs: Mapping[str, Found]) -> tuple[int, list[Path]]:
    """Count the stems of earlier runs in the output folder, without those that the user named as songs.

    Returns:
        Their number; and the other audio files, outside of folders that hold the stems of one song.
    """
    count, unknown, ours = 0, list[Path](), dict[Path, bool]()
    for file, _, known in walk(out, "", set()):
        if file.suffix[1:].lower() not in EXTENSIONS:
            continue
        real = known or os.path.realpath(file)
        if real in songs:
            continue
        if file.parent not in ours:
            ours = {file.parent: os.path.lexists(file.parent / RECORD)}
        if ours[file.parent] or earlier.find(real):
            count += 1
        else:
            unknown.append(file)
    return count, unknown


def find(
    arguments: Sequence[Path | str],
    out: Path,
    listed: IO[bytes] | None = None,
    elsewhere: Callable[[Sequence[str]], Distant] = nowhere,
) -> Search:
    """Find the songs that the arguments mean.

    - A file is always a song, even if it is missing or not audio: the error comes when it is read.
    - A folder stands for the files below it that are audio by extension or content; links are followed. Hidden files
      are left out and not counted. `out` below the folder, stems that stemsplit wrote, and true stems beside their
      mixture are left out and counted. A folder that cannot be listed is taken for a song: the error comes when it is
      read.
    - A glob, unless a file has that very name, stands for the audio files and the folders that match. If nothing
      matches, it is taken for a missing song.
    - `@FILE`, unless a file has that very name, and `-` for stdin are lists of files, folders and globs.

    Args:
        arguments: paths, globs and lists, as typed.
        out: output folder.
        listed: stream that `-` reads; stdin if None.
        elsewhere: finds the songs at the addresses among the arguments.

    Returns:
        The songs. A file that several arguments mean is listed once, where it comes first.

    Raises:
        AudioError: a list cannot be read.
        ValueError: an argument is empty.
    """
    songs: dict[str, Found] = {}
    named: set[str] = set()
    others: set[str] = set()
    stems: dict[str, Stem] = {}
    entered: set[str] = set()
    earlier = Earlier()
    real_out, near = os.path.realpath(out), Near()
    below = lru_cache(1024)(lambda folder, base: folder.relative_to(base))
    texts = [*expand_lists(arguments, listed)]
    distant = elsewhere(texts)
    for text in texts:
        if text in distant.songs:
            for song in distant.songs[text]:
                songs.setdefault(str(song.path), song)
            continue
        path = near.meant(text)
        base, tops = path, [path]
        if WILDCARD.search(str(path)) and not os.path.lexists(path):
            base, tops = expand_glob(path, real_out)
        if not tops:
            base, tops = path, [path]
        problem = near.problem(path, text) if tops == [path] else ""
        for start, (file, folder, known) in ((top, seen) for top in tops for seen in walk(top, real_out, entered)):
            real = known or os.path.realpath(file)
            if file != path and not (is_audio(file) if known else stands_for_song(file)):
                if not earlier.is_record(real):
                    others.add(real)
                continue
            if stem := earlier.find(real):
                stems[real] = stem
            if file == path or (stem and file == start and names_stem(path, stem)):
                named.add(real)
            elif stem:
                continue
            songs.setdefault(real, Found(file, Path() if file == base else below(folder or file.parent, base), problem))
    songs, not_songs = without_others(songs, named)
    others.update(not_songs)
    expanded = stems_beside_songs(songs, named, stems)
    for real in expanded:
        del songs[real]
    beside, *folders = true_stems({real: found.path for real, found in songs.items()}, named)
    notes = [*told_of_others(not_songs), *told_of_stems(stems, songs, earlier), *told_of_expanded(expanded)]
    notes += told_of_true_stems(*folders)
    passed = {real for real in stems if real not in songs}
    found = tuple(found for real, found in songs.items() if real not in beside)
    written, unknown = 0, list[Path]()
    if os.path.dirname(real_out) in entered and real_out not in entered:  # noqa: PTH120
        written, unknown = inside(out, earlier, songs)
    if unknown:
        what = f"{counted(len(unknown), 'audio file')} in the output folder {out}"
        notes.append(f"{what} passed over, though not stems of earlier runs: {few(unknown)}; to split them, name them")
    return Search(
        found,
        len(others - songs.keys()) + distant.passed_over,
        len(passed) + written + distant.stems,
        len(beside),
        notes=(*notes, *distant.notes),
    )

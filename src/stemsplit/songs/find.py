"""Finds the songs that the arguments mean: files, folders, globs, and lists of these."""

import codecs
import os
import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from stemsplit.audio.kinds import BEGINNINGS, is_audio
from stemsplit.errors import AudioError
from stemsplit.songs import naming
from stemsplit.words import natural

RECORD = f"{naming.RECORD}.json"
"""Name of the record in a folder that holds the stems of one song."""

LARGEST_LIST = 256_000_000
"""Largest size of a list of songs in bytes: more than a million paths."""

WILDCARD = re.compile(r"[*?[]")
"""The characters that make a glob of a path."""


@dataclass(frozen=True, slots=True)
class Found:
    """A song that an argument means.

    Args:
        path: path as the argument names it, or as found in a folder.
        below: the song's folder, relative to the folder of the argument or to the part of a glob before its first
            wildcard; `Path()` for a song directly in there, and for a file that is named itself.
    """

    path: Path
    below: Path = Path()


@dataclass(frozen=True)
class Search:
    """The songs that the arguments mean.

    Args:
        songs: songs in the order of the arguments; those in a folder in natural order, the same on every machine.
        passed_over: number of files in folders that are not audio.
    """

    songs: tuple[Found, ...]
    passed_over: int


def walk(top: Path, out: str, entered: set[str]) -> Iterator[Path]:
    """Yield the files below a folder, and the folders below it that cannot be listed.

    Hidden files, and folders with stems that stemsplit wrote, are left out.

    Args:
        top: the folder, or a file, which is yielded itself.
        out: real path of the output folder, which is left out below `top`.
        entered: real paths of the folders that are already listed; folders are added to it.
    """
    waiting = [top]
    while waiting:
        path = waiting.pop()
        if not os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises if a folder above is closed
            yield path
            continue
        real = os.path.realpath(path)
        if real in entered or (real == out and path != top) or os.path.lexists(path / RECORD):
            continue
        entered.add(real)
        try:
            inside = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        except OSError:
            yield path
        else:
            waiting += sorted(inside, key=lambda entry: natural(entry.name), reverse=True)


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


def read_list(file: IO[bytes], name: str) -> Iterator[Path]:
    """Read a list of songs: a path in each line, or between NULs.

    Args:
        file: file of the list.
        name: name of the list in messages.

    Raises:
        AudioError: the list is far too large, as a device would be, or is not a list but audio.
    """
    data = file.read(LARGEST_LIST + 1)
    if len(data) > LARGEST_LIST:
        raise AudioError(f"cannot read the list {name} (it is larger than {LARGEST_LIST / 1e6:g} MB)")
    if BEGINNINGS.match(data):
        raise AudioError(f"cannot read the list {name} (it is audio); to split it, name the file without @ or -")
    if b"\0" in data:
        lines = data.split(b"\0")
    else:
        lines = [line.removesuffix(b"\r") for line in data.removeprefix(codecs.BOM_UTF8).split(b"\n")]
    return (Path(os.fsdecode(line)) for line in lines if line.strip())


def expand_lists(arguments: Sequence[Path | str], stdin: IO[bytes] | None) -> Iterator[Path]:
    """Yield the arguments, with the paths in a list in place of the list.

    Raises:
        AudioError: a list cannot be read.
        ValueError: an argument is empty.
    """
    for argument in arguments:
        text = os.fspath(argument)
        if not text:
            raise ValueError("an argument is empty; name a song, a folder or a list")
        name = "on stdin" if text == "-" else text[1:]
        try:
            if text == "-":
                # sys.stdin is None if it was closed when Python started.
                stream = stdin or (sys.stdin and sys.stdin.buffer)
                if stream:
                    yield from read_list(stream, name)
            elif text.startswith("@") and not os.path.lexists(text):
                with Path(name).open("rb") as file:  # it may be a pipe: @<(find ...)
                    yield from read_list(file, name)
            else:
                yield Path(text)
        except OSError as error:
            raise AudioError(
                f"cannot read the list {name} ({error.strerror}); a list has one song on each line"
            ) from error


def find(arguments: Sequence[Path | str], out: Path, listed: IO[bytes] | None = None) -> Search:
    """Find the songs that the arguments mean.

    - A file is always a song, even if it is missing or not audio: the error comes when it is read.
    - A folder stands for the files below it that are audio by extension or content; links are followed. Hidden files,
      `out` below the folder, and folders with stems that stemsplit wrote are left out and not counted. A folder that
      cannot be listed is taken for a song: the error comes when it is read.
    - A glob, unless a file has that very name, stands for the audio files and the folders that match. If nothing
      matches, it is taken for a missing song.
    - `@FILE`, unless a file has that very name, and `-` for stdin are lists of files, folders and globs.

    Args:
        arguments: paths, globs and lists, as typed.
        out: output folder.
        listed: stream that `-` reads; stdin if None.

    Returns:
        The songs. A file that several arguments mean is listed once, where it comes first.

    Raises:
        AudioError: a list cannot be read.
        ValueError: an argument is empty.
    """
    songs: dict[str, Found] = {}
    others: set[str] = set()
    entered: set[str] = set()
    real_out = os.path.realpath(out)
    for path in expand_lists(arguments, listed):
        base, tops = path, [path]
        if WILDCARD.search(str(path)) and not os.path.lexists(path):
            base, tops = expand_glob(path, real_out)
        if not tops:
            base, tops = path, [path]
        for file in (file for top in tops for file in walk(top, real_out, entered)):
            real = os.path.realpath(file)
            if file == path or os.path.isdir(file) or is_audio(file):  # noqa: PTH112
                songs.setdefault(real, Found(file, Path() if file == base else file.parent.relative_to(base)))
            else:
                others.add(real)
    return Search(tuple(songs.values()), len(others - songs.keys()))

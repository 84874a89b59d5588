"""Knows which songs the arguments mean: files, folders, globs, and lists of these."""

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
from stemsplit.words import natural

SIDECAR = "stemsplit.json"
"""Lies beside stems that were written."""

LONGEST_LIST = 256_000_000
"""Bytes of a list of songs: more than a million paths."""

MAGIC = re.compile(r"[*?[]")


@dataclass(frozen=True, slots=True)
class Found:
    """A song.

    Args:
        path: as named, or as found below a folder that was named.
        below: the folder that it lies in, from the folder that was named, or from a glob's part without magic; `Path()`
            right in there, and for a file named itself.
    """

    path: Path
    below: Path = Path()


@dataclass(frozen=True)
class Search:
    """What the arguments mean.

    Args:
        songs: in the order of the arguments; in a folder as a person would sort them, on every machine alike.
        passed_over: how many files in folders are no audio.
    """

    songs: tuple[Found, ...]
    passed_over: int


def walk(top: Path, out: str, entered: set[str]) -> Iterator[Path]:
    """The files below a folder, and the folders that cannot be listed; what is hidden, or our own work, left out.

    Args:
        top: the folder.
        out: real path of the folder for stems, which is left out below `top`.
        entered: real paths of the folders that were listed already; grows.
    """
    waiting = [top]
    while waiting:
        path = waiting.pop()
        if not os.path.isdir(path):  # noqa: PTH112  # Path.is_dir raises where the way there is barred
            yield path
            continue
        real = os.path.realpath(path)
        if real in entered or (real == out and path != top) or os.path.lexists(path / SIDECAR):
            continue
        entered.add(real)
        try:
            inside = [entry for entry in path.iterdir() if not entry.name.startswith(".")]
        except OSError:
            yield path
        else:
            waiting += sorted(inside, key=lambda entry: natural(entry.name), reverse=True)


def matches(pattern: Path, out: str) -> tuple[Path, list[Path]]:
    """The part of a glob without magic, and what matches: without hidden files, unless it asks, and without `out`."""
    base, rest = Path(pattern.anchor), list(pattern.parts[bool(pattern.anchor) :])
    # What is there by that very name is meant as it stands: a folder may be called `Live [1999]`.
    while os.path.lexists(base / rest[0]):
        base /= rest.pop(0)
    if ".." in rest:
        return base, []
    # `**` stands for folders only as a whole part; elsewhere pathlib refuses it. At the end, it matches files too from
    # Python 3.13 on, unless a slash follows.
    steps = [step if step == "**" else re.sub(r"\*+", "*", step) for step in rest]
    slash = "/" if steps[-1] == "**" else ""
    try:
        found = list(base.glob("/".join(steps) + slash))
    except OSError:
        return base, []
    if not any(step.startswith(".") for step in steps):
        found = [path for path in found if not any(part.startswith(".") for part in path.relative_to(base).parts)]
    if Path(os.path.realpath(base)) in Path(out).parents:
        found = [path for path in found if not Path(os.path.realpath(path)).is_relative_to(out)]
    return base, sorted(found, key=lambda path: [natural(part) for part in path.parts])


def at_most(file: IO[bytes], name: str) -> bytes:
    """The content of a list.

    Raises:
        AudioError: it is far too long, as a device is.
    """
    data = file.read(LONGEST_LIST + 1)
    if len(data) > LONGEST_LIST:
        raise AudioError(f"cannot read the list {name} (it is larger than {LONGEST_LIST / 1e6:g} MB)")
    return data


def entries(data: bytes, name: str) -> Iterator[Path]:
    """The lines of a list, or what lies between its NULs.

    Raises:
        AudioError: it is no list but a song.
    """
    if BEGINNINGS.match(data):
        raise AudioError(f"cannot read the list {name} (it is audio); to split it, give its file itself")
    if b"\0" in data:
        lines = data.split(b"\0")
    else:
        lines = [line.removesuffix(b"\r") for line in data.removeprefix(codecs.BOM_UTF8).split(b"\n")]
    return (Path(os.fsdecode(line)) for line in lines if line.strip())


def named(arguments: Sequence[Path | str], listed: IO[bytes] | None) -> Iterator[Path]:
    """The arguments, with the lists among them read."""
    for argument in arguments:
        text = os.fspath(argument)
        if not text:
            raise ValueError("an empty argument names no song")
        name = "on stdin" if text == "-" else text[1:]
        try:
            if text == "-":
                # Python has no stdin at all where it was closed.
                stream = listed or (sys.stdin and sys.stdin.buffer)
                yield from entries(at_most(stream, name) if stream else b"", name)
            elif text.startswith("@") and not os.path.lexists(text):
                with Path(name).open("rb") as file:  # which may be a pipe: @<(find ...)
                    yield from entries(at_most(file, name), name)
            else:
                yield Path(text)
        except OSError as error:
            raise AudioError(f"cannot read the list {name} ({error.strerror}); it has one song on each line") from error


def find(arguments: Sequence[Path | str], out: Path, listed: IO[bytes] | None = None) -> Search:
    """Look for the songs that are meant.

    A file that is named is a song, whatever it is, there or not: its own error comes when it is read. So does that of a
    folder that cannot be listed, which is therefore among the songs. A folder is searched, links followed, for what is
    audio by its extension or its content; left out, uncounted, are hidden files, `out` where it lies below, and folders
    with stems of ours. What is not there by its name, but matches as a glob, stands for all that matches: files are
    sifted as a folder's are, folders searched. `@FILE`, unless a file is called that, and `-` for stdin are lists of
    files, folders and globs.

    Args:
        arguments: as typed.
        out: where stems go.
        listed: what `-` reads; stdin unless given.

    Returns:
        Each real file once, at its first place.

    Raises:
        AudioError: a list cannot be read.
        ValueError: an argument is empty.
    """
    songs: dict[str, Found] = {}
    others: set[str] = set()
    entered: set[str] = set()
    real_out = os.path.realpath(out)
    for path in named(arguments, listed):
        base, tops = path, [path]
        if MAGIC.search(str(path)) and not os.path.lexists(path):
            base, tops = matches(path, real_out)
        if not tops:
            base, tops = path, [path]
        for file in (file for top in tops for file in walk(top, real_out, entered)):
            real = os.path.realpath(file)
            if file == path or os.path.isdir(file) or is_audio(file):  # noqa: PTH112
                songs.setdefault(real, Found(file, Path() if file == base else file.parent.relative_to(base)))
            else:
                others.add(real)
    return Search(tuple(songs.values()), len(others - songs.keys()))

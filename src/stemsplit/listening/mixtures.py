"""Finds the song that stems were made from: a record says its name, its size and its digest, but not where it lies."""

import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from stemsplit.disk.digest import sha256
from stemsplit.disk.files import size_of
from stemsplit.disk.folder import is_plain
from stemsplit.songs import record

MOST_FOLDERS = 1_000
"""Most folders in the working folder that are looked into."""

MOST_NAMES = 1_000_000
"""Most files below the folder of songs that are remembered."""

UPWARD = 4
"""Folders above a record that are looked into."""

REMEMBERED = 4_096
"""Digests that are remembered."""


class Mixtures:
    """Finds songs by what their records say.

    Args:
        named: files of songs that people named.
        folder: folder of songs that people named; None if they named none.
    """

    def __init__(self, named: Sequence[Path] = (), folder: Path | None = None) -> None:
        self.named, self.folder, self.working = tuple(named), folder, Path.cwd()
        self._digests: OrderedDict[tuple[str, int, int, int], str] = OrderedDict()
        self._below: dict[str, list[str]] | None = None
        self._beside: list[Path] | None = None
        self._lock = Lock()

    def find(self, song: Mapping[str, Any], folder: Path, root: Path) -> Path | None:
        """Return the file of a song; None if it is in none of the likely places.

        Args:
            song: name, size and sha256 of the song's file, as its record has them.
            folder: folder of the record.
            root: folder that people named, above it.
        """
        name = song["name"]
        if not is_plain(name):
            return None
        with self._lock:
            for path in dict.fromkeys(self._likely(name, folder, root)):
                with suppress(OSError):
                    if path.stat().st_size == song["size"] and self._digest(path) == song["sha256"]:
                        return path
        return None

    def _likely(self, name: str, folder: Path, root: Path) -> Iterator[Path]:
        """Yield the places in which a song is likely to lie."""
        yield from (path for path in self.named if path.name == name)
        yield from map(Path, self._in_folder(name))
        # `stemsplit album` mirrors the folders of an album in the folder of stems.
        inner = folder.parent.relative_to(root) if folder.parent.is_relative_to(root) else Path()
        for place in dict.fromkeys((self.working, *(path.parent for path in self.named))):
            yield from (place / name, place / inner / name)
        for place in (folder, *folder.parents[:UPWARD]):
            for path in (place / name, place / inner / name):
                if size_of(path) is not None:  # no link: the folder may be a stranger's
                    yield path
        for place in self._beside_stems():
            yield from (place / name, place / inner / name)

    def _in_folder(self, name: str) -> list[str]:
        """Return the files of a name below the folder of songs. It is gone through once."""
        if self._below is None:
            self._below, count = {}, 0
            for place, _, names in os.walk(self.folder) if self.folder else ():
                for each in names:
                    self._below.setdefault(each, []).append(os.path.join(place, each))  # noqa: PTH118  # many
                count += len(names)
                if count > MOST_NAMES:
                    break
        return self._below.get(name, [])

    def _beside_stems(self) -> list[Path]:
        """Return the folders in the working folder: `stemsplit album` reads songs from one of them."""
        if self._beside is None:
            self._beside = []
            with suppress(OSError), os.scandir(self.working) as entries:
                for entry in entries:
                    if len(self._beside) < MOST_FOLDERS and not entry.name.startswith(".") and entry.is_dir():
                        self._beside.append(Path(entry.path))
        return self._beside

    def _digest(self, path: Path) -> str:
        """Return the digest of a file, which is read only if it was changed since the last time."""
        found = record.state(path)
        key = (str(path), found.size, found.modified, found.changed)
        if key not in self._digests:
            self._digests[key] = sha256(path)
            if len(self._digests) > REMEMBERED:
                self._digests.popitem(last=False)
        return self._digests[key]


def not_found(song: Mapping[str, Any]) -> str:
    """Return why a song does not play beside its stems, and what to do about it."""
    name = song["name"]
    return f"the song {name} was not found, or has changed since it was split; name its folder with --songs"

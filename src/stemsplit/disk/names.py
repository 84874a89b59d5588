"""Asks a file system which names it tells apart: those that differ in letter case, or in how accents are encoded."""

import os
import sys
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stemsplit.disk.space import existing_ancestor


@dataclass(frozen=True)
class Distinctions:
    """The differences by which a folder tells names apart.

    Args:
        case: whether `Intro` and `intro` are two files.
        forms: whether a letter with its accent, and the letter followed by the accent, are two files.
    """

    case: bool
    forms: bool

    def key(self, path: str) -> str:
        """Return a text that is equal for two paths if the folder takes them for one."""
        if not self.case:
            path = unicodedata.normalize("NFD", path).casefold() if not self.forms else path.casefold()
        return path if self.forms else unicodedata.normalize("NFC", path)


def _other_form(name: str) -> str:
    composed = unicodedata.normalize("NFC", name)
    return unicodedata.normalize("NFD", name) if composed == name else composed


def _told_apart(folder: Path, names: set[str], change: Callable[[str], str]) -> bool | None:
    """Return whether the folder tells one of its names from the changed name; None if none of them can be changed."""
    for name in names:
        changed = change(name)
        if changed == name:
            continue
        if changed in names:
            return True
        try:
            return not os.path.samestat((folder / name).lstat(), (folder / changed).lstat())
        except FileNotFoundError:
            if os.path.lexists(folder / name):
                return True
        except OSError:
            continue
    return None


def distinctions(path: Path) -> Distinctions:
    """Ask a folder that exists, or the nearest existing one above, which names it tells apart.

    Nothing is written: the names that lie there are looked up in another spelling. A folder without any names is asked
    for its own name in the folder above it. What cannot be asked at all is taken for not told apart, which is safe.
    """
    folder = existing_ancestor(Path(os.path.abspath(path)))  # noqa: PTH100  # links keep their names
    asked: dict[str, bool | None] = {}
    for here in (folder, folder.parent):
        try:
            if here != folder and here.stat().st_dev != folder.stat().st_dev:
                break  # a disk of its own
            names = set(os.listdir(here)) if here == folder else {folder.name}  # noqa: PTH208  # plain names
        except OSError:
            continue
        for kind, change in (("case", str.swapcase), ("forms", _other_form)):
            if asked.get(kind) is None:
                asked[kind] = _told_apart(here, names, change)
    case, forms = bool(asked.get("case")), asked.get("forms")
    # Few folders have accents to ask with. Where case counts, so does their form, except on a Mac.
    return Distinctions(case, forms if forms is not None else case and sys.platform != "darwin")

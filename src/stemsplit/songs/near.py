"""Says what was meant by an argument that names no file: one with another spelling, or not a path at all."""

import os
import re
import shlex
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path, PureWindowsPath

from stemsplit.audio.kinds import EXTENSIONS
from stemsplit.disk.folders import expanded

DASHES = "\u2010\u2011\u2012\u2013\u2014\u2015\u2212"
"""Dashes that editors and web pages put in place of the one that begins options."""

CURLY = "\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f\u00ab\u00bb"
"""Quotes that editors and web pages put in place of those that shells know."""

OPTION = re.compile(rf"[-{DASHES}]*[{DASHES}][-{DASHES}]*([A-Za-z][A-Za-z-]*(=.*)?)")
"""Matches an option with such dashes."""

ADDRESS = re.compile(r"(?i)([a-z][a-z0-9+.-]+)://|www\.|(\w+\.)?(youtube\.com|youtu\.be|soundcloud\.com)/")
"""Matches the beginning of an address."""

WEB = ("http", "https", "")
"""Schemes of web addresses; none, where a browser would add it."""

STORE = re.compile(r"(?i)\s*(s3|gs|az):/*([^/].*)")
"""Matches an address in an object store, also with a slash too few or a space before it."""

LONGEST_RUN = 8
"""Largest number of words that are tried as one name."""

MOST_RUNS = 100
"""Largest number of missing words whose neighbours are tried."""


def key(name: str) -> str:
    """Return what is compared of a name: not case, kinds of spaces, dashes and quotes, and how accents are encoded."""
    text = unicodedata.normalize("NFKC", name).casefold()
    text = re.sub(f"[{DASHES}]", "-", re.sub(f'[{CURLY}"`]', "'", text))
    return " ".join(text.split())


def exists(path: str | Path) -> bool:
    """Return whether there is such a file, folder or link."""
    return os.path.lexists(path)


def from_address(text: str) -> Path | None:
    """Return the path that an address of this machine's files means; None if it is another address or none."""
    match = re.fullmatch(r"(?i)file:(?://(?:localhost)?)?(/(?!/).*)", text)
    if not match:
        return None
    from urllib.request import url2pathname  # imported here: it is slow, and rarely needed

    return Path(url2pathname(match[1]))


class Near:
    """Looks for files by names that are nearly theirs; it lists each folder once."""

    def __init__(self) -> None:
        self.listed: dict[Path, list[str]] = {}

    def names(self, folder: Path) -> list[str]:
        """Return the names in a folder; none if it cannot be listed."""
        if folder not in self.listed:
            try:
                self.listed[folder] = sorted(os.listdir(folder))  # noqa: PTH208  # names only
            except OSError:
                self.listed[folder] = []
        return self.listed[folder]

    def meant(self, text: str) -> Path:
        """Return the path of an argument, if need be as the disk spells it; it need not exist."""
        path = Path(text)
        if exists(path):
            return path
        if (home := expanded(text)) != path:
            return home
        if local := from_address(text):
            return local
        if not text.isascii() and (same := self._followed(path, lambda name: unicodedata.normalize("NFC", name))):
            return same
        return path

    def _followed(self, path: Path, key_of: Callable[[str], str]) -> Path | None:
        """Return the path that is there under each of the path's names, or one with the same key."""
        base = Path(path.anchor)
        for part in path.relative_to(path.anchor).parts:
            name: str | None = part
            if not exists(base / part):
                wanted = key_of(part)
                name = next((name for name in self.names(base) if key_of(name) == wanted), None)
            if name is None:
                return None
            base /= name
        return base

    def closest(self, text: str) -> Path | None:
        """Return the file that a name is most likely to mean: in other case, with other spaces or another suffix."""
        bare = text.strip(CURLY + "\"'` \t\u00a0")
        path = Path(bare or text)
        if bare and bare != text and exists(path):
            return path
        if same := self._followed(path, key):
            return same
        folder = self._followed(path.parent, key)
        if folder is None or path.name in ("", ".."):
            return None
        wanted = {key(path.name)}
        if path.suffix[1:].lower() in EXTENSIONS or path.suffix[1:].isalnum():
            wanted.add(key(path.stem))
        alike = [name for name in self.names(folder) if key(Path(name).stem) in wanted and not name.startswith(".")]
        alike.sort(key=lambda name: Path(name).suffix[1:].lower() not in EXTENSIONS)
        return folder / alike[0] if alike else None

    def advice(self, text: str) -> tuple[str, str]:
        """Return why an argument names no file, and what to write instead; the latter is empty if nothing is near."""
        if match := ADDRESS.match(text):
            if (match[1] or "").lower() in WEB:
                return "it is a web address", "download the song first, for instance with yt-dlp -x, and name its file"
            return "it is an address", "copy or mount the file first, and name it by its path"
        missing = "there is no such file"
        if match := STORE.fullmatch(text):
            return missing, f"did you mean {f'{match[1].lower()}://{match[2]}'!r}?"
        if os.name == "posix" and (match := re.match(r"([A-Za-z]):(?!/)(.)", text)):
            place = "/".join([f"/mnt/{match[1].lower()}", *PureWindowsPath(text).parts[1:]])
            if "\\" not in text:  # the shell took them
                return missing, "if it is a path of Windows, put quotes around it, or write it with / as WSL does"
            return "it is a path of Windows", f"in WSL, write {shlex.quote(place)}"
        if near := self.closest(text):
            return missing, f"did you mean {str(near)!r}?"
        if "$" in text and (value := os.path.expandvars(text)) != text:
            return missing, f"in single quotes, $ stands for itself; did you mean {value!r}?"
        return missing, "only playlists (.m3u) have comments; remove the line" if text.startswith("# ") else ""

    def problem(self, path: Path, text: str) -> str:
        """Return why a missing song cannot be read, if more can be said than that; else nothing."""
        if exists(path):
            return ""
        why, what = self.advice(text if path == Path(text) else str(path))
        return f"cannot read {text} ({why}); {what}" if what else ""


def check_marks(words: Sequence[str]) -> None:
    """Refuse arguments that an editor or a web page spoiled, before anything is done.

    Raises:
        ValueError: one begins with a typographic dash or quote.
    """
    for word in words:
        if exists(word):
            continue
        if match := OPTION.fullmatch(word):
            name = match[1].partition("=")[0]
            option = f"{'-' if len(name) == 1 else '--'}{match[1]}"
            raise ValueError(f"{word!r} begins with a typographic dash; type {option}")
        if word[:1] and word[0] in CURLY:
            raise ValueError(f"{word!r} begins with a typographic quote, which shells do not know; type ' or \"")


def check_words(words: Sequence[str]) -> None:
    """Refuse arguments that are one name with spaces, or a song that would be taken for options.

    Raises:
        ValueError: there are such arguments.
    """
    for word in words:
        if word == "--":
            break
        if re.match("-[^-]", word) and Path(word).suffix[1:].lower() in EXTENSIONS and exists(word):
            raise ValueError(f"{word!r} would be taken for options; write ./{word}")
    missing = [place for place, word in enumerate(words) if not exists(word)]
    for place in missing[:MOST_RUNS]:
        for first in range(max(0, place - LONGEST_RUN + 1), place + 1):
            for end in range(max(place + 1, first + 2), min(len(words), first + LONGEST_RUN) + 1):
                name = " ".join(words[first:end])
                if exists(name):
                    raise ValueError(f"there is no file {words[place]!r}, but {name!r}; put quotes around its name")

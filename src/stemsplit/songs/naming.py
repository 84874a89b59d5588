"""Names the files of a song by templates such as `{track}/{stem}`."""

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePath
from string import Formatter

from stemsplit.disk.limits import USUAL_NAME
from stemsplit.words import did_you_mean

DEFAULT = "{track}/{stem}"

FIELDS = ("track", "stem", "model", "parent", "ext", "artist", "title")

RECORD = "stemsplit"
"""Stands in for the stem in the name of the song's record."""

LONGEST = USUAL_NAME
"""Longest name of a file or folder in bytes, if the disk does not say otherwise."""

SUFFIX_ROOM, STEM_ROOM = 8, 32
"""Bytes that every name leaves free for a suffix and for a stem, so that long names are cut alike for all stems."""

# Control characters, the backslash, which Windows takes for a slash, and the surrogates that cannot be encoded. A byte
# that is not UTF-8 stays: Python holds it as one of the other surrogates.
BARRED = r"\x00-\x1f\x7f-\x9f\\\ud800-\udc7f\udd00-\udfff"
UNSAFE = re.compile(f"[{BARRED}]")
UNSAFE_VALUE = re.compile(f"[{BARRED}/{'<>:|?*' + chr(34) if os.name == 'nt' else ''}]")

RESERVED = re.compile(r"(?i)(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])\s*(\..*)?")
"""Names that Windows reserves for devices, with any suffix."""

Piece = tuple[str, str]
"""Literal text and the name of a field, one of which is empty."""


def pieces(text: str) -> Iterator[Piece]:
    """Yield the literal texts and the fields of a template, in its order.

    Raises:
        ValueError: braces do not match, or a field is unknown or has a format or a conversion.
    """
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"the braces of {text!r} do not match; for a brace in a name, write {{{{ or }}}}") from error
    for literal, name, spec, conversion in parsed:
        if literal:
            yield literal, ""
        if name is None:
            continue
        if name not in FIELDS:
            known = [f"{{{field}}}" for field in FIELDS]
            hint = did_you_mean(f"{{{name.strip().lower()}}}", known) or f"; use {', '.join(known)}"
            raise ValueError(f"{{{name}}} is not a field of a name{hint}")
        if spec or conversion:
            raise ValueError(f"{{{name}}} in {text!r} must stand in its braces alone, without : or !")
        yield "", name


def components(text: str, longest: int = LONGEST, needs_stem: bool = True) -> tuple[tuple[Piece, ...], ...]:
    """Return the pieces of each part of a template's path: of each folder's name, and of the file's.

    Raises:
        ValueError: the template cannot name the stems of a song.
    """
    if not text or text.endswith("/"):
        raise ValueError(f"{text!r} gives the file no name")
    if needs_stem and ("", "stem") not in pieces(text):
        raise ValueError(f"{text!r} has no {{stem}}, so that all stems would be the same file")
    if UNSAFE.search(text):
        raise ValueError(f"{text!r} has a character that names must not have; separate folders with /")
    path = PurePath(text)
    if path.anchor or any(not part.strip(". ") for part in path.parts):
        raise ValueError(f"{text!r} leads out of the output folder, or has a name of dots only; choose folders with -o")
    parts = tuple(tuple(pieces(part)) for part in path.parts)
    for part in parts:
        if sum(STEM_ROOM if name == "stem" else size(literal) for literal, name in part) > longest - SUFFIX_ROOM:
            raise ValueError(f"{text!r} is too long; a name has at most {longest} bytes")
    return parts


def size(text: str) -> int:
    """Return the bytes that a text takes in a file's name."""
    return len(text.encode("utf-8", "surrogateescape"))


def cut(text: str, limit: int) -> str:
    """Return the longest beginning of a text that takes at most `limit` bytes."""
    if size(text) <= limit:
        return text
    return text[: sum(total <= limit for total in accumulate(map(size, text)))]


@lru_cache(1024)
def named(text: str, component: tuple[Piece, ...], longest: int = LONGEST) -> str:
    """Return a text as the name of a folder or file that is valid on every system, with room for a suffix."""
    name = cut(text, longest - SUFFIX_ROOM)
    # A dot at the beginning hides the file, which only the template itself may ask for, not a tag.
    if name.startswith(".") and not component[0][0]:
        name = "_" + name[1:]
    name = name.rstrip(". ") or "_"
    # The same on all systems, as folders of stems are copied between them. The cut above left room for the `_`.
    return f"_{name}" if RESERVED.fullmatch(name) else name


def rendered(component: tuple[Piece, ...], values: Mapping[str, str], longest: int = LONGEST) -> str:
    """Fill in the name of a folder or file. Long values are cut, the longest first, but not stems and literal text."""
    texts = [literal or values[name] for literal, name in component]
    if len(component) == 1 and component[0][1] in ("", "stem"):
        return named(texts[0], component, longest)
    sizes = [size(text) for text in texts]
    kept = [max(size, STEM_ROOM) if name == "stem" else size for size, (_, name) in zip(sizes, component, strict=True)]
    over = sum(kept) - (longest - SUFFIX_ROOM)
    for index in sorted(range(len(texts)), key=lambda index: -sizes[index]):
        if over > 0 and component[index][1] not in ("", "stem"):
            texts[index] = cut(texts[index], max(sizes[index] - over, 0))
            over -= sizes[index] - size(texts[index])
    return named("".join(texts), component, longest)


@lru_cache(1024)
def of_stem(component: tuple[Piece, ...], stem: str, longest: int) -> str:
    """Return the name of a folder or file that depends on nothing but the stem, which all songs of a run share."""
    return rendered(component, {"stem": UNSAFE_VALUE.sub("_", stem)}, longest)


def folded(text: str) -> str:
    """Return a path with letter case and encodings of accents made the same, as some file systems compare paths."""
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@dataclass(frozen=True)
class Template:
    """A template for the paths of files, with fields such as `{track}`.

    Args:
        text: template as typed.
        longest: most bytes of a file's or folder's name, which the disk decides.
        needs_stem: whether each stem has a file of its own, so that the template must have the field `{stem}`.

    Raises:
        ValueError: the template cannot name the stems of a song.
    """

    text: str = DEFAULT
    longest: int = LONGEST
    needs_stem: bool = True
    parts: tuple[tuple[Piece, ...], ...] = field(init=False, repr=False, compare=False)
    is_by_stem: bool = field(init=False, repr=False, compare=False)
    """Whether the names that contain the stem contain no other field."""
    is_folder: bool = field(init=False, repr=False, compare=False)
    """Whether, besides, only the last of several names contains the stem, so that a song's files share a folder."""

    def __post_init__(self) -> None:
        parts = components(self.text, self.longest, self.needs_stem)
        with_stem = [part for part in parts if ("", "stem") in part]
        is_by_stem = all(name in ("", "stem") for part in with_stem for _, name in part)
        object.__setattr__(self, "parts", parts)
        object.__setattr__(self, "is_by_stem", is_by_stem)
        object.__setattr__(self, "is_folder", is_by_stem and len(parts) > 1 and with_stem == [parts[-1]])

    @property
    def needs_tags(self) -> bool:
        """Whether the template has fields that come from the song's tags."""
        return any(name in ("artist", "title") for part in self.parts for _, name in part)

    def path(
        self, *, track: str, stem: str, model: str, parent: str, ext: str, artist: str | None, title: str | None
    ) -> Path:
        """Return the path of a stem below the output folder, without its suffix.

        No part of the path is empty, `.`, `..` or, with a suffix of up to 8 bytes, longer than `longest` bytes. Add the
        suffix to the name as text: the name may have dots, and `with_suffix` would replace what follows the last.

        Args:
            track: name of the song, from `track_of`.
            stem: name of the stem.
            model: name of the model.
            parent: name of the song's folder.
            ext: suffix of the song, without its dot.
            artist: artist of the song; None or blank if unknown.
            title: title of the song; None or blank for `track`.
        """
        song = self.of_song(track=track, model=model, parent=parent, ext=ext, artist=artist, title=title)
        return Path(song.path(stem))

    def of_song(
        self, *, track: str, model: str, parent: str, ext: str, artist: str | None, title: str | None
    ) -> "Names":
        """Return the names of one song's files; the arguments are those of `path`."""
        title = (title or "").strip() or track
        artist = (artist or "").strip() or "unknown artist"
        values = dict(zip(FIELDS, (track, "", model, parent, ext, artist, title), strict=True))
        safe = values  # one dictionary instead of two for each of many songs
        if UNSAFE_VALUE.search("".join(values.values())):
            safe = {name: UNSAFE_VALUE.sub("_", value) for name, value in values.items()}
        steps = tuple(None if ("", "stem") in part else rendered(part, safe, self.longest) for part in self.parts)
        return Names(self, values, safe, steps)


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one song's files, filled in except for the stem.

    Args:
        template: template of the names.
        values: value of each field but the stem.
        safe: the same values without characters that names must not have.
        steps: name of each folder and of the file; None for names that contain the stem.
    """

    template: Template
    values: Mapping[str, str]
    safe: Mapping[str, str]
    steps: tuple[str | None, ...]

    def path(self, stem: str) -> str:
        """Return the path of a stem below the output folder, without its suffix."""
        steps = zip(self.steps, self.template.parts, strict=True)
        return "/".join([self._step(part, stem) if step is None else step for step, part in steps])

    def paths(self, stems: Sequence[str]) -> list[str]:
        """Return `path` of some stems."""
        if not self.template.is_folder:
            return [*map(self.path, stems)]
        folder, last = self.folder, self.template.parts[-1]
        return [f"{folder}/{of_stem(last, stem, self.template.longest)}" for stem in stems]

    @property
    def folder(self) -> str:
        """Path of the folder that all files of the song lie in, if the template's `is_folder` says so."""
        return self.steps[0] or "" if len(self.steps) == 2 else "/".join([step or "" for step in self.steps[:-1]])

    def _step(self, part: tuple[Piece, ...], stem: str) -> str:
        """Return a name that contains the stem."""
        if self.template.is_by_stem:  # quickly: a plan may have hundreds of thousands of songs
            return of_stem(part, stem, self.template.longest)
        return rendered(part, {**self.safe, "stem": UNSAFE_VALUE.sub("_", stem)}, self.template.longest)

    @property
    def whole(self) -> str:
        """Path of a file that holds all stems, without its suffix: that of a stem named like the song."""
        return self.path(self.values["track"])

    @property
    def record(self) -> str:
        """Path of the song's record: that of a stem named `stemsplit`, with the suffix `.json`."""
        path = self.paths([RECORD])[0]
        return f"{path}.json" if None in self.steps else f"{path}.{RECORD}.json"

    def meant(self, stem: str) -> str:
        """Return what `path` would return if files could have any name."""
        return "/".join(self._meant(part, stem) for part in self.template.parts)

    def _meant(self, part: tuple[Piece, ...], stem: str) -> str:
        return "".join([literal or (stem if name == "stem" else self.values[name]) for literal, name in part])

    def are_changed(self, stems: Sequence[str]) -> bool:
        """Return whether `path` is not what is `meant` for one of some stems."""
        for step, part in zip(self.steps, self.template.parts, strict=True):
            if step is None:
                if any(self._step(part, stem) != self._meant(part, stem) for stem in stems):
                    return True
            elif step != self._meant(part, ""):
                return True
        return False


def track_of(song: Path) -> str:
    """Return the name of a song's file without its suffix, or with it if only dots would be left."""
    return song.stem if song.stem.strip(". ") else song.name

"""Knows what the files of a song are called: templates like `{track}/{stem}`."""

import os
import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from functools import lru_cache
from itertools import accumulate
from pathlib import Path, PurePath
from string import Formatter

DEFAULT = "{track}/{stem}"

FIELDS = ("track", "stem", "model", "parent", "ext", "artist", "title")

RECORD = "stemsplit"
"""In place of a stem, it names the song's own record."""

LONGEST = 255
"""Bytes of a name, on all usual file systems."""

SUFFIX_ROOM, STEM_ROOM = 8, 32
"""Bytes that are kept free for a suffix and for a stem, the same for all stems: what they share is cut alike."""

# Control characters, what Windows takes for a slash, and halves of characters that no file's name can hold. A byte that
# is no UTF-8 stays: Python keeps it as one of the halves in between.
BARRED = r"\x00-\x1f\x7f-\x9f\\\ud800-\udc7f\udd00-\udfff"
UNSAFE = re.compile(f"[{BARRED}]")
UNSAFE_VALUE = re.compile(f"[{BARRED}/{'<>:|?*' + chr(34) if os.name == 'nt' else ''}]")

RESERVED = re.compile(r"(?i)(CON|PRN|AUX|NUL|CONIN\$|CONOUT\$|(COM|LPT)[0-9\u00b9\u00b2\u00b3])\s*(\..*)?")
"""Names that Windows keeps for devices, with any suffix."""

Piece = tuple[str, str]
"""Literal text, or the name of a field; the other one is empty."""


def pieces(text: str) -> Iterator[Piece]:
    """The literal text and the fields of a template, in its order.

    Raises:
        ValueError: its braces do not match, or a field is unknown, or has a format or a conversion.
    """
    try:
        parsed = list(Formatter().parse(text))
    except ValueError as error:
        raise ValueError(f"the braces of {text!r} do not match; {{{{ and }}}} stand for braces as such") from error
    for literal, name, spec, conversion in parsed:
        if literal:
            yield literal, ""
        if name is None:
            continue
        if name not in FIELDS:
            close = get_close_matches(name.strip().lower(), FIELDS, 1)
            known = ", ".join(f"{{{field}}}" for field in FIELDS)
            hint = f"did you mean {{{close[0]}}}?" if close else f"there are {known}"
            raise ValueError(f"{{{name}}} is no part of a name; {hint}")
        if spec or conversion:
            raise ValueError(f"{{{name}}} in {text!r} stands alone in its braces, without : or !")
        yield "", name


def components(text: str) -> tuple[tuple[Piece, ...], ...]:
    """The pieces of each folder's name and of the file's.

    Raises:
        ValueError: it cannot name the stems of a song.
    """
    if not text or text.endswith("/"):
        raise ValueError(f"{text!r} leaves the file without a name")
    if ("", "stem") not in pieces(text):
        raise ValueError(f"{text!r} has no {{stem}}: every stem would be the same file")
    if UNSAFE.search(text):
        raise ValueError(f"{text!r} holds a character that no name should; folders are written with /")
    path = PurePath(text)
    if path.anchor or any(not part.strip(". ") for part in path.parts):
        raise ValueError(f"{text!r} leaves the output folder, or has a name of dots alone; choose the folder with -o")
    parts = tuple(tuple(pieces(part)) for part in path.parts)
    for part in parts:
        if sum(STEM_ROOM if name == "stem" else size(literal) for literal, name in part) > LONGEST - SUFFIX_ROOM:
            raise ValueError(f"{text!r} is too long for a name, which has at most {LONGEST} bytes")
    return parts


def size(text: str) -> int:
    """Bytes that it takes in a file's name."""
    return len(text.encode("utf-8", "surrogateescape"))


def cut(text: str, limit: int) -> str:
    """As many of its first characters as take at most `limit` bytes."""
    if size(text) <= limit:
        return text
    return text[: sum(total <= limit for total in accumulate(map(size, text)))]


@lru_cache(1024)
def named(text: str, component: tuple[Piece, ...]) -> str:
    """A text as the name of a folder or a file, on every system; there is room for a suffix."""
    name = cut(text, LONGEST - SUFFIX_ROOM)
    # A dot that the template itself begins with is meant to hide the file; one out of a tag is not.
    if name.startswith(".") and not component[0][0]:
        name = "_" + name[1:]
    name = name.rstrip(". ") or "_"
    # On all systems alike, as folders of stems are carried from one to another. There is room for one byte more.
    return f"_{name}" if RESERVED.fullmatch(name) else name


def rendered(component: tuple[Piece, ...], values: Mapping[str, str]) -> str:
    """The name of a folder or a file: long values are cut, the longest first, but no stem and no literal text."""
    texts = [literal or values[name] for literal, name in component]
    if len(component) == 1 and component[0][1] in ("", "stem"):
        return named(texts[0], component)
    sizes = [size(text) for text in texts]
    kept = [max(size, STEM_ROOM) if name == "stem" else size for size, (_, name) in zip(sizes, component, strict=True)]
    over = sum(kept) - (LONGEST - SUFFIX_ROOM)
    for index in sorted(range(len(texts)), key=lambda index: -sizes[index]):
        if over > 0 and component[index][1] not in ("", "stem"):
            texts[index] = cut(texts[index], max(sizes[index] - over, 0))
            over -= sizes[index] - size(texts[index])
    return named("".join(texts), component)


def folded(text: str) -> str:
    """A path as the least discerning file systems tell it from others: by no letter case, in one form of accents."""
    if text.isascii():
        return text.casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())


@dataclass(frozen=True)
class Template:
    """How files are called, with folders, `{track}` and so on.

    Args:
        text: as typed.

    Raises:
        ValueError: it cannot name the stems of a song.
    """

    text: str = DEFAULT
    parts: tuple[tuple[Piece, ...], ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "parts", components(self.text))

    @property
    def needs_tags(self) -> bool:
        """Whether the song's tags have to be read."""
        return any(name in ("artist", "title") for part in self.parts for _, name in part)

    def path(
        self, *, track: str, stem: str, model: str, parent: str, ext: str, artist: str | None, title: str | None
    ) -> Path:
        """Where a stem goes, below the output folder, without its suffix.

        The suffix is to be added to the name, which may hold dots of its own: `with_suffix` would take these for one.
        No part of it is empty, `.`, `..` or, with a suffix of up to 8 bytes, longer than 255 bytes.

        Args:
            track: from `track_of` the song.
            stem: the stem's name.
            model: the model's name.
            parent: name of the folder that the song lies in.
            ext: the song's suffix, without its dot.
            artist: the song's; None or blank if it does not tell.
            title: the song's; `track` stands in for it.
        """
        song = self.of_song(track=track, model=model, parent=parent, ext=ext, artist=artist, title=title)
        return Path(song.path(stem))

    def of_song(
        self, *, track: str, model: str, parent: str, ext: str, artist: str | None, title: str | None
    ) -> "Names":
        """What the files of one song are called; arguments as `path` has them."""
        title = (title or "").strip() or track
        artist = (artist or "").strip() or "unknown artist"
        values = dict(zip(FIELDS, (track, "", model, parent, ext, artist, title), strict=True))
        safe = {name: UNSAFE_VALUE.sub("_", value) for name, value in values.items()}
        if safe == values:
            safe = values
        steps = tuple(None if ("", "stem") in part else rendered(part, safe) for part in self.parts)
        return Names(self, values, safe, steps)


@dataclass(frozen=True, slots=True)
class Names:
    """What the files of one song are called, whatever the stem.

    Args:
        template: how.
        values: what stands for each field but the stem.
        safe: the same without what no name may hold.
        steps: name of each folder and of the file; None for those that have the stem in them.
    """

    template: Template
    values: Mapping[str, str]
    safe: Mapping[str, str]
    steps: tuple[str | None, ...]

    def path(self, stem: str) -> str:
        """Where a stem goes, below the output folder, without its suffix."""
        safe = {**self.safe, "stem": UNSAFE_VALUE.sub("_", stem)}
        steps = zip(self.steps, self.template.parts, strict=True)
        return "/".join([rendered(part, safe) if step is None else step for step, part in steps])

    @property
    def record(self) -> str:
        """Where the song's own record goes: as a stem called `stemsplit` would, with its suffix."""
        return f"{self.path(RECORD)}.json"

    def meant(self, stem: str) -> str:
        """What `path` would give if a file could have any name."""
        values = {**self.values, "stem": stem}
        return "/".join("".join(literal or values[name] for literal, name in part) for part in self.template.parts)


def track_of(song: Path) -> str:
    """A song's name without its suffix; with it where nothing but dots would be left."""
    return song.stem if song.stem.strip(". ") else song.name

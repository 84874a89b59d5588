"""Holds what tags say: several values each, and a picture."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

KEYS = (
    "title",
    "artist",
    "album",
    "albumartist",
    "tracknumber",
    "tracktotal",
    "discnumber",
    "disctotal",
    "date",
    "genre",
)
"""The tags that are kept. A number and its total are two tags only where a file says them in two, else one: 3/12."""

LONGEST = 1_000
"""Largest number of characters kept of a value: libsndfile writes broken headers when they get too large."""

MOST = 100
"""Largest number of values kept of a tag."""

LARGEST_TEXT = 1 << 16
"""Largest size in bytes of a text that is read."""

LARGEST_PICTURE = 16_000_000
"""Largest size in bytes of a picture that is kept: a FLAC holds no larger one."""

LARGEST = 1 << 26
"""Largest size in bytes of a block of tags, pictures included, that is read at once; larger ones are skipped."""

MANY = 10_000
"""Largest number of parts (frames, comments, atoms ...) of a file that are looked at for tags."""

FRONT = 3
"""The kind of picture that is a front cover, in ID3 and FLAC."""

UNWANTED = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]+")

Texts = Mapping[str, tuple[str, ...]]
"""Tag -> its values."""


def cleaned(tags: Mapping[str, str | Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Return the tags in `KEYS` that are not blank, in that order, each value shortened, on one line, and once."""
    kept: dict[str, tuple[str, ...]] = {}
    for key in KEYS:
        values = tags.get(key, ())
        lines = (
            UNWANTED.sub(" ", value).strip()[:LONGEST] for value in ([values] if isinstance(values, str) else values)
        )
        if texts := tuple(dict.fromkeys(filter(None, lines)))[:MOST]:
            kept[key] = texts
    return kept


def joined(values: Iterable[str]) -> str:
    """Return a tag's values as one text, for places that hold only one."""
    return ", ".join(values)[:LONGEST]


def counted(tags: Texts) -> dict[str, tuple[str, ...]]:
    """Return the tags with each total behind its number, as in 3/12."""
    found = dict(tags)
    for kind in ("track", "disc"):
        total, number = found.pop(f"{kind}total", ()), found.get(f"{kind}number", ())
        if total and number and "/" not in number[0]:
            found[f"{kind}number"] = (f"{number[0]}/{total[0]}",)
    return found


def text(raw: bytes) -> str:
    """Decode a tag's bytes: as UTF-8, or else in the encoding of old Windows programs."""
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw.decode("cp1252", "replace")


@dataclass
class Found:
    """Collects what the tags of a file say. What is found first counts.

    Args:
        texts: tag -> its values.
        picture: cover art, a front cover if there is one; empty if there is none.
        oversized: size in bytes of the cover art that is too large to be kept; 0 if it is not.
        rank: how unlikely `picture` is to be the front cover.
    """

    texts: dict[str, list[str]] = field(default_factory=dict)
    picture: bytes = b""
    oversized: int = 0
    rank: int = 256

    def add(self, key: str, value: str) -> None:
        """Add a value of a tag."""
        values = self.texts.setdefault(key, [])
        if len(values) <= MOST:
            values.append(value)

    def offer(self, kind: int, size: int, read: Callable[[], bytes]) -> None:
        """Take a picture if it is more likely the front cover than the one before.

        Args:
            kind: kind of picture by ID3's and FLAC's numbers.
            size: size in bytes.
            read: function that returns the picture.
        """
        rank = {FRONT: 0, 0: 1}.get(kind, 2)
        if not size or rank >= self.rank:
            return
        large = size > LARGEST_PICTURE
        self.rank, self.picture, self.oversized = rank, b"" if large else read(), size if large else 0

    def fill(self, other: "Found") -> None:
        """Add what other tags of the same file say of what these do not."""
        mine = cleaned(self.texts)
        # A total belongs to its number.
        also = {"tracktotal": "tracknumber", "disctotal": "discnumber"}
        for key, values in other.texts.items():
            if key not in mine and also.get(key) not in mine:
                self.texts[key] = values
        if other.rank < 256 and self.rank == 256:
            self.picture, self.oversized, self.rank = other.picture, other.oversized, other.rank

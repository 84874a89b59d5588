"""How figures and names are put for people."""

import math
import re
import unicodedata
from collections.abc import Iterable


def size(count: int) -> str:
    """A number of bytes for people."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count else "?"


def minutes(seconds: float) -> str:
    """12:34, or 1:02:03 from an hour on."""
    whole = round(seconds)
    hours, rest = divmod(whole, 3600)
    return f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"


def printable(text: str) -> str:
    """The text with escapes in place of control characters, which file names may hold and terminals obey."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def natural(name: str) -> tuple[list[str | int], str]:
    """Sorts names as a person would: `2` before `10`, letter case and the way accents are stored left aside."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFD", name).casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint at the name that a mistyped one is closest to, or nothing."""
    from difflib import get_close_matches  # only here: `list` is to start fast

    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


def clock(seconds: float, exact: bool = False) -> str:
    """A time as players show it, or to the millisecond: 3:07, 1:03:07, 3:07.250."""
    hours, rest = divmod(math.floor(seconds), 3600)
    shown = f"{hours}:{rest // 60:02}:{rest % 60:02}" if hours else f"{rest // 60}:{rest % 60:02}"
    return shown + (f".{math.floor(seconds % 1 * 1000):03}" if exact else "")


def stamp(seconds: float) -> str:
    """A time to the millisecond at most: 1:00, 1:03:07.25."""
    whole, rest = divmod(round(1000 * seconds), 1000)
    return clock(whole) + (f".{rest:03}".rstrip("0") if rest else "")

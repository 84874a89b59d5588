"""Words times, sizes, counts and names for people."""

import re
import unicodedata
from collections.abc import Iterable


def size(count: int) -> str:
    """Return a number of bytes in MB or GB; 0 stands for an unknown number and gives `?`."""
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB" if count else "?"


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 song, 2 songs, 2 processes."""
    plural = "es" if noun.endswith("s") else "s"
    return f"{number} {noun}{'' if number == 1 else plural}"


def clock(seconds: float, decimals: int = 0) -> str:
    """Return a time as players show it, rounded: 3:07, or 1:03:07 from an hour on.

    Args:
        seconds: time in seconds.
        decimals: number of decimals to round to; zeros at the end are left out: 3:07.25, 1:00.
    """
    whole, fraction = divmod(round(10**decimals * seconds), 10**decimals)
    minutes, second = divmod(whole, 60)
    hours, minute = divmod(minutes, 60)
    shown = f"{hours}:{minute:02}:{second:02}" if hours else f"{minute}:{second:02}"
    return shown + (f".{fraction:0{decimals}}".rstrip("0") if fraction else "")


def printable(text: str) -> str:
    """Return the text with its control characters escaped: file names may hold them, and terminals obey them."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


def natural(name: str) -> tuple[list[str | int], str]:
    """Return a sort key that puts `2` before `10`, and ignores letter case and how accents are encoded."""
    parts = re.split(r"(\d+)", unicodedata.normalize("NFD", name).casefold())
    return [int(part) if index % 2 else part for index, part in enumerate(parts)], name


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is closest to a mistyped one; empty if none is close."""
    from difflib import get_close_matches  # imported here, so that `list` starts fast

    close = get_close_matches(name, list(known), 1)
    return f"; did you mean {close[0]!r}?" if close else ""


UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
"""First letter of a unit -> its bytes."""


def bytes_in(text: str) -> int:
    """Return the number of bytes that a size means, such as 6G, 6 GB, 6GiB, 500M or 6000000000.

    Raises:
        ValueError: the text is not a size, or it is none at all.
    """
    match = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,15})?)\s*([kmgt]?)(i?)(b?)\s*", text, re.I | re.A)
    if not match or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is not a size; write 6G, 500M or 6GiB")
    unit = UNITS[match[2].lower()]
    count = float(match[1]) * (1 << 10 * list(UNITS.values()).index(unit) if match[3] else unit)
    if count < 1:
        raise ValueError(f"{text!r} is not a size; it must be at least one byte")
    return int(count)

"""Puts the page together from its files: for the server here, and for a file of its own in `standalone`."""

from functools import cache
from importlib import resources

SCRIPTS = (
    "served.js",
    "embedded.js",
    "timeline.js",
    "deck.js",
    "speakers.js",
    "player.js",
    "words.js",
    "moments.js",
    "elements.js",
    "mix.js",
    "view.js",
    "waveform.js",
    "fft.js",
    "spectrogram.js",
    "output.js",
    "desk.js",
    "lanes.js",
    "rows.js",
    "tracks.js",
    "transport.js",
    "blind.js",
    "comparison.js",
    "songs.js",
    "keys.js",
    "page.js",
)
"""Scripts of the page, in the order in which they are loaded: later ones use earlier ones."""

STYLES = ("style.css",)
"""Style sheets of the page."""

KINDS = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
}
"""Suffix of a file -> its media type."""


@cache
def text(name: str) -> str:
    """Return a file of the page.

    Args:
        name: one of `SCRIPTS` or `STYLES`, `index.html`, `run.html` or `run.js`.

    Raises:
        FileNotFoundError: there is no such file.
    """
    return (resources.files("stemsplit.listening") / "page" / name).read_text(encoding="utf-8")


def index(styles: str, scripts: str, data: str = "") -> str:
    """Return the page with its styles, scripts and data in their places.

    Args:
        styles: HTML that brings the style sheets.
        scripts: HTML that brings the scripts.
        data: HTML that brings what a page in one file plays.
    """
    page = text("index.html")
    for name, value in (("styles", styles), ("scripts", scripts), ("data", data)):
        page = page.replace(f"<!-- {name} -->", value, 1)
    return page


def served() -> str:
    """Return the page that the server shows."""
    styles = "\n".join(f'<link rel="stylesheet" href="app/{name}">' for name in STYLES)
    scripts = "\n".join(f'<script src="app/{name}" defer></script>' for name in SCRIPTS)
    return index(styles, scripts)

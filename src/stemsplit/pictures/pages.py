"""Frames pictures and tables as one page that needs nothing else: no script, no address, a strict content policy."""

import base64
import hashlib
from collections.abc import Iterable, Sequence

from stemsplit.pictures.svg import text_of

MARK = b'<meta name="generator" content="stemsplit report">'
"""Stands at the beginning of every such page, so that a later run knows that it may replace the page."""

SIZES = """
*{box-sizing:border-box}
body{font:1rem/1.5 system-ui,sans-serif;margin:0 auto;padding:1rem;max-width:76rem;background:var(--paper);
 color:var(--ink);overflow-wrap:anywhere}
h1{font-size:1.5rem;line-height:1.25;margin:.5rem 0}
h2{font-size:1.2rem;margin:2rem 0 .5rem}
h3{font-size:1rem;margin:1rem 0 .3rem}
.pictures{margin-top:1rem;display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,22rem),1fr));gap:1.5rem;
 align-items:start}
figure{margin:0;max-width:36rem}
figcaption{font-weight:600;margin-bottom:.3rem}
.picture{display:block;width:100%;height:auto}
.scroll{overflow-x:auto}
table{border-collapse:collapse;margin:.5rem 0;font-size:.9rem;overflow-wrap:normal}
th,td{padding:.2rem .6rem;text-align:left;border-bottom:1px solid var(--line);vertical-align:top}
.number{text-align:right;font-variant-numeric:tabular-nums;white-space:nowrap}
summary{cursor:pointer;padding:.3rem 0;color:var(--link)}
a{color:var(--link)}
code{font:.85rem ui-monospace,monospace;user-select:all;white-space:nowrap}
:focus-visible{outline:3px solid var(--link);outline-offset:2px}
.picture text{font:12px system-ui,sans-serif;fill:var(--ink)}
.picture .tick,.picture .axis{fill:var(--faint)}
.picture .grid{stroke:var(--line)}
.picture .mark{stroke:var(--ink);stroke-width:2}
.picture .second{stroke-dasharray:3 2}
.picture .line{fill:none;stroke-width:2;stroke-linejoin:round}
.picture .dot{fill-opacity:.75;stroke:var(--paper);stroke-width:.5}
"""

LIGHT = {"paper": "#fff", "ink": "#1b1d21", "faint": "#5b6068", "line": "#d9dce1", "link": "#0b57b7"}
DARK = {"paper": "#15171b", "ink": "#e9ebee", "faint": "#a3a9b3", "line": "#3a3f47", "link": "#8ab8ff"}
LIGHT_SERIES = ("#0b62b4", "#b24a00", "#00775a", "#9b3a86", "#7a6000", "#2a7f9e", "#a02c2c", "#4d5560")
DARK_SERIES = ("#6fb1ff", "#ff9a52", "#3fcf9f", "#e08fd0", "#e0c040", "#6fd0f0", "#ff8585", "#b5bdc9")


def _colours(named: dict[str, str], series: Sequence[str]) -> str:
    every = {**named, **{f"s{index}": colour for index, colour in enumerate(series)}}
    return "".join(f"--{name}:{colour};" for name, colour in every.items())


def _style() -> str:
    kinds = "".join(
        f".picture .line.series-{index}{{stroke:var(--s{index})}}"
        f".picture .dot.series-{index},.picture .bar.series-{index}{{fill:var(--s{index})}}"
        for index in range(len(LIGHT_SERIES))
    )
    light = f":root{{color-scheme:light dark;{_colours(LIGHT, LIGHT_SERIES)}}}"
    dark = f"@media(prefers-color-scheme:dark){{:root{{{_colours(DARK, DARK_SERIES)}}}}}"
    return f"{light}{dark}{SIZES}{kinds}"


STYLE = _style()
"""The style sheet of a page and its pictures, in a light and a dark theme."""


class Html(str):
    """Text that is HTML already. All other text is escaped."""

    __slots__ = ()


def html(value: str) -> Html:
    """Return a text as HTML."""
    return value if isinstance(value, Html) else Html(text_of(value))


def element(name: str, *content: str, kind: str = "") -> Html:
    """Return an element with this content, and a class if there is a `kind`."""
    kinds = f' class="{kind}"' if kind else ""
    return Html(f"<{name}{kinds}>{''.join(map(html, content))}</{name}>")


def link(address: str, text: str) -> Html:
    """Return a link to an address, which the caller has encoded and found harmless."""
    return Html(f'<a href="{text_of(address)}">{html(text)}</a>')


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> Html:
    """Return a table.

    Args:
        caption: what the table holds, for a screen reader.
        headings: name of each column; `Html` for a column of `Html`.
        rows: cells of each row; the first one is the row's name.
        words: number of columns, from the left, that hold words; the others hold numbers, except those of `Html`.
    """

    def line(cells: Sequence[str], heads: str = "") -> str:
        parts = []
        for index, value in enumerate(cells):
            kind = ' class="number"' if index >= words and not isinstance(value, Html) else ""
            scope = heads or ("row" if not index else "")
            parts.append(f'<th scope="{scope}"{kind}>{html(value)}</th>' if scope else f"<td{kind}>{html(value)}</td>")
        return f"<tr>{''.join(parts)}</tr>"

    area = f'<div class="scroll" role="region" tabindex="0" aria-label="{text_of(caption)}">'
    body = "".join(map(line, rows))
    return Html(f"{area}<table><thead>{line(headings, 'col')}</thead><tbody>{body}</tbody></table></div>")


def folded(summary: str, *content: str) -> Html:
    """Return content that is shown when its summary is opened."""
    return element("details", element("summary", summary), *content)


def figure(caption: str, drawn: str, headings: Sequence[str], rows: Iterable[Sequence[str]], words: int = 1) -> Html:
    """Return a picture with its caption, and a table of the same figures, as `table` makes it."""
    return element(
        "figure",
        element("figcaption", caption),
        Html(drawn),
        folded("The figures as a table", table(caption, headings, rows, words)),
    )


def page(title: str, *content: str) -> bytes:
    """Return a whole page."""
    digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    head = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n{MARK.decode()}\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n'
        f"<title>{text_of(title)}</title>\n<style>{STYLE}</style>\n</head>\n"
    )
    body = "\n".join(map(html, content))
    return f"{head}<body>\n<main>\n<h1>{text_of(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n".encode()

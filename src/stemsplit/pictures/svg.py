"""Draws lines, dots and bars as SVG that stands within a page, and says the same in words for a screen reader.

Why not a plotting library: matplotlib draws far more than the three kinds of pictures here, and draws it well. But it
adds some 40 MB and a second of import to a command-line tool, its SVG has fixed colours where a page has a light and a
dark theme, and its dots cannot carry the song's name without a backend of our own. Libraries in JavaScript need a
script, which the pages of a report do not have. Should a fourth kind be needed, ask again.

All pictures are `WIDTH` wide and take their colours from the page (`pages.STYLE`): class `series-0` and so on. Values
that are not finite are left out. No text reaches the SVG unescaped.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from stemsplit.pictures.scale import Scale, drawable
from stemsplit.words import printable

WIDTH = 400
"""Width of a picture in its own units; texts are 12 high, so they can be read at 300 pixels as at 600."""

SERIES = 8
"""Number of colours; the ninth series has the first one's, with another dash."""

DASHES = ("", "7 3", "2 3", "9 3 2 3")
"""How lines are dashed, one series after the other, so that colour is not all that tells them apart."""

LONGEST = 20
"""Most letters of a name that stands beside its dots."""

LETTER = 6.6
"""About how wide a letter is."""


def text_of(value: str) -> str:
    """Return a text as XML, with control characters spelled out."""
    return escape(printable(value))


def shortened(value: str, most: int) -> str:
    """Return the beginning of a text that is longer than `most` characters, with an ellipsis."""
    return value if len(value) <= most else value[: most - 1] + "…"


def picture(title: str, description: str, height: float, parts: Iterable[str]) -> str:
    """Return an SVG of these parts, with a title and a description for people who do not see it."""
    named = f"<title>{text_of(title)}</title><desc>{text_of(description)}</desc>"
    box = f'viewBox="0 0 {WIDTH} {height:g}" xmlns="http://www.w3.org/2000/svg"'
    return f'<svg class="picture" role="img" {box}>{named}{"".join(parts)}</svg>'


def label(x: float, y: float, text: str, anchor: str = "start", kind: str = "label") -> str:
    """Return a text whose left end, `middle` or right `end` is at x, and whose baseline is at y."""
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{text_of(text)}</text>'


def rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    """Return a straight line."""
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def across(scale: Scale, top: float, bottom: float, axis: str) -> list[str]:
    """Return an axis from left to right, with its lines from top to bottom, and its name below."""
    parts, free = list[str](), 0.0
    for value, text in scale.ticks:
        x, half = scale.place(value), LETTER * len(text) / 2
        parts.append(rule(x, top, x, bottom, "grid"))
        if x - half >= free and x + half <= WIDTH:  # there is room
            parts.append(label(x, bottom + 15, text, "middle", "tick x"))
            free = x + half + 6
    return [*parts, label((scale.start + scale.end) / 2, bottom + 31, axis, "middle", "axis")]


def upwards(scale: Scale, left: float, right: float) -> list[str]:
    """Return an axis from bottom to top, with its lines from left to right."""
    parts = []
    for value, text in scale.ticks:
        y = scale.place(value)
        parts += [rule(left, y, right, y, "grid"), label(left - 5, y + 4, text, "end", "tick y")]
    return parts


def stroke(index: int, path: str) -> str:
    """Return a line of the series of this index."""
    dash = DASHES[index % len(DASHES)]
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<path class="line series-{index % SERIES}" d="{path}"{dashes}/>'


@dataclass(frozen=True)
class Series:
    """A line of a picture.

    Args:
        name: its name.
        points: its points (x, y) in order; one that cannot be drawn leaves a gap.
        colour: index of its colour and dash.
    """

    name: str
    points: Sequence[tuple[float, float]]
    colour: int = 0


def legend(series: Sequence[Series], top: float) -> tuple[list[str], float]:
    """Return the names of lines with a sample of each, and the height that they take."""
    parts, x, y = list[str](), 8.0, top
    for line in series:
        shown = shortened(line.name, 40)
        width = 44 + LETTER * len(shown)
        if x > 8 and x + width > WIDTH:
            x, y = 8.0, y + 18
        parts += [stroke(line.colour, f"M{x:.1f} {y - 4:.1f}h22"), label(x + 27, y, shown)]
        x += width
    return parts, y - top + 18 if series else 0.0


def lines(
    title: str, description: str, series: Sequence[Series], *, x_axis: str, y_axis: str, log: bool = False
) -> str:
    """Draw lines.

    Args:
        title: name of the picture.
        description: what can be seen in it, in a sentence.
        series: the lines.
        x_axis: name of the horizontal axis.
        y_axis: name of the vertical axis.
        log: whether the vertical axis is logarithmic.
    """
    top, bottom, right = 24.0, 184.0, WIDTH - 24.0
    y_scale = Scale((y for line in series for _, y in line.points), bottom, top, log=log)
    left = 14 + LETTER * max(len(text) for _, text in y_scale.ticks)
    x_scale = Scale((x for line in series for x, _ in line.points), left, right, most=4)
    parts = [label(4, 13, y_axis, kind="axis"), *upwards(y_scale, left, right), *across(x_scale, top, bottom, x_axis)]
    drawn = 0
    for line in series:
        path, pen = list[str](), "M"
        known = [(x, y) for x, y in line.points if x_scale.has(x) and y_scale.has(y)]
        for x, y in line.points:
            if x_scale.has(x) and y_scale.has(y):
                path.append(f"{pen}{x_scale.place(x):.1f} {y_scale.place(y):.1f}")
                pen = "L"
            else:
                pen = "M"
        parts += [stroke(line.colour, "".join(path))] if path else []
        # A line of one point cannot be seen; and where points are few, each is worth seeing.
        for x, y in known if len(known) <= 40 else known[-1:]:
            place = f'cx="{x_scale.place(x):.1f}" cy="{y_scale.place(y):.1f}" r="2.5"'
            parts.append(f'<circle class="dot series-{line.colour % SERIES}" {place}/>')
        drawn += len(known)
    if not drawn:
        parts.append(label(WIDTH / 2, (top + bottom) / 2, "nothing to show", "middle"))
    names, height = legend(series if len(series) > 1 else [], bottom + 52)
    return picture(title, description, bottom + 38 + height, [*parts, *names])


@dataclass(frozen=True)
class Dot:
    """A value, and the name of what has it."""

    value: float
    name: str


def dots(
    title: str,
    description: str,
    rows: Mapping[str, Sequence[Dot]],
    marks: Mapping[str, Mapping[str, float]],
    axis: str,
    least: float = 0.0,
) -> str:
    """Draw a row of dots for each name, and marks such as the row's mean.

    Args:
        title: name of the picture.
        description: what can be seen in it, in a sentence.
        rows: name of each row -> its dots.
        marks: kind of mark, at most two -> name of each row -> value.
        axis: name of the axis.
        least: smallest span of the axis.
    """
    left = 14 + LETTER * min(max(map(len, rows), default=0), LONGEST)
    values = [dot.value for row in rows.values() for dot in row]
    marked = [value for kind in marks.values() for value in kind.values()]
    scale = Scale([*values, *marked], left + 6, WIDTH - 24, least=least)
    tall, top = 38.0, 8.0
    bottom = top + tall * max(len(rows), 1)
    parts = across(scale, top, bottom, axis)
    for index, (name, row) in enumerate(rows.items()):
        middle = top + tall * (index + 0.5)
        parts.append(label(left - 4, middle + 4, shortened(name, LONGEST), "end"))
        # Dots of nearly the same place would hide each other: each goes a little above or below those before it.
        taken: dict[int, int] = {}
        for dot in row:
            if not scale.has(dot.value):
                continue
            x = scale.place(dot.value)
            before = taken[round(x / 5)] = taken.get(round(x / 5), -1) + 1
            aside = (before + 1) // 2 * 4 * (1 if before % 2 else -1)
            y = middle + math.copysign(min(abs(aside), 14), aside)
            tip = f"<title>{text_of(f'{dot.name}: {dot.value:.2f}')}</title>"
            parts.append(f'<circle class="dot series-{index % SERIES}" cx="{x:.1f}" cy="{y:.1f}" r="3">{tip}</circle>')
        for kind, of_row in zip(("mark", "mark second"), marks.values(), strict=False):
            if name in of_row and scale.has(of_row[name]):
                x = scale.place(of_row[name])
                parts.append(rule(x, middle - 16, x, middle + 16, kind))
    if not drawable(values):
        parts.append(label(WIDTH / 2, bottom / 2 + 4, "nothing to show", "middle"))
    for place, (kind, name) in enumerate(zip(("mark", "mark second"), marks, strict=False)):
        x, y = 8 + 110 * place, bottom + 52
        parts += [rule(x + 4, y - 12, x + 4, y + 3, kind), label(x + 12, y, name)]
    return picture(title, description, bottom + 38 + (24 if marks else 0), parts)


@dataclass(frozen=True)
class Bar:
    """A bar: its name, its value from 0 on, and the text beside it. A value that cannot be drawn has only the text."""

    name: str
    value: float
    text: str


def bars(title: str, description: str, rows: Sequence[Bar], whole: float | None = None) -> str:
    """Draw a bar for each row, with its name above it. Values below 0 extend to the left.

    Args:
        title: name of the picture.
        description: what can be seen in it, in a sentence.
        rows: the bars, from the top down.
        whole: value at which a line is drawn, such as that of 100 %.
    """
    room = LETTER * max((len(row.text) for row in rows), default=0) + 8
    known = drawable([*(row.value for row in rows), *([] if whole is None else [whole])])
    low, high = min([0.0, *known]), max([0.0, *known])
    scale = Scale([low, high], 8.0, WIDTH - room, zero=True)
    parts, tall = list[str](), 38.0
    for index, row in enumerate(rows):
        top = 6 + tall * index
        parts.append(label(13, top + 11, shortened(row.name, 57)))
        ends = sorted((scale.place(0.0), scale.place(row.value if scale.has(row.value) else 0.0)))
        size = f'x="{ends[0]:.1f}" y="{top + 16:.1f}" width="{ends[1] - ends[0]:.1f}" height="13"'
        parts.append(f'<rect class="bar series-{index % SERIES}" {size}/>')
        parts.append(label(ends[1] + 5, top + 27, row.text))
    height = 8 + tall * max(len(rows), 1)
    parts += [rule(scale.place(0.0), 4, scale.place(0.0), height - 4, "grid")]
    if whole is not None:
        parts.append(rule(scale.place(whole), 4, scale.place(whole), height - 4, "mark second"))
    if not rows:
        parts.append(label(WIDTH / 2, 26, "nothing to show", "middle"))
    return picture(title, description, height, parts)

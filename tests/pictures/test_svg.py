"""Pictures say what the figures say: read as XML, with the places of their dots and bars measured."""

import math
from collections.abc import Callable
from xml.etree import ElementTree as Xml

import pytest

from stemsplit.pictures.svg import Bar, Dot, Series, bars, dots, lines

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "]]><script>alert('&\"')</script>\x00\n\x1b[31m\udc80 é"


def found(picture: Xml.Element, tag: str, kind: str = "") -> list[Xml.Element]:
    return [part for part in picture.iter(SVG + tag) if kind in part.get("class", "").split() or not kind]


def axis(picture: Xml.Element, kind: str, log: bool = False) -> Callable[[float], float]:
    """Where a value should be by the first and the last tick of an axis."""
    read = math.log10 if log else float
    ticks = [
        (read(float((tick.text or "").replace(",", ""))), float(tick.attrib[kind]))
        for tick in found(picture, "text", kind)
    ]
    (low, start), (high, end) = ticks[0], ticks[-1]
    return lambda value: start + (end - start) * (read(value) - low) / (high - low)


@pytest.mark.parametrize("values", [(-3.25, 12.0, 7.5), (1e5, 2.5e5), (0.0001, 0.00025), (4.0,), (-7.0, -7.0)])
def test_dots_lie_where_the_figures_say(values: tuple[float, ...]) -> None:
    rows = {"vocals": [Dot(value, "song") for value in values]}
    picture = Xml.fromstring(dots("SDR", "all", rows, {"mean": {"vocals": values[0]}}, "dB"))
    place = axis(picture, "x")
    circles = found(picture, "circle")
    assert [float(circle.attrib["cx"]) for circle in circles] == pytest.approx(list(map(place, values)), abs=0.2)
    assert float(found(picture, "line", "mark")[0].attrib["x1"]) == pytest.approx(place(values[0]), abs=0.2)
    assert all(0 <= float(circle.attrib["cx"]) <= 400 for circle in circles)


@pytest.mark.parametrize("log", [False, True])
def test_lines_go_through_the_figures(log: bool) -> None:
    points = [(0.0, 8.0), (500.0, 2.0), (1_500.0, 0.03)]
    series = [Series("loss", points)]
    picture = Xml.fromstring(lines("Loss", "falls", series, x_axis="step", y_axis="loss", log=log))
    across = axis(picture, "x")
    heights = [(float(tick.text or ""), float(tick.attrib["y"]) - 4) for tick in found(picture, "text", "y")]
    read = math.log10 if log else float
    (low, bottom), (high, top) = heights[0], heights[-1]
    for circle, (x, y) in zip(found(picture, "circle"), points, strict=True):
        assert float(circle.attrib["cx"]) == pytest.approx(across(x), abs=0.2)
        height = bottom + (top - bottom) * (read(y) - read(low)) / (read(high) - read(low))
        assert float(circle.attrib["cy"]) == pytest.approx(height, abs=0.2)
    (path,) = found(picture, "path")
    assert path.attrib["d"].count("L") == 2


def test_a_value_that_cannot_be_drawn_leaves_a_gap() -> None:
    points = [(1.0, 1.0), (2.0, 2.0), (3.0, math.nan), (4.0, math.inf), (5.0, 1e300), (6.0, 3.0), (7.0, 4.0)]
    picture = Xml.fromstring(lines("a", "b", [Series("c", points)], x_axis="x", y_axis="y"))
    (path,) = found(picture, "path")
    assert (path.attrib["d"].count("M"), path.attrib["d"].count("L")) == (2, 2)
    assert len(found(picture, "circle")) == 4


def test_bars_are_as_long_as_their_values() -> None:
    rows = [Bar("a", 2.0, "2 x"), Bar("b", 8.0, "8 x"), Bar("c", math.nan, "out of memory"), Bar("d", -4.0, "-4")]
    picture = Xml.fromstring(bars("speed", "", rows, whole=8.0))
    first, second, third, fourth = (float(bar.attrib["width"]) for bar in found(picture, "rect"))
    assert second == pytest.approx(4 * first, abs=0.5)
    assert fourth == pytest.approx(2 * first, abs=0.5)
    assert third == 0
    assert {"2 x", "8 x", "out of memory", "-4"} <= {part.text for part in found(picture, "text")}


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("values", [[], [math.nan], [-1.0, 0.0], [1e29, -1e29], [1e-300, 1.0], [1e16, 1e16 + 2]])
def test_odd_figures_make_a_picture_of_few_parts(values: list[float], log: bool) -> None:
    series = [Series("a", list(enumerate(values)))]
    for drawn in (
        lines("a", "b", series, x_axis="x", y_axis="y", log=log),
        dots("a", "b", {"c": [Dot(value, "d") for value in values]}, {}, "dB"),
        bars("a", "b", [Bar("c", value, "d") for value in values]),
    ):
        picture = Xml.fromstring(drawn)
        assert len(list(picture.iter())) < 60
        assert "nan" not in drawn
        assert "inf" not in drawn


def test_names_are_text_and_nothing_else() -> None:
    drawn = [
        lines(HOSTILE, HOSTILE, [Series(HOSTILE, [(0, 1)])] * 2, x_axis=HOSTILE, y_axis=HOSTILE),
        dots(HOSTILE, HOSTILE, {HOSTILE: [Dot(1, HOSTILE)]}, {HOSTILE: {HOSTILE: 1}}, HOSTILE),
        bars(HOSTILE, HOSTILE, [Bar(HOSTILE, 1, HOSTILE)]),
    ]
    for text in drawn:
        picture = Xml.fromstring(text.encode())
        assert not [part for part in picture.iter() if part.tag.endswith("script")]
        assert "<script" not in text
        title = picture.findtext(SVG + "title") or ""
        assert title.startswith("]]><script>")
        assert title.endswith("é")


def test_a_screen_reader_gets_an_image_with_a_title_and_a_description() -> None:
    picture = Xml.fromstring(bars("Speed", "a is fast", [Bar("a", 1, "1 x")]))
    assert picture.attrib["role"] == "img"
    assert [(part.tag, part.text) for part in picture[:2]] == [(f"{SVG}title", "Speed"), (f"{SVG}desc", "a is fast")]


def test_dots_of_the_same_value_do_not_hide_each_other() -> None:
    picture = Xml.fromstring(dots("a", "b", {"c": [Dot(1.0, str(index)) for index in range(5)]}, {}, "dB"))
    assert len({circle.attrib["cy"] for circle in found(picture, "circle")}) == 5

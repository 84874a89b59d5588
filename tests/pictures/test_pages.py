"""The page around pictures: it needs nothing else, runs nothing, and shows names as they are."""

import base64
import hashlib
import re
from html.parser import HTMLParser

from stemsplit.pictures.pages import MARK, element, figure, link, page, table
from stemsplit.pictures.svg import Bar, bars

HOSTILE = "<img src=x onerror=alert(1)>\udc80\x00</style></title>"


class Tags(HTMLParser):
    """Collects the tags of a page and all its text."""

    def __init__(self, content: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_policy_allows_the_one_style_sheet_and_nothing_else() -> None:
    content = page("Scores", "text").decode()
    (style,) = re.findall("<style>(.*?)</style>", content, re.S)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    (policy,) = [tag[1]["content"] for tag in Tags(content).tags if "http-equiv" in tag[1]]
    assert policy == f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    assert MARK in page("x" * 9_000)[:4_096]


def test_names_are_text_and_nothing_else() -> None:
    drawn = bars(HOSTILE, HOSTILE, [Bar(HOSTILE, 1, HOSTILE)])
    shown = figure(HOSTILE, drawn, [HOSTILE], [[HOSTILE]])
    content = Tags(page(HOSTILE, element("p", HOSTILE), shown, link(HOSTILE, HOSTILE)).decode())
    assert not {tag for tag, _ in content.tags} & {"img", "script", "iframe", "base", "object"}
    assert not [name for _, attributes in content.tags for name in attributes if name.startswith("on")]
    assert "style" not in {name for _, attributes in content.tags for name in attributes}
    assert content.text.count("<img src=x onerror=alert(1)>") >= 8


def test_a_picture_has_its_figures_in_a_table_with_headings() -> None:
    shown = Tags(figure("Speed", bars("Speed", "", []), ["model", "speed"], [["a", "3.5"]]))
    assert [tag for tag, _ in shown.tags if tag in ("figure", "svg", "table")] == ["figure", "svg", "table"]
    heads = [attributes["scope"] for tag, attributes in shown.tags if tag == "th"]
    assert heads == ["col", "col", "row"]
    assert "3.5" in shown.text


def test_a_wide_table_is_reached_by_keyboard() -> None:
    (area,) = [attributes for tag, attributes in Tags(table("Scores", ["a"], [["b"]])).tags if tag == "div"]
    assert (area["tabindex"], area["role"], area["aria-label"]) == ("0", "region", "Scores")

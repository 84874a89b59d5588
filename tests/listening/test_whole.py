"""The whole of it: the page as the server gives it, in a browser."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.listening.making import comparison, split_song
from tests.listening.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page


def test_a_song_is_found_and_heard_and_models_are_voted_on_blind(page: "Page", tmp_path: Path) -> None:
    """Names of songs are text, whatever they hold; the page asks nobody but its server."""
    split_song(tmp_path / "stems/<script>alert(1)<", tmp_path / "<script>alert(1)<.flac", frames=20_000)
    split_song(tmp_path / "stems/other", tmp_path / "other.flac", frames=20_000)
    comparison(tmp_path / "stems/compared", frames=20_000)
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url))
    with serving(tmp_path) as server:
        page.goto(f"{server.door}#song=0")
        assert page.url.startswith(f"{server.address}#song=0")
        page.get_by_role("searchbox").fill("script alert")
        page.get_by_text("1 song").wait_for()
        page.get_by_role("button", name="<script>alert(1)<").click()
        page.get_by_role("heading", name="<script>alert(1)<").wait_for()
        page.get_by_role("button", name="Play").first.click()
        page.wait_for_function("() => listening.desk.player.position > 0")
        page.get_by_role("searchbox").fill("compared")
        page.get_by_role("button", name="compared").click()
        page.get_by_role("button", name="Compare blind").click()
        page.get_by_role("button", name="No difference").click()
        page.get_by_text("Saved in votes.json").wait_for()
        page.goto("about:blank")  # before its server is gone
    (vote,) = json.loads((tmp_path / "stems/compared/votes.json").read_text())["votes"]
    assert (vote["stem"], vote["choice"]) == ("vocals", None)
    assert all(url.startswith((server.address, server.door, "data:", "blob:")) for url in asked)

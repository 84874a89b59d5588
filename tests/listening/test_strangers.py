"""Another web page, in a browser, that somehow learned the address: it neither reads nor changes anything."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.listening.making import comparison
from tests.listening.serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Browser

ATTACK = """async (address) => {
    const vote = '{"stem": "vocals", "candidates": [1, 2], "choice": 1, "seconds": 1}';
    const tried = {};
    const attempt = async (name, action) => { try { tried[name] = await action(); } catch { tried[name] = "failed"; } };
    const read = async (options) => (await (await fetch(`${address}songs.json`, options)).text()) || "empty";
    const ballot = `${address}songs/0/votes`;
    const post = async (options) => (await fetch(ballot, {method: "POST", body: vote, ...options})).type;
    const loaded = (tag, set) => new Promise((resolve) => {
        const element = document.createElement(tag);
        element.onload = () => resolve("loaded");
        element.onerror = () => resolve("failed");
        Object.assign(element, set);
        document.body.append(element);
    });
    await attempt("fetch", () => read({}));
    await attempt("fetch without credentials", () => read({credentials: "omit", mode: "cors"}));
    await attempt("opaque", () => read({mode: "no-cors"}));
    await attempt("post", () => post({headers: {"Content-Type": "application/json"}}));
    await attempt("simple post", () => post({mode: "no-cors", headers: {"Content-Type": "text/plain"}}));
    navigator.sendBeacon(ballot, new Blob([vote], {type: "text/plain"}));
    await attempt("script", () => loaded("script", {src: `${address}app/page.js`}));
    await attempt("image", () => loaded("img", {src: `${address}songs/0/0.f32`}));
    await attempt("audio", () => new Promise((resolve) => {
        const audio = new Audio(`${address}songs/0/0.f32`);
        audio.onerror = () => resolve("failed");
        audio.onloadeddata = () => resolve("loaded");
        audio.load();
    }));
    const frame = document.createElement("iframe");
    const shown = new Promise((resolve) => { frame.onload = resolve; });
    frame.src = address;
    document.body.append(frame);
    await shown;
    await attempt("frame", () => frame.contentWindow.document.title);
    const form = document.createElement("form");
    Object.assign(form, {method: "post", action: ballot, enctype: "text/plain", target: "hidden"});
    const field = Object.assign(document.createElement("input"), {name: vote.slice(0, -1) + ', "x":"', value: '"}'});
    const target = Object.assign(document.createElement("iframe"), {name: "hidden"});
    form.append(field);
    document.body.append(form, target);
    const sent = new Promise((resolve) => { target.onload = resolve; });
    form.submit();
    await sent;
    return tried;
}"""


class Stranger(BaseHTTPRequestHandler):
    """Serves an empty page."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<!DOCTYPE html><title>stranger</title><body>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[int]:
    """The port of another server on this machine."""
    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_another_page_neither_reads_nor_changes_anything(
    browser: "Browser", tmp_path: Path, stranger: int, name: str
) -> None:
    """For a browser, servers on other ports are the same site: cookies and `SameSite` would not help here."""
    comparison(tmp_path / "stems/a")
    context = browser.new_context()
    try:
        with serving(tmp_path) as server:
            page = context.new_page()
            page.goto(f"http://{name}:{stranger}/")
            tried = page.evaluate(ATTACK, server.address)
    finally:
        context.close()
    assert set(tried.values()) <= {"failed", "empty", "opaque"}
    assert not (tmp_path / "stems/a/votes.json").exists()

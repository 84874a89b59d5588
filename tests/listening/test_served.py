"""How the page fetches samples and peaks from a server, whatever the server does."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest

from .rendering import load

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

FRAMES = 3_000
SAMPLES = np.arange(2 * FRAMES, dtype="<f4").reshape(FRAMES, 2)
"""Interleaved samples of a stereo track."""


def part(header: str) -> tuple[int, int]:
    """Return first and last byte of a Range."""
    first, last = header.removeprefix("bytes=").split("-")
    return int(first), int(last)


def serve(route: "Route") -> None:
    """Answer as the server does."""
    first, last = part(route.request.headers["range"])
    total = SAMPLES.nbytes
    headers = {"Content-Range": f"bytes {first}-{last}/{total}"}
    route.fulfill(status=206, headers=headers, body=SAMPLES.tobytes()[first : last + 1])


def ask(page: "Page", answer: "Callable[[Route], None]", script: str) -> object:
    """Return what a script makes of the answers to its requests."""
    page.route("http://song.test/songs/**", answer)
    page.route("http://song.test/", lambda route: route.fulfill(body="<!doctype html>", content_type="text/html"))
    page.goto("http://song.test/")
    load(page, "served.js")
    return page.evaluate(f"""async () => {{
        const piece = pieceOf(8000, {FRAMES}, 2, 1);
        const samples = new ServedSamples("songs/3", piece);
        const failure = (promise) => promise.then(() => null, (error) => error.name + ": " + error.message);
        {script}
    }}""")


def test_a_block_holds_the_samples_of_each_channel(page: "Page") -> None:
    told = ask(page, serve, "return (await samples.block(0, 1000, 3)).map((channel) => [...channel]);")
    assert told == SAMPLES[1_000:1_003].T.tolist()


def test_peaks_are_pairs_for_each_bin(page: "Page") -> None:
    pairs = np.array([-9, 9, -32_767, 32_767, 0, 1], "<i2")
    told = ask(page, lambda route: route.fulfill(body=pairs.tobytes()), "return [...await samples.peaks(0)];")
    assert told == pairs.tolist()


def whole(route: "Route") -> None:
    """Answer with the whole file, whatever was asked for."""
    route.fulfill(status=200, body=SAMPLES.tobytes())


def elsewhere(route: "Route") -> None:
    """Answer with samples of another place."""
    route.fulfill(status=206, headers={"Content-Range": f"bytes 0-23/{SAMPLES.nbytes}"}, body=SAMPLES.tobytes()[:24])


def short(route: "Route") -> None:
    """Answer with less than is promised."""
    first, last = part(route.request.headers["range"])
    headers = {"Content-Range": f"bytes {first}-{last}/{SAMPLES.nbytes}"}
    route.fulfill(status=206, headers=headers, body=SAMPLES.tobytes()[:20])


@pytest.mark.parametrize(("answer", "reason"), [
    (whole, "Error: the server gave other samples of track 0 than asked for"),
    (elsewhere, "Error: the server gave other samples of track 0 than asked for"),
    (short, "Error: the server gave 20 bytes of track 0 instead of 24; load the page again"),
])  # fmt: skip
def test_other_samples_than_asked_for_are_refused(page: "Page", answer: "Callable[[Route], None]", reason: str) -> None:
    assert ask(page, answer, "return failure(samples.block(0, 1000, 3));") == reason


def test_after_a_network_error_it_asks_once_more(page: "Page") -> None:
    told = ask(
        page,
        serve,
        """
        const real = window.fetch;
        let calls = 0;
        window.fetch = (...rest) => {
          calls += 1;
          return calls === 2 ? real(...rest) : Promise.reject(new TypeError("Failed to fetch"));
        };
        const block = await samples.block(0, 0, 2);
        return [block.length, await failure(samples.block(0, 0, 2)), calls];
        """,
    )
    assert told == [2, "Error: the server does not answer; is stemsplit listen still running?", 4]


def test_what_the_server_says_is_said(page: "Page") -> None:
    told = ask(
        page,
        serve,
        """
        window.fetch = async () => new Response('{"error": "song.flac has changed"}', { status: 409 });
        const said = await failure(samples.peaks(0));
        window.fetch = async () => new Response("<b>", { status: 500 });
        return [said, await failure(samples.block(0, 0, 2))];
        """,
    )
    assert told == ["Error: song.flac has changed", "Error: the server answered with status 500"]


def test_samples_do_not_wait_for_peaks(page: "Page") -> None:
    """The server reads an hour to make its peaks."""
    told = ask(
        page,
        serve,
        """
        const real = window.fetch;
        const slow = [];
        window.fetch = (address, given) => (String(address).endsWith(".peaks")
            ? new Promise(() => slow.push(address)) : real(address, given));
        for (let n = 0; n < 6; n += 1) samples.peaks(0);
        return [(await samples.block(0, 0, 1)).length, slow.length];
        """,
    )
    assert told == [2, 1]


def test_no_more_than_four_requests_run_and_those_no_longer_wanted_end(page: "Page") -> None:
    told = ask(
        page,
        serve,
        """
        const real = window.fetch;
        let running = 0;
        window.fetch = (_, { signal }) => new Promise((_, reject) => {
          running += 1;
          signal.addEventListener("abort", () => { running -= 1; reject(signal.reason); });
        });
        const abort = new AbortController();
        const blocks = Array.from({ length: 7 }, (_, n) => failure(samples.block(0, n, 1, abort.signal)));
        await null;
        const most = running;
        abort.abort();
        const ends = await Promise.all(blocks);
        window.fetch = real;
        const ended = ends.every((end) => end.startsWith("AbortError"));
        return [most, running, ended, (await samples.block(0, 0, 1)).length];
        """,
    )
    assert told == [4, 0, True, 2]

"""A real browser, where there is one."""

import os
import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@pytest.fixture(scope="module")
def browser() -> Iterator["Browser"]:
    """Chromium without a window, one for all tests of a file.

    Not for all tests of a process: as long as it runs, there is an event loop in this thread, and no other can begin.
    """
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright, of the extra `test`")
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # Without a window, people do not click before there is sound. As root, Chromium has no sandbox.
        arguments = ["--autoplay-policy=no-user-gesture-required", "--mute-audio"]
        arguments += ["--no-sandbox"] if os.name == "posix" and os.geteuid() == 0 else []
        started = playwright.chromium.launch(executable_path=program, args=arguments)
        yield started
        started.close()


@pytest.fixture
def page(browser: "Browser") -> Iterator["Page"]:
    """An empty page. A test fails if the page reports an error or refuses something by its security policy."""
    context = browser.new_context(viewport={"width": 1_280, "height": 800})
    opened, complaints = context.new_page(), []
    opened.set_default_timeout(60_000)
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
    yield opened
    context.close()
    assert not complaints

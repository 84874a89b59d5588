"""How much memory a tab needs that plays for an hour."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .rendering import load

if TYPE_CHECKING:
    from playwright.sync_api import Page

RATE = 3_000
"""Hz; the lowest that Chromium renders, so that an hour takes seconds."""
HOUR = 3_600 * RATE
"""Samples."""


@pytest.mark.skipif(sys.platform != "linux", reason="reads a process's memory from /proc")
def test_a_tab_needs_no_more_memory_after_an_hour_than_after_minutes(page: "Page") -> None:
    load(page)
    assert page.context.browser is not None
    processes = page.context.browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")["processInfo"]
    tabs = [Path(f"/proc/{process['id']}/statm") for process in processes if process["type"] == "renderer"]
    tab = page.context.new_cdp_session(page)
    used: list[int] = []

    def measure() -> None:
        tab.send("HeapProfiler.collectGarbage")
        used.append(sum(int(one.read_text().split()[1]) for one in tabs) * os.sysconf("SC_PAGE_SIZE"))

    page.expose_function("measure", measure)
    # What is rendered takes memory as well: so ten times six minutes.
    positions = page.evaluate(
        """async ([rate, hour]) => {
            Noise.prototype.block = async (track, start, frames) =>
                [new Float32Array(frames).fill(0.1), new Float32Array(frames).fill(0.1)];
            const all = [];
            for (let part = 0; part < 10; part += 1) {
                const context = new OfflineAudioContext(1, hour / 10, rate);
                const [player, said] = playerOf(context, pieceOf(rate, hour, 2, 5));
                player.seek(part * hour / 10);
                player.play();
                await player.fill();
                for (let n = 5; n < 360; n += 5) {
                    context.suspend(n).then(() => player.fill()).then(() => context.resume());
                }
                await context.startRendering();
                await player.fill();
                all.push(Math.round(player.position / rate), said.length);
                player.close();
                await measure();
            }
            return all;
        }""",
        [RATE, HOUR],
    )
    assert positions[::2] == list(range(360, 3_601, 360))
    assert positions[1::2] == 9 * [2] + [3]
    # The hour's samples are 432 MB.
    # A tab that is busy frees late.
    assert max(used[1:]) - used[0] < 120e6

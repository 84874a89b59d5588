"""The whole page, served by the real server: what somebody does who listens."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .making import RATE, comparison, split_song
from .serving import serving

if TYPE_CHECKING:
    from playwright.sync_api import Page

FRAMES = 2 * RATE
SILENCE = 10 ** (-120 / 20)
HOSTILE = "<script>alert(1)<_script> & <img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A comparison, a song with a hostile name and another one."""
    folder = tmp_path_factory.mktemp("served")
    comparison(folder / "stems/0", frames=RATE)
    split_song(folder / "stems" / HOSTILE, folder / f"{HOSTILE}.wav", frames=FRAMES)
    split_song(folder / "stems/Blue Sky", folder / "Blue Sky.flac", frames=FRAMES, suffix="flac")
    return folder


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    """The page of these."""
    with serving(folder) as server:
        yield server.address


def wait_for(page: "Page", condition: str) -> None:
    """Wait until something is true of the desk."""
    page.wait_for_function(f"() => {{ const {{ player, mix }} = listening.desk; return {condition}; }}")


def test_a_song_is_found_played_soloed_looped_and_left_by_keyboard(page: "Page", address: str) -> None:
    page.goto(address)
    page.get_by_label("Search").fill("SKY")
    page.get_by_role("button", name="Blue Sky").press("Enter")
    page.get_by_role("heading", name="Blue Sky", level=1).wait_for()
    page.locator("#title").press("2")
    wait_for(page, "mix.gains().get(2) === 1 && mix.gains().get(1) === 0 && mix.gains().get(0) === 0")
    page.locator("#title").press("Space")
    wait_for(page, "player.playing && player.position > 2000")
    page.locator("#title").press("]")
    wait_for(page, "player.looped !== null && player.position < player.looped[1]")
    page.locator("#title").press("End")
    wait_for(page, "!player.playing && player.position === player.frames")
    page.locator("#title").press("Shift+ArrowLeft")
    wait_for(page, f"player.position === {FRAMES - RATE}")
    page.locator("#title").press("p")
    page.get_by_role("heading", name=HOSTILE, level=1).wait_for()


def test_names_are_text_and_an_address_opens_a_moment(page: "Page", address: str) -> None:
    page.goto(f"{address}#song=1&t=0.5&solo=vocals&loop=0.25-1.5")
    page.get_by_role("heading", name=HOSTILE, level=1).wait_for()
    wait_for(page, f"player.position === {RATE // 2} && player.looped.join() === '{RATE // 4},{RATE * 3 // 2}'")
    assert page.evaluate("[...listening.desk.mix.gains().values()]") == [0, 0, 1]
    assert page.locator("img, main script, nav script").count() == 0


def test_what_the_server_gives_adds_up_to_the_song(page: "Page", address: str) -> None:
    """The stems as they come from the server cancel the song, through play, seek and loop."""
    page.goto(f"{address}#song=1")
    page.wait_for_selector("#main")
    loudest = page.evaluate(f"""async () => {{
        const piece = await (await fetch("songs/1.json")).json();
        const heard = async (gains) => {{
            const context = new OfflineAudioContext(2, {FRAMES} * 2, piece.sample_rate);
            const player = new Player(context, new ServedSamples("songs/1", piece), piece);
            player.gains(gains);
            await player.play();
            await player.fill();
            context.suspend(0.5).then(async () => {{
                player.seek(1.5 * {RATE} + 1);
                player.loop(1.5 * {RATE}, {FRAMES});
                await player.fill();
                context.resume();
            }});
            const samples = (await context.startRendering()).getChannelData(1);
            return samples.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
        }};
        return [await heard([1, -1, -1]), await heard([1, -1, 0])];
    }}""")
    assert loudest[0] < SILENCE
    assert loudest[1] > 0.1


def test_a_blind_vote_is_kept_beside_the_comparison(page: "Page", address: str, folder: Path) -> None:
    page.goto(f"{address}#song=0")
    page.get_by_role("button", name="Compare blind").click()
    page.get_by_role("button", name="Hear B", exact=True).click()
    heard = page.evaluate("listening.desk.mix.alone")
    page.get_by_role("button", name="I prefer B").click()
    page.get_by_text("Saved in").wait_for()
    (kept,) = (folder / "stems/0").glob("*votes*.json")
    (vote,) = json.loads(kept.read_text())["votes"]
    model = page.evaluate("(index) => listening.desk.piece.tracks[index].model", heard)
    assert vote["stem"] == "vocals"
    assert model in json.dumps(vote["choice"])


def test_nothing_is_wider_than_a_narrow_window(page: "Page", address: str) -> None:
    width = 320
    page.set_viewport_size({"width": width, "height": 700})
    for song in range(3):
        page.goto(f"{address}#song={song}")
        page.reload()
        page.wait_for_selector("#main:visible")
        assert page.evaluate("document.documentElement.scrollWidth") <= width

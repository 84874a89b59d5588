"""How the page looks and answers to keys: narrow and wide, light and dark, for screen readers, blind."""

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from stemsplit.listening.piece import Piece
from tests.listening import stand_in
from tests.listening.stand_in import StandIn

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)> \u202egpj.exe " + "long" * 60

NAMELESS = """() => [...document.querySelectorAll("button, input, a[href], select, [role=slider], [tabindex='0']")]
    .filter((element) => element.checkVisibility())
    .filter((element) => !(element.getAttribute("aria-label") || element.innerText?.trim() || element.labels?.length))
    .map((element) => element.outerHTML)"""
"""Controls that a screen reader has no name for."""

FAINT = """() => {
    const parsed = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => {
        const linear = (c) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
        const [x, y, z] = [r, g, b].map(linear);
        return 0.2126 * x + 0.7152 * y + 0.0722 * z;
    };
    const ground = (element) => {
        for (let at = element; at; at = at.parentElement) {
            const [r, g, b, a = 1] = parsed(getComputedStyle(at).backgroundColor);
            if (a === 1) return [r, g, b];
        }
        return [255, 255, 255];
    };
    const faint = [];
    for (const element of document.querySelectorAll("body *")) {
        const has = [...element.childNodes].some((node) => node.nodeType === 3 && node.data.trim());
        if (!has || !element.checkVisibility() || element.closest(".unseen, script, noscript")) continue;
        const [over, under] = [light(parsed(getComputedStyle(element).color)), light(ground(element))];
        const contrast = (Math.max(over, under) + 0.05) / (Math.min(over, under) + 0.05);
        if (contrast < 4.5) faint.push(`${contrast.toFixed(2)}: ${element.outerHTML.slice(0, 90)}`);
    }
    return faint;
}"""
"""Texts that stand out too little from what they are on."""


def gains(page: "Page") -> dict[str, float]:
    """Return what is heard: name -> gain of each track that is not silent."""
    listed = page.evaluate(
        "() => [...listening.desk.mix.gains()].map(([index, gain]) => [listening.desk.piece.tracks[index].name, gain])"
    )
    return {name: gain for name, gain in listed if gain}


@pytest.mark.parametrize(
    ("width", "height", "scheme"), [(320, 640, "light"), (1_280, 800, "dark"), (3_840, 2_160, "light")]
)
def test_the_page_fits_and_can_be_read(page, width, height, scheme):
    """Whatever songs and models are called: nothing is too wide, all controls have names, texts stand out."""
    page.set_viewport_size({"width": width, "height": height})
    page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
    notes = {"notes": ("a stem is left out",), "adds_up": False}
    server = StandIn(
        stand_in.song(HOSTILE, ("vocals", HOSTILE, "bass"), **notes), stand_in.comparison((HOSTILE, "b" * 200))
    )
    for fragment in ("#song=0&loop=0.5-1&solo=vocals", "#song=1"):
        server.open(page, fragment)
        for name in page.get_by_role("button", name="Spectrogram").all()[:1]:
            name.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(NAMELESS) == []
        assert page.evaluate(FAINT) == []
        page.goto("about:blank")


def test_fingers_hit_the_buttons(browser):
    """On a touch screen every button is at least 44 pixels high and wide."""
    context = browser.new_context(viewport={"width": 320, "height": 640}, has_touch=True, is_mobile=True)
    page = context.new_page()
    StandIn(stand_in.song()).open(page, "#loop=0.5-1")
    small = """() => [...document.querySelectorAll("button")].filter((button) => button.checkVisibility())
        .map((button) => [button.innerText, button.getBoundingClientRect()])
        .filter(([, box]) => box.width < 44 || box.height < 44).map(([text]) => text)"""
    assert page.evaluate(small) == []
    context.close()


def test_headings_and_landmarks_are_in_order(page):
    """A screen reader finds one main part, and headings that skip no level."""
    StandIn(stand_in.song(), stand_in.song("Second")).open(page)
    levels = page.evaluate("""() => [...document.querySelectorAll("h1, h2, h3, h4")]
        .filter((heading) => heading.checkVisibility()).map((heading) => Number(heading.tagName[1]))""")
    assert (levels[0], levels.count(1)) == (1, 1)
    assert all(after <= before + 1 for before, after in pairwise(levels))
    assert page.get_by_role("main").count() == page.get_by_role("contentinfo").count() == 1
    assert page.get_by_role("navigation", name="Songs", exact=True).count() == 1


def test_what_the_tab_key_reaches_is_seen(page):
    """Each control that has the focus by keyboard has an outline, until the round is over."""
    StandIn(stand_in.song()).open(page)
    outline = """() => {
        const one = document.activeElement;
        const {outlineStyle, outlineWidth} = getComputedStyle(one);
        return [one.tagName, one.id || one.textContent, outlineStyle, parseFloat(outlineWidth)];
    }"""
    seen = []
    while len(seen) < 100:
        page.keyboard.press("Tab")
        reached = page.evaluate(outline)
        if reached[0] == "BODY" or reached in seen[:1]:
            break
        seen.append(reached)
    assert len(seen) > 15
    assert [one for one in seen if one[2] == "none" or one[3] < 2] == []


def test_everything_works_by_keyboard(page):
    """Play, seek, loop, solo, mute, song, difference and next song have keys, which do not depend on the layout."""
    server = StandIn(stand_in.song(), stand_in.song("Second"))
    server.open(page)
    keys = page.keyboard
    position = "listening.desk.player.position"
    keys.press("Shift+ArrowRight")
    assert page.evaluate(position) == stand_in.RATE
    keys.press("[")
    keys.press("End")
    keys.press("]")
    assert page.evaluate("listening.desk.player.looped") == [stand_in.RATE, 2 * stand_in.RATE]
    keys.press("l")
    assert page.evaluate("listening.desk.player.looped") is None
    keys.press("Escape")
    assert page.evaluate("listening.desk.marks.start") is None
    keys.press("Home")
    assert page.evaluate(position) == 0
    pressed = "(options) => window.dispatchEvent(new KeyboardEvent('keydown', { bubbles: true, ...options }))"
    page.evaluate(pressed, {"key": "&", "code": "Digit1"})  # the first digit of a French keyboard
    assert gains(page) == {"drums": 1}
    page.evaluate(pressed, {"key": "1", "code": "Digit1", "shiftKey": True})
    assert gains(page) == {}
    keys.press("Shift+1")
    keys.press("0")
    assert gains(page) == {"drums": 1, "vocals": 1}
    keys.press("d")
    assert gains(page) == {"song": 1, "drums": -1, "vocals": -1}
    keys.press("m")
    assert gains(page) == {"song": 1}
    keys.press("m")
    keys.press("Space")
    page.wait_for_selector("#play.playing")
    keys.press("Space")
    page.wait_for_selector("#play:not(.playing)")
    keys.press("n")
    page.get_by_role("heading", name="Second").wait_for()
    keys.press("?")
    assert page.get_by_role("dialog").is_visible()
    keys.press("Escape")
    assert not page.get_by_role("dialog").is_visible()


def test_keys_leave_fields_and_sliders_alone(page):
    """Letters typed into the search are a search; arrows on a gain change the gain and not the position."""
    server = StandIn(stand_in.song("Dim"), stand_in.song("Lamp"))
    server.open(page)
    page.get_by_label("Search").fill("")
    page.get_by_label("Search").press_sequentially("lam 1")
    assert gains(page) == {"drums": 1, "vocals": 1}
    page.get_by_role("status").filter(has_text="No song has these words").wait_for()
    page.get_by_label("Gain of drums").focus()
    page.keyboard.press("ArrowLeft")
    assert page.evaluate("listening.desk.player.position") == 0
    assert gains(page)["drums"] == pytest.approx(10 ** (-0.5 / 20))
    assert page.get_by_label("Gain of drums").get_attribute("aria-valuetext") == "\N{MINUS SIGN}0.5 dB"
    page.keyboard.press("Backspace")
    assert gains(page)["drums"] == 1
    page.get_by_role("button", name="Mute drums").focus()
    page.keyboard.press("Space")
    assert gains(page) == {"vocals": 1}
    assert not page.evaluate("listening.desk.player.playing")


def test_a_blind_comparison_gives_no_name_away(page):
    """While names are hidden none is anywhere on the page; after the vote they are shown and the vote is saved."""
    piece = stand_in.comparison(("first-model", "second-model", "third-model"), ("drums",))
    piece = Piece(**{**vars(piece), "notes": ("drums - fourth-model.wav was changed, and is left out",)})
    server = StandIn(piece)
    server.open(page)
    whole = "document.documentElement.outerHTML"
    assert "second-model" in page.evaluate(whole)
    page.get_by_role("button", name="Compare blind").click()
    for _ in range(4):
        page.keyboard.press("x")
        page.evaluate("listening.failed(new Error('cannot read drums - second-model.wav'))")
        assert "-model" not in page.evaluate(whole)
    page.get_by_role("button", name="Hear B", exact=True).click()
    heard = page.evaluate("listening.desk.mix.alone")
    page.get_by_role("button", name="I prefer B").click()
    page.get_by_text("Saved in votes.json").wait_for()
    assert "second-model" in page.evaluate(whole)
    (vote,) = server.votes
    assert (vote["stem"], sorted(vote["candidates"]), vote["choice"]) == ("drums", [1, 2, 3], heard)
    assert vote["candidates"][1] == heard
    page.get_by_role("button", name="Next trial").click()
    assert "-model" not in page.evaluate(whole)
    page.get_by_role("button", name="No difference").click()
    assert server.votes[1]["choice"] is None


def test_a_loop_is_dragged_and_a_click_seeks(page):
    """Dragging across a waveform marks a loop; a click goes there; the marks are shown in every lane."""
    StandIn(stand_in.song()).open(page)
    box = page.locator(".lane").first.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] * 0.25, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.5, y, steps=3)
    page.mouse.up()
    start, end = page.evaluate("listening.desk.player.looped")
    assert (start / stand_in.RATE, end / stand_in.RATE) == (pytest.approx(0.5, abs=0.01), pytest.approx(1, abs=0.01))
    assert page.locator(".lane .loop:visible").count() == 3
    page.mouse.click(box["x"] + box["width"] * 0.75, y)
    assert page.evaluate("listening.desk.player.position") / stand_in.RATE == pytest.approx(1.5, abs=0.01)


def test_a_server_that_was_stopped_is_noticed(browser):
    """The page says in plain words what happened and what to do."""
    context = browser.new_context()
    page = context.new_page()
    server = StandIn(stand_in.song(), stand_in.song("Second"))
    server.open(page)
    server.is_stopped = True
    page.keyboard.press("n")
    alert = page.get_by_role("alert").filter(has_text="stemsplit listen has stopped: start it again")
    alert.wait_for()
    context.close()


def test_a_spectrogram_shows_a_tone_where_it_is(page):
    """The loudest place of a tone's spectrogram is at its frequency, in octaves and in hertz."""
    StandIn(stand_in.song(stems=("drums",))).open(page)
    page.get_by_role("button", name="Spectrogram of drums").click()
    loudest = """(logarithmic) => {
        const { image, desk } = listening.tracks.rows[0].spectrogram;
        const pixels = image.getContext("2d").getImageData(Math.floor(image.width / 2), 0, 1, image.height).data;
        const darkness = Array.from({ length: image.height }, (_, row) => -pixels[4 * row] - pixels[4 * row + 1]);
        const row = darkness.indexOf(Math.max(...darkness));
        return frequencyAt(1 - (row + 0.5) / image.height, desk.rate, logarithmic);
    }"""
    done = page.locator(".legend [role=status]:empty")
    done.wait_for(state="attached")
    assert page.evaluate(loudest, True) == pytest.approx(220, rel=0.06)
    page.get_by_role("button", name="Octaves").click()
    done.wait_for(state="attached")
    assert page.evaluate(loudest, False) == pytest.approx(220, abs=120)


def test_what_the_stems_leave_is_measured(page):
    """The song minus its stems is said to be silent where it is; without the song, the button says why it is off."""
    whole = stand_in.song()
    lost = stand_in.song("Lost", no_song="song.wav was not found; name its folder with --songs")
    lost = Piece(**{**vars(lost), "tracks": lost.tracks[1:]})
    StandIn(whole, lost).open(page)
    page.keyboard.press("d")
    page.keyboard.press("Space")
    page.get_by_text("silence, below").wait_for()
    page.get_by_role("button", name="Next").click()
    page.get_by_role("heading", name="Lost").wait_for()
    assert page.get_by_role("button", name="Song minus stems").is_disabled()
    assert page.get_by_text("song.wav was not found; name its folder with --songs").is_visible()


def test_nothing_is_called_silence_before_there_is_sound(page):
    """While the samples are still on their way, the page says that it waits."""
    StandIn(stand_in.song(adds_up=False)).open(page)
    page.evaluate("() => { listening.desk.player.samples.block = () => new Promise(() => {}); }")
    page.keyboard.press("d")
    page.keyboard.press("Space")
    page.get_by_text("Now: waiting for sound").wait_for()


def test_a_song_that_cannot_be_played_leaves_nothing_of_the_one_before(page):
    """The page names the song that was asked for and says why it is silent; no button plays another."""
    slow = Piece(**{**vars(stand_in.song("Slow")), "sample_rate": 1_000})
    StandIn(stand_in.song("First"), slow).open(page)
    page.keyboard.press("n")
    page.get_by_role("alert").filter(has_text="Browsers cannot play 1,000 Hz").wait_for()
    assert page.get_by_role("heading", name="Slow").is_visible()
    assert not page.get_by_role("button", name="Play").is_visible()


def test_an_old_link_still_opens_the_page(browser):
    """A link to a song that is no longer there says so, and shows another one."""
    context = browser.new_context()
    page = context.new_page()
    StandIn(stand_in.song("First")).open(page, "#song=7&t=1")
    page.get_by_role("alert").filter(has_text="there is no such song").wait_for()
    page.get_by_role("heading", name="First").wait_for()
    context.close()


def test_too_loud_is_said(page):
    """Gains that drive the sound beyond full scale are told in words, not only by the meter."""
    StandIn(stand_in.song(stems=("a", "b", "c"))).open(page)
    for name in "abc":
        page.get_by_label(f"Gain of {name}").fill("12")
    page.keyboard.press("Space")
    page.get_by_text("too loud").wait_for()
    page.get_by_label("Volume").fill("-20")
    page.get_by_text("too loud").wait_for(state="hidden")

"""What is heard: gains of mute, solo, one track alone and the song minus its stems; votes and their chances."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from stemsplit.listening import pages
from stemsplit.listening.piece import Piece, as_data
from tests.listening import stand_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

LOGIC = ("words.js", "moments.js", "mix.js", "view.js", "waveform.js", "fft.js", "blind.js")


@pytest.fixture(scope="module")
def logic(browser: "Browser") -> Iterator["Page"]:
    """A page that has the scripts which know nothing of any page."""
    context = browser.new_context()
    page = context.new_page()
    page.add_script_tag(content="\n".join(map(pages.text, LOGIC)))
    yield page
    context.close()


def gains(logic: "Page", piece: Piece, actions: str) -> dict[str, float]:
    """Return the gain of each track by its name, after actions on a `mix` of the piece."""
    listed = logic.evaluate(
        f"""(piece) => {{
            const mix = new Mix(piece);
            const at = (name) => piece.tracks.find((track) => track.name === name).index;
            {actions}
            return [...mix.gains()].map(([index, gain]) => [piece.tracks[index].name, gain]);
        }}""",
        as_data(piece),
    )
    return dict(listed)


THREE = stand_in.song(stems=("drums", "bass", "vocals"))


@pytest.mark.parametrize(
    ("actions", "heard"),
    [
        ("", {"drums": 1, "bass": 1, "vocals": 1}),
        ("mix.mute(at('bass'))", {"drums": 1, "vocals": 1}),
        ("mix.solo(at('bass')); mix.solo(at('drums'))", {"drums": 1, "bass": 1}),
        ("mix.solo(at('bass')); mix.solo(at('drums'), true)", {"drums": 1}),
        ("mix.solo(at('bass')); mix.mute(at('bass'))", {}),
        ("mix.mute(at('bass')); mix.solo(at('bass'))", {"bass": 1}),
        ("mix.solo(at('bass')); mix.clear()", {"drums": 1, "bass": 1, "vocals": 1}),
        ("mix.setGain(at('drums'), -20)", {"drums": 0.1, "bass": 1, "vocals": 1}),
        ("mix.setGain(at('drums'), NaN)", {"drums": 1, "bass": 1, "vocals": 1}),
        ("mix.hearAlone(at('song'))", {"song": 1}),
        ("mix.hearRest()", {"song": 1, "drums": -1, "bass": -1, "vocals": -1}),
        (
            "mix.setGain(at('drums'), 6); mix.mute(at('bass')); mix.hearRest()",
            {"song": 1, "drums": -1, "bass": -1, "vocals": -1},
        ),
        ("mix.hearRest(); mix.solo(at('bass'))", {"bass": 1}),
    ],
)
def test_what_is_pressed_is_heard(logic, actions, heard):
    """Each track has the gain that the buttons say; a muted track is silent even when soloed."""
    found = {name: gain for name, gain in gains(logic, THREE, actions).items() if gain}
    assert found == pytest.approx(heard)


def test_without_the_song_nothing_is_subtracted(logic):
    """A song that was not found leaves the stems as they are heard."""
    piece = Piece(**{**vars(THREE), "tracks": THREE.tracks[1:], "no_song": "not found"})
    assert gains(logic, piece, "mix.hearRest()") == {"drums": 1, "bass": 1, "vocals": 1}


def test_a_comparison_hears_one_clip(logic):
    """One candidate is heard; choosing another stem keeps the model, and only that stem's clips are read."""
    piece = stand_in.comparison()
    heard = gains(logic, piece, "mix.hearAlone(at('drums - second-model')); mix.choose('vocals')")
    assert [name for name, gain in heard.items() if gain] == ["vocals - second-model"]
    choose = "(piece) => { const mix = new Mix(piece); mix.choose('vocals'); return mix.used(); }"
    used = logic.evaluate(choose, as_data(piece))
    assert {piece.tracks[index].stem for index in used} == {"vocals", ""}


def test_what_people_see_in_words(logic):
    """Times, levels, counts and shares read as people write them."""
    minus = "\N{MINUS SIGN}"
    words = {
        "clock(3723.25, 2)": "1:02:03.25",
        "clock(59.999)": "0:59",
        "spoken(61)": "1 minute 1 second",
        "spoken(0)": "0 seconds",
        "decibels(-3.21)": f"{minus}3.2 dB",
        "decibels(0)": "0 dB",
        "decibels(6)": "+6 dB",
        "decibels(-Infinity, 'dBFS')": f"{minus}\N{INFINITY} dBFS",
        "counted(1, 'sample')": "1 sample",
        "counted(12, 'sample')": "12 samples",
        "percent(0.34)": "34 %",
        "percent(0.00001)": "less than 0.1 %",
    }
    assert logic.evaluate(f"[{', '.join(words)}]") == list(words.values())


@pytest.mark.parametrize("name", ["vocals", "a,b", "ü & ñ #1", "100%"])
def test_a_link_names_its_moment(logic, name):
    """What a link to a moment says is read back from it."""
    moment = {"song": 3, "t": 12.5, "solo": [name, "bass"], "loop": [12.5, 15]}
    assert logic.evaluate("(moment) => momentOf(fragmentOf(moment))", moment) == moment


@pytest.mark.parametrize(
    "fragment", ["", "#", "#song=-1&t=x&loop=5-2", "#t=Infinity&loop=1", "#%%%&song=1e9", "#song=NaN"]
)
def test_a_broken_link_names_nothing(logic, fragment):
    """Whatever stands in an address, the page opens."""
    assert logic.evaluate("(text) => momentOf(text)", fragment) == {"song": None, "t": None, "solo": [], "loop": None}


def test_zoom_stays_within_the_song(logic):
    """The visible stretch is whole samples of the song, and the sample under the pointer stays where it is."""
    found = logic.evaluate(
        """() => {
            const view = new View(441_000, 44_100);
            view.zoom(4, 100_000);
            const place = view.shareOf(100_000);
            view.zoom(1e9, 100_000);
            const deepest = view.length;
            view.scroll(-1e12);
            const first = view.start;
            view.scroll(1e12);
            const last = view.end;
            view.zoom(0, 0);
            return [place, deepest, first, last, view.start, view.end];
        }"""
    )
    assert found == [pytest.approx(100_000 / 441_000, abs=1e-5), 882, 0, 441_000, 0, 441_000]


def test_a_waveform_shows_each_peak(logic):
    """However many bins lie under a pixel, the loudest of them is drawn."""
    found = logic.evaluate(
        """() => {
            const peaks = new Int16Array(2 * 1_000);
            peaks[2 * 777 + 1] = 32_767;
            const columns = columnsOfPeaks(peaks, 1_024, 0, 1_024_000, 10);
            return [...columns].map((value, place) => [place, value]).filter(([, value]) => value);
        }"""
    )
    assert found == [[2 * 7 + 1, 1]]


def test_a_spectrum_finds_a_tone(logic):
    """A sine of full scale has 0 dB in its bin, and next to nothing far from it."""
    loudest, level, far = logic.evaluate(
        """() => {
            const spectrum = new Spectrum(1_024);
            const tone = Float32Array.from({ length: 1_024 }, (_, n) => Math.sin((2 * Math.PI * 64 * n) / 1_024));
            const levels = spectrum.levels([tone], 0);
            return [levels.indexOf(Math.max(...levels)), levels[64], levels[300]];
        }"""
    )
    assert (loudest, far < -100) == (64, True)
    assert level == pytest.approx(0, abs=0.01)


def test_all_orders_of_a_trial_are_equally_likely(logic):
    """No order of three clips is preferred: 6,000 shuffles give each of six orders about 1,000 times."""
    counts = logic.evaluate(
        """() => {
            const counts = {};
            for (let trial = 0; trial < 6_000; trial += 1) {
                const order = shuffled([1, 2, 3]).join("");
                counts[order] = (counts[order] || 0) + 1;
            }
            return counts;
        }"""
    )
    assert len(counts) == 6
    assert all(800 < count < 1_200 for count in counts.values())


def test_chance_is_the_sign_test(logic):
    """Nine of ten votes for one of two models, or more, fall so by chance in 22 of 1,024 cases."""
    assert logic.evaluate("byChance([9, 1])") == pytest.approx(22 / 1_024)
    assert logic.evaluate("byChance([2, 2])") == 1


def test_votes_are_counted_for_the_models_that_were_heard(logic):
    """Votes of this page name tracks by index, saved ones name files and models; nonsense is left out."""
    piece = stand_in.comparison()
    saved = {"stem": "drums", "candidates": ["b.wav", "a.wav"], "models": ["second-model", "first-model"]}
    votes: list[dict[str, Any]] = [
        {"stem": "drums", "candidates": [2, 1], "choice": 2, "seconds": 1},
        {"stem": "drums", "candidates": [2, 1], "choice": None, "seconds": 1},
        {**saved, "choice": "b.wav"},
        {**saved, "choice": "z.wav"},
        {"stem": "drums", "candidates": None, "choice": 1},
    ]
    (counted,) = logic.evaluate("([votes, tracks]) => tally(votes, tracks)", [votes, as_data(piece)["tracks"]])
    assert counted == {"stem": "drums", "none": 1, "counts": [["first-model", 0], ["second-model", 2]], "chance": None}


def test_scripts_do_not_hide_each_other():
    """No two scripts define the same name: the page of its own joins them all in one."""
    names = [
        name
        for script in pages.SCRIPTS
        for name in re.findall(r"^(?:async )?(?:function|class|const|let)\s+(\w+)", pages.text(script), re.MULTILINE)
    ]
    assert sorted(set(names)) == sorted(names)

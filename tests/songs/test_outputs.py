"""Which files are written for a song, and what they add up."""

import numpy as np
import pytest

from stemsplit.songs.outputs import Output, chosen, parse, stem_output

STEMS = ("drums", "bass", "other", "vocals")


@pytest.mark.parametrize(
    ("recipe", "name", "gains"),
    [
        ("karaoke=mixture-vocals", "karaoke", (1, 0, 0, 0, -1)),
        ("no-drums=bass+other+vocals", "no-drums", (0, 0, 1, 1, 1)),
        (" a b = - drums + mixture ", "a b", (1, -1, 0, 0, 0)),
        ("loud=vocals+vocals", "loud", (0, 0, 0, 0, 2)),
    ],
)
def test_a_recipe_is_a_sum(recipe: str, name: str, gains: tuple[float, ...]) -> None:
    assert parse(recipe, STEMS) == Output(name, gains)


def test_a_stem_with_a_sign_in_its_name_is_not_a_difference() -> None:
    stems = ("hi", "hi-hat", "hat")
    assert parse("x=hi-hat", stems).gains == (0, 0, 1, 0)
    assert parse("x=mixture-hi-hat", stems).gains == (1, 0, -1, 0)


@pytest.mark.parametrize(
    "recipe",
    ["", "karaoke", "=vocals", "x=", "x=vocal", "x=vocals drums", "x=vocals+", "x=vocals--drums", "../x=vocals"],
)
def test_a_text_that_is_not_a_recipe_is_refused(recipe: str) -> None:
    with pytest.raises(ValueError, match=r"a recipe is NAME=STEM|cannot understand"):
        parse(recipe, STEMS)


def test_a_recipe_adds_up_samples() -> None:
    rng = np.random.default_rng(0)
    mixture, stems = rng.random((2, 9), np.float32), rng.random((4, 2, 9), np.float32)
    assert np.array_equal(parse("x=mixture-vocals", STEMS).of(mixture, stems), mixture - stems[3])
    assert np.allclose(parse("x=drums+bass", STEMS).of(mixture, stems), stems[0] + stems[1])


def test_a_single_stem_is_written_unchanged() -> None:
    stems = np.full((4, 2, 9), np.float32(0.1))
    assert np.shares_memory(stem_output("bass", STEMS).of(stems[0], stems), stems)


def test_all_stems_are_written_unless_some_are_named() -> None:
    assert [output.name for output in chosen(STEMS, None, [])] == list(STEMS)
    assert [output.name for output in chosen(STEMS, ["Vocals", "drums"], [])] == ["drums", "vocals"]
    assert [output.name for output in chosen(STEMS, ["none"], ["k=mixture-vocals"])] == ["k"]


def test_two_stems_are_a_stem_and_the_song_without_it() -> None:
    with_voice, without = chosen(STEMS, None, [], "vocals")
    assert (with_voice.name, without.name) == ("vocals", "no_vocals")
    assert without.gains == (1, 0, 0, 0, -1)


@pytest.mark.parametrize(
    ("wanted", "recipes", "two", "complaint"),
    [
        (["choir"], [], None, "no stem 'choir'; this model has drums, bass"),
        (None, ["Vocals=mixture-drums"], None, "two files would have the name 'vocals'"),
        (None, [], "choir", "no stem 'choir'"),
        (["none"], [], None, "nothing to write"),
        (["drums"], [], "vocals", "--two-stems already chooses the stems"),
    ],
)
def test_outputs_that_cannot_be_written_are_refused(
    wanted: list[str] | None, recipes: list[str], two: str | None, complaint: str
) -> None:
    with pytest.raises(ValueError, match=complaint):
        chosen(STEMS, wanted, recipes, two)

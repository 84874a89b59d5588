"""Which model is recommended for what people want of a song."""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stemsplit import registry
from stemsplit.errors import RegistryError
from stemsplit.registry import ModelEntry, choosing
from stemsplit.registry.wishes import Wish, stems_of, wishes

STARTER = registry.find("starter")


def model(name: str, score: float | None = None, test_set: str = "A", **more: object) -> ModelEntry:
    """An entry of a model that gives vocals and the rest."""
    table = {} if score is None else {"measure": "SDR in dB", "test_set": test_set, "vocals": score}
    values = {"stems": ("vocals",), "residual": "instrumental", "sha256": "0" * 64, "license": "", "cost": 100.0}
    return replace(STARTER, name=name, score=table, recommended="", **{**values, **more})  # type: ignore[arg-type]


def choice(*models: ModelEntry, wish: Wish | None = None, stems: str = "vocals") -> choosing.Choice:
    wished = {wish.name: wish} if wish else {}
    found = choosing.choose(stems.split(","), {entry.name: entry for entry in models}, wished)
    assert found
    return found


def test_the_best_of_a_test_set_is_taken_and_others_do_not_count() -> None:
    models = model("a", 8), model("b", 9), model("better", 12, "B"), model("untested")
    assert choice(*models).entry.name == "b"
    assert choice(*models).why == "highest published score of vocals: SDR 9.00 dB, A"
    assert choice(*models, wish=Wish("vocals", ("vocals",), test_set="B")).entry.name == "better"


@pytest.mark.parametrize("score", [float("nan"), float("inf"), 10**400, "99", True])
def test_a_score_that_nothing_can_have_is_none(score: Any) -> None:
    assert choice(model("a", score), model("b", 3)).entry.name == "b"


def test_own_validations_of_two_authors_do_not_compare() -> None:
    own = "the author's own validation"
    models = model("a", 8, own, author="ann"), model("b", 7, own, author="ann"), model("c", 20, own, author="ben")
    assert choice(*models).entry.name == "a"


def test_of_two_as_good_the_one_with_a_stated_licence_is_taken() -> None:
    assert choice(model("a", 9), model("b", 9, license="MIT")).entry.name == "b"


def test_a_file_that_nobody_can_recognise_is_not_recommended() -> None:
    assert choice(model("a", 9, sha256=""), model("b", 3)).entry.name == "b"
    assert choice(model("a", 9, sha256="", sources=("file:/a.ckpt",)), model("b", 3)).entry.name == "a"


def test_what_is_written_is_taken_with_its_reason() -> None:
    wish = Wish("voice", ("vocals",), model="a", reason="small")
    found = choice(model("a", 3), model("b", 9), wish=wish)
    assert (found.entry.name, found.why) == ("a", "small")
    with pytest.raises(RegistryError, match=r"\[wish.voice\] recommends 'a', but no model has that name"):
        choice(model("b", 9), wish=wish)
    mine = model("a", 3, stems=("speech",))
    assert choice(mine, model("b", 9), wish=wish).entry.name == "b", "the user's own model of that name is another one"


def test_a_model_for_another_purpose_is_no_candidate() -> None:
    karaoke = model("a", 9, stems=("lead_vocals",))
    wish = Wish("instrumental", ("instrumental",), without=("lead_vocals",))
    assert choice(karaoke, model("b"), wish=wish, stems="instrumental").entry.name == "b"


def test_a_free_licence_and_less_work_are_shown_beside_the_best() -> None:
    best, free = model("best", 9, cost=100), model("free", 8, license="MIT", cost=90)
    light, closed = model("light", 5, cost=10), model("nc", 8.5, license="CC-BY-NC-4.0", cost=60)
    found = choice(best, free, light, closed)
    assert found.entry is best
    assert found.instead == {"free licence": free, "fast": light}
    assert not choice(model("best", 9, license="MIT"), model("half", 5, cost=51)).instead
    assert choice(best, model("overlapping", 5, cost=20, chunk=800, hop=100)).instead == {}, "each second eight times"


def test_stems_are_found_in_any_letter_case_and_wishes_by_their_names() -> None:
    assert choice(model("a"), stems="VOCALS,Instrumental").entry.name == "a"
    wished = {"Karaoke": Wish("Karaoke", ("lead_vocals",)), "vocals": Wish("vocals", ("other",))}
    assert stems_of(["karaoke", "vocals"], wished, ["vocals"]) == ["lead_vocals", "vocals"]


def test_a_few_stems_of_a_wish_are_given_by_its_model() -> None:
    assert choosing.recommended(["drums", "bass"]).entry == choosing.recommended([]).entry
    assert choosing.recommended([]).entry.outputs == STARTER.outputs


@pytest.mark.parametrize(
    ("stems", "complaint"),
    [
        (["gitar"], "no model has a stem 'gitar'; did you mean 'guitar'?"),
        (["zzz"], "no model has a stem 'zzz'; see stemsplit list --all"),
        (["karaoke"], "'karaoke' is not a stem; for karaoke, ask for lead_vocals"),
        (["guitar", "vocals"], "no model gives all of guitar, vocals; split the song once for each: guitar by mel"),
    ],
)
def test_stems_that_no_model_gives_together_are_refused(stems: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=re.escape(complaint)):
        choosing.recommended(stems)


MINE = """
[wish.vocals]
stems = ["vocals"]
model = "starter"
reason = "it is here"
[wish.choir]
stems = ["vocals"]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "more.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_user_s_own_wishes_add_and_override(tmp_path: Path) -> None:
    mine = written(tmp_path, MINE)
    assert wishes(mine).keys() == wishes().keys() | {"choir"}
    assert choosing.recommended(["vocals"], mine).entry.name == "starter"
    assert registry.read(mine) == {}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[wish]\nvocals = 1", r"\[wish\] holds tables, each \[wish.NAME\]"),
        ("wish = 1", r"\[wish\] holds tables"),
        ("[wish.a]", r"\[wish.a\] lacks stems"),
        ("[wish.a]\nstems = []", "lacks stems"),
        ('[wish.a]\nstems = "vocals"', "stems must be a list of names"),
        ('[wish.a]\nstems = ["vocals"]\nwithout = [1]', "without must be a list of names"),
        ('[wish.a]\nstems = ["vocals"]\ntitel = "a"', "unknown key 'titel'; did you mean 'title'"),
        ('[wish.a]\nstems = ["vocals"]\nmodel = "starter"', "needs both model and reason"),
        ('[wish.a]\nstems = ["vocals"]\ntitle = "a\\u001b"', "title must be one line"),
    ],
)
def test_a_mistake_in_a_wish_is_named(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(RegistryError, match=complaint):
        wishes(written(tmp_path, text))


def test_a_model_may_be_called_wish(tmp_path: Path) -> None:
    """As it could before there were wishes."""
    text = registry.as_toml(replace(STARTER, name="wish")) + registry.as_toml(replace(STARTER, name="preset"))
    path = written(tmp_path, text)
    assert {"wish", "preset"} <= registry.entries(path).keys()
    assert wishes(path) == wishes()

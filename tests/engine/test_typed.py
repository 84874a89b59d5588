"""What people type for several models: which models it means, and what is said if it means none."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from stemsplit import registry
from stemsplit.choices import CombineName
from stemsplit.engine.combination.entry import Combination, entries_of
from stemsplit.engine.combination.typed import Models, parts
from stemsplit.errors import RegistryError
from stemsplit.registry import ModelEntry
from stemsplit.words import bytes_in

STARTER = registry.find("starter")
VOCALS = replace(STARTER, stems=("vocals",), residual="instrumental", mixture_consistency=False)


@pytest.fixture
def more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Writes a registry of four stems (a, b, c+d, x:1) and of vocals (v), with what else is given."""

    def write(text: str = "") -> Path:
        monkeypatch.chdir(tmp_path)
        entries = [replace(STARTER, name=name) for name in ("a", "b", "c+d", "x:1")] + [replace(VOCALS, name="v")]
        tables = "\n".join(map(registry.as_toml, entries)).replace("[c+d", '["c+d"').replace("[x:1", '["x:1"')
        (tmp_path / "more.toml").write_text(f"{tables}\n{text}", encoding="utf-8")
        return tmp_path / "more.toml"

    return write


def models(more: Path, combine: CombineName | None = None) -> Models:
    def look_up(model: object) -> ModelEntry:
        if str(model).endswith(".ckpt") and Path(str(model)).exists():
            return replace(STARTER, name=Path(str(model)).stem)
        return registry.find(str(model), more)

    return Models(look_up, more, combine)


def names(source: object) -> list[str]:
    assert isinstance(source, Combination)
    return [member.name for member in source.members]


def test_a_text_is_cut_at_separators_but_not_within_names() -> None:
    assert parts("a + b,c", "+,", lambda _: False) == ["a", "b", "c"]
    assert parts("a+b+c+d", "+", lambda part: part in ("a+b", "a+b+c")) == ["a+b+c", "d"]


def test_names_and_files_with_signs_in_them_stay_whole(more: Callable[..., Path]) -> None:
    known = models(more())
    Path("e+f:2.ckpt").touch()
    Path("vocals=g,h.ckpt").touch()
    assert names(known.source("c+d+a")) == ["c+d", "a"]
    assert names(known.source("a:1+c+d:2+x:1:3")) == ["a", "c+d", "x:1"]
    assert names(known.source("./e+f:2.ckpt+a")) == ["e+f:2", "a"]
    assert known.source("c+d").name == "c+d"
    assert known.source("x:1").name == "x:1"
    assert known.route(["vocals=a,rest=vocals=g,h.ckpt"]).members[0].name == "vocals=g,h"


def test_weights_are_those_that_were_typed(more: Callable[..., Path]) -> None:
    known = models(more())
    for source in (known.source("a:.6+b:4e-1"), known.ensemble("a:0.6,b:0.4"), known.ensemble({"a": 0.6, "b": 0.4})):
        assert isinstance(source, Combination)
        assert (source.name, source.weights) == ("a:0.6+b:0.4", (0.6, 0.4))
    assert known.ensemble(["a", "b"]).weights == (1, 1)


def test_what_combines_them_is_in_the_name(more: Callable[..., Path]) -> None:
    assert models(more(), CombineName.median).source("a+b").name == "a+b combine=median"
    assert models(more(), CombineName.mean).source("a+b").name == "a+b"


WRONG = {
    "empty member": ("a+", r"'a\+' has a plus or comma without a model"),
    "nothing": ("+", "without a model"),
    "no number": ("a:x+b:1", "'x' is not a weight of a"),
    "decimal comma": ("a:0,6+b:0,4", "'0,6' is not a weight of a"),
    "negative": ("a:-1+b:1", "a weight must be above 0 and finite, not -1, 1"),
    "zero": ("a:0+b:1", "above 0"),
    "not a number": ("a:nan+b:1", "above 0 and finite"),
    "infinite": ("a:1e999+b:1", "above 0 and finite"),
    "one without": ("a:1+b", "b has no weight"),
    "alone": ("a:1", "needs several models"),
    "a list": ("a,b", r"write a\+b"),
    "a preset": ("p+a", "p is a preset of several models"),
    "too many": ("+".join("a" * 40), "at most 32 models"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_means_nothing_is_refused(more: Callable[..., Path], kind: str) -> None:
    text, complaint = WRONG[kind]
    file = more('[preset.p]\ndescription = "P"\nmembers = ["a", "b"]\n')
    with pytest.raises((ValueError, RegistryError), match=complaint):
        models(file).source(text)


def test_a_member_that_is_not_there_is_named(more: Callable[..., Path]) -> None:
    known = models(more())
    with pytest.raises(RegistryError, match="no model named 'startr'; did you mean 'starter'"):
        known.source("a+startr")
    with pytest.raises(RegistryError, match=r"no model named './no'.*; there is no file './no\+pe.ckpt' either"):
        known.source("./no+pe.ckpt")


ROUTES = {
    "no stem": ("vocals", "'vocals' has no stem"),
    "no model": ("vocals=", "'vocals=' has no model"),
    "no name": ("=a", "'=a' has no stem"),
    "unknown stem": ("vocls=a", "a does not give 'vocls'.*did you mean 'vocals'"),
    "rest alone": ("rest=a", "needs at least one stem"),
    "twice": ("vocals=a,VOCALS=v", "'VOCALS' is named twice"),
    "rest twice": ("vocals=v,rest=a,Rest=b", "'Rest' is named twice"),
}


@pytest.mark.parametrize("kind", ROUTES)
def test_routes_that_lead_nowhere_are_refused(more: Callable[..., Path], kind: str) -> None:
    text, complaint = ROUTES[kind]
    with pytest.raises(ValueError, match=complaint):
        models(more()).route(text)


def test_a_route_may_lead_to_ensembles_and_presets(more: Callable[..., Path]) -> None:
    known = models(more('[preset.p]\ndescription = "P"\nmembers = ["a", "b"]\n'))
    found = known.route({"vocals": "v", "drums": "a:1+c+d:2", "REST": "p"})
    assert {entry.name for entry in entries_of(found)} == {"a", "b", "c+d", "v"}
    assert {*found.outputs} == {"vocals", "drums", "bass", "other"}


PRESETS = {
    "unknown member": ('members = ["a", "bb"]', "names 'bb', and there is no model of that name"),
    "nothing in common": ('members = ["a", "mel-roformer-guitar"]', r"\[preset.p\].*nothing to combine"),
    "one member": ('members = ["a"]', "2 to 32"),
    "both": ('members = ["a", "b"]\nroute = { vocals = "a" }', "either members"),
    "neither": ("", "either members"),
    "weights": ('members = ["a", "b"]\nweights = [1]', "1 weights for 2 members"),
    "bad weight": ('members = ["a", "b"]\nweights = [1, -1]', "above 0"),
    "huge weight": (f'members = ["a", "b"]\nweights = [1, 1{"0" * 400}]', "weights must be finite"),
    "true weight": ('members = ["a", "b"]\nweights = [1, true]', "list of numbers"),
    "combine": ('members = ["a", "b"]\ncombine = "sum"', "combine must be one of"),
    "unknown key": ('members = ["a", "b"]\nmember = "c"', "unknown key 'member'"),
    "itself": ('route = { vocals = "p" }', "is a route itself"),
    "stem twice": ('route = { vocals = "a", Vocals = "b" }', "two models for one stem"),
    "no description": ('members = ["a", "b"]\ndescription = ""', "needs a description"),
}


@pytest.mark.parametrize("kind", PRESETS)
def test_a_preset_that_cannot_be_is_refused_by_name_and_file(more: Callable[..., Path], kind: str) -> None:
    lines, complaint = PRESETS[kind]
    description = "" if "description" in lines else 'description = "P"\n'
    with pytest.raises(RegistryError, match=complaint) as found:
        models(more(f"[preset.p]\n{description}{lines}\n")).source("p")
    assert "more.toml" in str(found.value)


def test_a_model_is_not_hidden_by_a_preset(more: Callable[..., Path]) -> None:
    with pytest.raises(RegistryError, match="has the name of a model"):
        models(more('[preset.a]\ndescription = "A"\nmembers = ["b", "v"]\n')).source("nothing")
    assert models(more('[preset.best-vocals]\ndescription = "M"\nmembers = ["a", "b"]')).source("best-vocals").outputs


@pytest.mark.parametrize("weight", [None, "x", 10**400])
def test_a_weight_that_is_not_a_number_is_refused(more: Callable[..., Path], weight: Any) -> None:
    with pytest.raises(ValueError, match="is not a weight of a"):
        models(more()).ensemble({"a": weight, "b": 1})


def test_a_preset_is_not_called_auto_which_means_another_model(more: Callable[..., Path]) -> None:
    with pytest.raises(RegistryError, match=r"\[preset.auto\] needs another name"):
        models(more('[preset.auto]\ndescription = "A"\nmembers = ["a", "b"]\n')).source("auto")


def test_the_rest_of_a_preset_may_have_any_letter_case(more: Callable[..., Path]) -> None:
    known = models(more('[preset.p]\ndescription = "P"\nroute = { vocals = "v", Rest = "a" }\n'))
    assert {*known.source("p").outputs} == {"vocals", "drums", "bass", "other"}


def test_another_way_to_combine_shows_in_a_preset_s_name(more: Callable[..., Path]) -> None:
    file = more('[preset.p]\ndescription = "P"\nmembers = ["a", "b"]\ncombine = "median"\n')
    assert models(file).source("p").name == "p"
    assert models(file, CombineName.median).source("p").name == "p"
    assert models(file, CombineName.mean).source("p").name == "p combine=mean"


def test_a_broken_preset_does_not_hide_the_others(more: Callable[..., Path]) -> None:
    told: list[str] = []
    found = models(more('[preset.p]\ndescription = "P"\nmembers = ["a", "bb"]\n')).all_presets(told.append)
    assert [preset.name for preset, _ in found] == ["best-vocals", "best-instrumental", "best-4-stems", "karaoke"]
    assert "bb" in told[0]


@pytest.mark.parametrize(
    ("text", "count"),
    [("6G", 6_000_000_000), ("6 GB", 6_000_000_000), ("1.5GiB", 3 << 29), ("500m", 500_000_000), ("7", 7)],
)
def test_sizes_are_read_as_people_write_them(text: str, count: int) -> None:
    assert bytes_in(text) == count


@pytest.mark.parametrize("text", ["", "G", "6X", "-1G", "0", "0.4", "nan", "1e9", "6Gi8", "6ib", "9" * 400])
def test_what_is_not_a_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        bytes_in(text)

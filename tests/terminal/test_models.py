"""What `list` and `info` print."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest

from stemsplit import registry
from stemsplit.registry.scores import score
from stemsplit.terminal import models
from stemsplit.terminal.stdout import print_json

STARTER = registry.find("starter")


def test_a_pipe_gets_one_whole_line_a_model(capsys: pytest.CaptureFixture[str]) -> None:
    long = replace(STARTER, description="what it is for, " * 30)
    models.print_models([STARTER, long])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["model", "starter", "starter"]
    assert long.description.strip() in lines[2]


ALL = list(registry.entries().values())


def shown(width: int, entries: list[registry.ModelEntry] = ALL, here: set[str] | None = None) -> str:
    return "\n".join(text for text, _ in models.listing(entries, here or set(), width))


def test_on_a_terminal_a_model_has_one_line_of_a_hundred_columns() -> None:
    lines = [line[3:] for line in shown(100).splitlines()]
    for entry in ALL:
        (line,) = [line for line in lines if line.startswith(f"{entry.name} ")]
        assert len(line) <= 97
        assert (entry.license or "not stated") in line


def test_a_narrow_terminal_loses_nothing() -> None:
    """What is cut off on one line stands on a second one."""
    text = shown(80)
    for entry in ALL:
        head, tail = text[re.search(f"^.. {entry.name} ", text, re.M).start() :].splitlines()[:2]  # type: ignore[union-attr]
        assert len(head) <= 80
        assert tail.strip()
        assert entry.description.endswith(tail.strip())
    assert "…" not in text


@pytest.mark.parametrize("width", [80, 100, 140])
def test_scores_in_a_column_are_of_one_test_set(width: int) -> None:
    by_name, scales, tables = {entry.name: entry for entry in ALL}, set[object](), 0
    for line in shown(width).splitlines():
        if not line.strip():
            scales, tables = set(), tables + 1
        elif entry := by_name.get(line[3:].partition(" ")[0]):
            found = score(entry)
            scales.add(found and found[0])
            assert len(scales) == 1
            assert found is None or f" {found[1]:.2f} " in line
    assert tables > 20


def test_own_validations_of_two_authors_are_not_compared() -> None:
    score = {"measure": "SDR in dB", "test_set": "the author's own validation", "mean": 1.0}
    pair = [replace(STARTER, name=name, author=name, score=score) for name in ("ann", "ben")]
    assert shown(100, pair).count("own validation") == 2


def test_a_name_of_any_length_leaves_its_description_whole() -> None:
    lines = shown(100, [replace(STARTER, name="x" * 150)]).splitlines()
    assert STARTER.description in lines[2]


def test_the_best_of_a_table_comes_first() -> None:
    scores = [{**STARTER.score, "mean": figure} for figure in (2.0, 10.0, 9.0)]
    text = shown(100, [replace(STARTER, name=f"m{score['mean']:.0f}", score=score) for score in scores])
    assert text.index("m10 ") < text.index("m9 ") < text.index("m2 ")


@pytest.mark.parametrize("figure", ["12.5", True, [1], {"a": 1}])
def test_a_score_that_is_not_a_number_is_none(figure: object) -> None:
    assert score(replace(STARTER, score={"mean": figure})) is None
    assert "no published score" in shown(100, [replace(STARTER, score={"mean": figure})])


def test_what_is_on_this_machine_and_what_is_recommended_is_marked() -> None:
    lines = shown(100, here={"starter"}).splitlines()
    assert any(line.startswith("*+ starter") for line in lines)
    assert any(line.startswith(" + bs-roformer ") for line in lines)
    assert any(line.startswith("   mel-roformer-4stem-large ") for line in lines)


def test_no_text_of_a_registry_reaches_the_terminal_unescaped() -> None:
    evil = "\x1b[2J"
    score = {"measure": evil, "test_set": evil, "mean": 1.0}
    entry = replace(STARTER, name=evil, description=evil, license=evil, stems=(evil,), score=score)
    assert "\x1b" not in shown(80, [entry]) + shown(100, [entry])


def test_many_stems_are_counted_instead_of_named() -> None:
    entry = replace(STARTER, stems=tuple(f"stem{n}" for n in range(53)))
    assert models.row(entry)[1] == "53 stems"


def test_what_is_unknown_is_said(tmp_path: Path) -> None:
    unknown = replace(STARTER, sha256="", size=0, license="")
    facts = models.facts(unknown, None)
    assert facts["license"] == "not stated"
    assert "none was published" in facts["sha256"]
    assert facts["on this machine"] == "no"
    assert "size" not in facts
    (tmp_path / "weights").write_bytes(bytes(1_000_000))
    assert models.facts(unknown, tmp_path / "weights")["on this machine"].endswith("weights (1.0 MB)")


def test_what_decides_comes_first_and_the_config_only_when_asked_for() -> None:
    facts = models.facts(STARTER, None)
    assert [*facts][:5] == ["name", "description", "recommended", "stems", "license"]
    assert [*facts].index("on this machine") < [*facts].index("architecture")
    assert "mean 5.59" in facts["score"]
    assert "config" not in facts
    assert models.facts(STARTER, None, verbose=True) == facts | {"config": STARTER.config}


def test_json_has_every_field_of_every_model(capsys: pytest.CaptureFixture[str]) -> None:
    everything = list(registry.entries().values())
    print_json([models.entry_as_data(entry, None) for entry in everything])
    read = json.loads(capsys.readouterr().out)
    assert [data["name"] for data in read] == [entry.name for entry in everything]
    assert read[0]["config"] == dict(STARTER.config)
    assert read[0]["outputs"] == list(STARTER.outputs)
    assert "recommended" not in read[0], "an opinion, which may change"


def test_passwords_in_sources_are_not_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    secret = replace(STARTER, sources=("https://user:s3cr3t@host.org/w.ckpt?token=s3cr3t", "hf://a/b@main/w.ckpt"))
    for path in (None, tmp_path / "w.ckpt"):
        models.print_facts(models.facts(secret, path))
        print_json(models.entry_as_data(secret, path))
    shown = capsys.readouterr().out
    assert "s3cr3t" not in shown
    assert shown.count("https://***@host.org/w.ckpt?***") == 4
    assert shown.count("hf://a/b@main/w.ckpt") == 4


def test_weights_that_are_removed_meanwhile_are_no_trouble(tmp_path: Path) -> None:
    assert models.facts(STARTER, tmp_path / "gone")["on this machine"] == str(tmp_path / "gone")

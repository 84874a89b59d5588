"""What `list` shows without a filter: which model to take for what."""

import subprocess
import sys
from collections.abc import Collection, Mapping
from dataclasses import replace

import pytest

from stemsplit import registry
from stemsplit.registry import ModelEntry
from stemsplit.registry.choosing import choose
from stemsplit.registry.scores import score_of
from stemsplit.registry.wishes import Wish, wishes
from stemsplit.songs.durations import Duration, How
from stemsplit.terminal.wishes import Advice, in_words, lines

MODELS = registry.entries()
WISHES = wishes()
ALL_TIMES = {name: Duration(8_000, How.guessed) for name in MODELS}


def shown(
    width: int,
    models: Mapping[str, ModelEntry] = MODELS,
    wished: Mapping[str, Wish] = WISHES,
    times: Mapping[str, Duration] = ALL_TIMES,
    here: Collection[str] = (),
) -> list[str]:
    choices = [(wish, choice) for wish in wished.values() if (choice := choose(wish.stems, models, wished))]
    return [text for text, _ in lines(Advice(choices, [], times, here, len(models), 2), width)]


@pytest.mark.parametrize("width", [80, 120])
def test_nothing_is_wider_than_the_terminal(width: int) -> None:
    assert max(map(len, shown(width))) <= width


def test_every_wish_has_its_model_with_score_test_set_licence_size_and_time() -> None:
    text = shown(80)
    for wish in WISHES.values():
        found = choose(wish.stems, MODELS, WISHES)
        assert found
        head = next(n for n, line in enumerate(text) if line.startswith(f"{wish.title or wish.name}: "))
        row, entry = text[head + 1], found.entry
        score = score_of(entry, wish.stems)
        assert row.split()[0] == entry.name
        assert (entry.license or "not stated") in row
        assert "~133 min" in row
        if not wish.model:
            assert score
            assert f" {score[1]:.2f} " in row
            assert score[0][2].removeprefix("the author's own validation, ") in text[head]


def test_scores_of_other_test_sets_are_not_in_a_wish_s_column() -> None:
    other = {"measure": "SDR in dB", "test_set": "another", "mean": 77.77}
    models = {**MODELS, "starter": replace(MODELS["starter"], score=other)}
    assert " starter " in " ".join(shown(80, models))
    assert "77.77" not in "".join(shown(80, models))


@pytest.mark.parametrize(
    ("seconds", "how", "text"),
    [
        (0.2, How.measured, "1 s"),
        (89, How.measured, "89 s"),
        (90, How.scaled, "~2 min"),
        (9_000, How.guessed, "~150 min"),
        (11_000, How.measured, "3 h"),
    ],
)
def test_a_time_says_whether_it_was_measured(seconds: float, how: How, text: str) -> None:
    assert in_words(Duration(seconds, how)) == text


def test_how_times_are_known_is_said_and_without_any_nothing() -> None:
    assert any("a guess for 2 cores" in line for line in shown(80))
    scaled = {name: Duration(100, How.scaled) for name in MODELS}
    assert any("by other models' runs" in line for line in shown(80, times=scaled))
    assert not any("time:" in line for line in shown(80, times={}))


def test_what_is_on_this_machine_is_marked_or_named() -> None:
    text = shown(80, here={"bs-roformer", "mel-roformer-crowd"})
    assert any(line.startswith("* bs-roformer ") for line in text)
    assert "also on this machine: mel-roformer-crowd" in text


def test_a_name_of_any_length_and_any_character_is_shown_whole() -> None:
    long = replace(MODELS["starter"], name="x" * 90 + "\x1b", license="\x1b", score={})
    text = shown(80, {"starter": long}, {"w": Wish("w", ("drums",), title="\x1b")}, times={})
    assert any("x" * 90 in line for line in text)
    assert "\x1b" not in "".join(text)


def test_the_list_of_a_terminal_needs_no_pytorch() -> None:
    """It would take seconds."""
    code = (
        "import sys; from stemsplit.terminal import tables; tables.is_terminal = lambda: True\n"
        "from stemsplit.cli.showing import print_models; print_models(); print_models('guitar')\n"
        "print([name for name in ('torch', 'numpy', 'huggingface_hub', 'typer') if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "four stems: " in found.stdout
    assert found.stdout.splitlines()[-1] == "[]"

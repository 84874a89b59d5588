"""What a new user mistypes or misses, and what is said of it."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result

Command = Callable[..., Result]
Song = Callable[..., Path]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "songs", "-o", "a"], "'trian' is neither a command nor a file; did you mean 'train'?"),
        (["--quiet", "trian", "songs"], "'trian' is neither a command nor a file; did you mean 'train'?"),
        (["lits"], "'lits' is neither a command nor a file; did you mean 'list'?"),
        (["song"], "'song' is neither a command nor a file; did you mean 'song.wav'?"),
        (["xyzzy", "song.wav"], "'xyzzy' is neither a command nor a file; see stemsplit --help"),
    ],
)
def test_a_first_word_that_is_neither_a_command_nor_a_file_splits_nothing(
    stemsplit: Command, song: Song, tmp_path: Path, words: list[str], said: str
) -> None:
    (tmp_path / "songs").mkdir()
    song("songs/a.wav")
    song("song.wav")
    before = sorted(tmp_path.rglob("*"))
    assert stemsplit(*words) == Result(2, "", f"error: {said}\n")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_first_word_that_is_a_file_or_looks_like_one_is_a_song(
    stemsplit: Command, song: Song, tmp_path: Path
) -> None:
    (tmp_path / "trian").mkdir()
    song("trian/a.wav")
    assert stemsplit("trian", "--dry-run").status == 0
    for word in ("lits.wav", "no/lits", "lits*"):
        assert stemsplit(word).err.endswith(f"cannot read {word} (there is no such file)\n")


def test_a_stem_that_the_model_does_not_give_names_models_that_do(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    result = stemsplit("a.wav", "--stems", "guitar")
    assert result.status == 2
    name = re.search(r"add --model (\S+), or see stemsplit list guitar", result.err)
    assert name
    assert "guitar" in json.loads(stemsplit("info", name[1], "--json").out)["stems"]
    assert "did you mean 'vocals'?" in stemsplit("a.wav", "--stems", "vocal").err


def test_a_dry_run_shows_where_each_stem_goes(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    shown = stemsplit("a.wav", "--name", "{stem}/{track}", "--stems", "vocals,bass", "--dry-run").out
    assert shown.rstrip().endswith("stems: bass/a.wav, vocals/a.wav")

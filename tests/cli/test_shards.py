"""`--shard`: machines that know nothing of each other split each song once."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.listening import standalone
from tests.cli.conftest import Result
from tests.cli.processes import light as light
from tests.cli.processes import read_lines, tree
from tests.cli.processes import tiny as tiny

pytestmark = pytest.mark.usefixtures("light")

Command = Callable[..., Result]
Song = Callable[..., Path]


@pytest.fixture
def library(song: Song, tmp_path: Path) -> list[str]:
    """Five songs, two of which have one name; and one that cannot be read."""
    (tmp_path / "lib" / "more").mkdir(parents=True)
    for name in ("a.wav", "b.wav", "more/a.wav", "c.wav", "c.flac"):
        song(f"lib/{name}", frames=4_000)
    (tmp_path / "lib" / "bad.wav").write_bytes(b"RIFF")
    return ["lib", "--threads", "1"]


def test_all_shards_together_do_what_one_run_does(
    stemsplit: Command, library: list[str], tiny: list[str], tmp_path: Path
) -> None:
    """The same bytes under the same names, though each shard sees only its own songs; and again, they do nothing."""
    stemsplit(*library, *tiny, "-o", "whole")
    told = []
    for _ in range(2):
        results = [stemsplit(*library, *tiny, "-o", "out", "--shard", f"{number}/2", "--json") for number in (1, 2)]
        told.append([line for result in results for line in read_lines(result.out)[0]])
        assert sorted(result.status for result in results) == [0, 1]  # one has the song that cannot be read
    statuses = [sorted(line["status"] for line in lines) for lines in told]
    assert statuses == [["done"] * 5 + ["failed"], ["failed"] + ["skipped"] * 5]
    shared = {name: data for name, data in tree(tmp_path / "out").items() if not name.startswith("stemsplit-notes")}
    assert shared == tree(tmp_path / "whole")


def test_a_shard_without_songs_is_done(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    results = [stemsplit("a.wav", "--shard", f"{number}/2", "--dry-run", "--json") for number in (1, 2)]
    assert [result.status for result in results] == [0, 0]
    assert sorted(len(read_lines(result.out)[0]) for result in results) == [0, 1]
    assert stemsplit(".", "--shard", "1/2").err.startswith("shard 1/2: ")


def test_nothing_found_is_an_error_in_a_shard_too(stemsplit: Command, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    result = stemsplit("empty", "--shard", "1/2")
    assert (result.status, result.err.count("\n")) == (1, 1)


def test_the_variables_of_a_scheduler_choose_the_shard(
    stemsplit: Command, song: Song, monkeypatch: pytest.MonkeyPatch
) -> None:
    song("a.wav")
    for name, value in {"ID": 2, "MIN": 1, "MAX": 2, "COUNT": 2, "STEP": 1}.items():
        monkeypatch.setenv(f"SLURM_ARRAY_TASK_{name}", str(value))
    assert stemsplit("a.wav", "--shard", "auto", "--dry-run").err.startswith("shard 2/2, from SLURM_ARRAY_TASK_ID=2,")
    monkeypatch.delenv("SLURM_ARRAY_TASK_COUNT")
    result = stemsplit("a.wav", "--shard", "auto", "--json")
    assert (result.status, result.err.count("\n")) == (2, 1)
    assert "SLURM_ARRAY_TASK_COUNT is not set" in result.err


def test_shards_do_not_write_over_each_others_tables(
    stemsplit: Command, library: list[str], tiny: list[str], tmp_path: Path
) -> None:
    """Nor over each other's notes; a run of one machine keeps none."""
    for number in (1, 2):
        stemsplit(*library, *tiny, "--shard", f"{number}/2", "--csv", "songs.csv")
    rows = [len(path.read_text().splitlines()) - 1 for path in tmp_path.glob("songs-?-of-2.csv")]
    assert (len(rows), sum(rows)) == (2, 6)
    notes = [json.loads(path.read_text()) for path in tmp_path.glob("stems/stemsplit-notes/run-*.json")]
    assert sorted(note["shard"] for note in notes) == ["1/2", "2/2"]
    assert sum(note["summary"]["songs"] for note in notes) == 6
    (failed,) = tmp_path.glob("stems/stemsplit-notes/failed-*.json")
    assert json.loads(failed.read_text())["song"] == "lib/bad.wav"
    stemsplit(*library, *tiny, "-o", "alone")
    assert not (tmp_path / "alone" / "stemsplit-notes").exists()


@pytest.mark.usefixtures("ffmpeg")
def test_a_shard_of_one_song_is_still_one_of_many(
    stemsplit: Command, song: Song, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit status 2 would tell a scheduler that the command is wrong, on all machines."""
    song("a.wav"), song("b.wav")
    monkeypatch.setattr(standalone, "LIMIT", 1)
    assert stemsplit("a.wav", "--page", "--dry-run").status == 2
    shards = [stemsplit("a.wav", "b.wav", "--page", "--dry-run", "--shard", f"{number}/8") for number in range(1, 9)]
    assert sorted(shard.status for shard in shards) == [0] * 6 + [1] * 2

"""Tables: `split --csv` and `eval --csv`."""

import csv
import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from stemsplit.songs.stem_files import StemFiles
from stemsplit.terminal import csv_files
from tests.cli.conftest import Result
from tests.cli.processes import light as light
from tests.conftest import noise, unix

pytestmark = pytest.mark.usefixtures("light")

Command = Callable[..., Result]
Song = Callable[..., Path]

MIX = ("--stems", "none", "--mix", "all=mixture", "--mix", "half=mixture", "--threads", "1", "--quiet")


def table(path: str | Path = "t.csv") -> list[dict[str, str]]:
    text = Path(path).read_bytes().decode()
    assert text.endswith("\n")
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_a_row_says_what_json_says(stemsplit: Command, song: Song) -> None:
    """Of songs that were split, skipped and failed."""
    for name in ("a.wav", 'b, "c".wav'):
        song(name)
    stemsplit("a.wav", *MIX)
    result = stemsplit("a.wav", 'b, "c".wav', "missing.wav", *MIX, "--json", "--csv", "t.csv")
    assert result.status == 1
    *lines, _ = map(json.loads, result.out.splitlines())
    rows = table()
    assert [row["status"] for row in rows] == [line["status"] for line in lines] == ["skipped", "done", "failed"]
    for row, line in zip(rows, lines, strict=True):
        stems = line.pop("stems")
        line["notes"] = "; ".join(line["notes"])
        flat = {**line, **{f"{stem}.{key}": facts[key] for stem, facts in stems.items() for key in facts}}
        for key, text in row.items():
            value = flat.get(key)
            expected = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
            assert text == expected, key
        assert flat.keys() <= row.keys()
    assert Path(rows[1]["half.path"]).is_file()
    assert rows[1]["half.energy_share"] == "1.0"
    assert "missing.wav" in rows[2]["error"]


def test_the_same_command_again_replaces_the_table(stemsplit: Command, song: Song) -> None:
    """As a batch that is resumed: with other stems, too."""
    song("a.wav")
    stemsplit("a.wav", *MIX, "--csv", "t.csv")
    song("b.wav")
    result = stemsplit("a.wav", "b.wav", *MIX, "--mix", "more=mixture", "--csv", "t.csv")
    assert result.status == 0, result.err
    assert [Path(row["more.path"]).name for row in table()] == ["more.wav"] * 2
    assert sorted(path.name for path in Path().iterdir()) == ["a.wav", "b.wav", "stems", "t.csv"]


@pytest.mark.parametrize("command", ["split", "eval"])
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("a.wav", "a.wav is there, and is not a table of this command; choose another file, or move it away"),
        ("songs.csv", "songs.csv is there, and is not a table"),
        ("empty.csv", "empty.csv is there, and is not a table"),
        ("folder", "folder is there, and is not a table"),
        ("-", "--csv takes the name of a file; for results on stdout, use --json"),
        ("a.wav/t.csv", "cannot write into a.wav (no permission, or not a folder)"),
    ],
)
def test_what_is_no_table_is_never_replaced(
    stemsplit: Command, song: Song, tmp_path: Path, command: str, name: str, complaint: str
) -> None:
    """Which is known before anything is computed."""
    before = song("a.wav").read_bytes()
    (tmp_path / "songs.csv").write_text("song,stem,path\na,vocals,a.wav\n")
    (tmp_path / "empty.csv").touch()
    (tmp_path / "folder").mkdir()
    arguments = ("a.wav", *MIX, "--force") if command == "split" else ("folder", "folder")
    result = stemsplit(command, *arguments, "--csv", name)
    assert (result.status, result.out) == (2, "")
    assert complaint in result.err
    assert (tmp_path / "a.wav").read_bytes() == before
    assert not (tmp_path / "stems").exists()


def test_a_table_may_lie_in_a_folder_that_is_still_to_be_made(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    assert stemsplit("a.wav", *MIX, "-o", "new/out", "--csv", "new/out/t.csv").status == 0
    assert [row["status"] for row in table("new/out/t.csv")] == ["done"]


def test_a_table_that_would_be_a_stem_is_not_written(stemsplit: Command, song: Song) -> None:
    """That can only be known when the stem is there."""
    song("a.wav")
    result = stemsplit("a.wav", *MIX, "--csv", "stems/a/all.wav")
    assert result.status == 1
    assert "all.wav is there, and is not a table" in result.err
    assert soundfile.info("stems/a/all.wav").frames == 22_050


def test_a_dry_run_writes_no_table(stemsplit: Command, song: Song) -> None:
    song("a.wav")
    result = stemsplit("a.wav", *MIX, "--csv", "t.csv", "--dry-run")
    assert result.status == 2
    assert "--dry-run writes nothing, so it has no --csv" in result.err
    assert not Path("t.csv").exists()


def test_after_an_interrupt_the_table_has_the_songs_so_far(
    stemsplit: Command, song: Song, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.wav", "b.wav", "c.wav"):
        song(name)
    finish = csv_files.SplitTable.add

    def add(table_: csv_files.SplitTable, outcome: Any) -> None:
        finish(table_, outcome)
        if outcome.job.path.name == "b.wav":
            raise KeyboardInterrupt

    monkeypatch.setattr(csv_files.SplitTable, "add", add)
    result = stemsplit("a.wav", "b.wav", "c.wav", *MIX, "--csv", "t.csv")
    assert result.status == 130
    assert [(row["song"], row["status"]) for row in table()] == [("a.wav", "done"), ("b.wav", "done")]
    monkeypatch.undo()


def test_a_run_that_ends_before_its_first_song_leaves_an_earlier_table(
    stemsplit: Command, song: Song, monkeypatch: pytest.MonkeyPatch
) -> None:
    song("a.wav")
    stemsplit("a.wav", *MIX, "--csv", "t.csv")

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(StemFiles, "write", interrupted)
    monkeypatch.setattr(csv_files.SplitTable, "add", interrupted)
    assert stemsplit("a.wav", *MIX, "--force", "--csv", "t.csv").status == 130
    assert [row["status"] for row in table()] == ["done"]


def test_a_full_disk_is_told_of(stemsplit: Command, song: Song, monkeypatch: pytest.MonkeyPatch) -> None:
    song("a.wav")

    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(csv_files, "replacing", full)
    result = stemsplit("a.wav", *MIX, "--csv", "t.csv", "--json")
    assert result.status == 1
    assert result.err == "error: cannot write t.csv (No space left on device)\n"
    assert json.loads(result.out.splitlines()[-1])["summary"]["done"] == 1


@pytest.mark.parametrize("name", ["=1+2.wav", "+1.wav", "@sum.wav", "-3.wav", "\tx.wav", "\uff1d1.wav", "plain.wav"])
def test_no_cell_is_a_formula_and_every_path_is_that_of_its_file(stemsplit: Command, song: Song, name: str) -> None:
    """Song names come from strangers."""
    song(name)
    result = stemsplit("split", *MIX, "--csv", "t.csv", "--", f"./{name}" if name[0] == "@" else name)
    assert result.status == 0, result.err
    (row,) = table()
    assert not any(text.startswith(csv_files.ACTIVE) for text in (*row, *row.values()))
    assert Path(row["song"]).is_file()
    assert Path(row["all.path"]).is_file()


@unix
def test_a_name_that_is_no_text_does_not_make_the_table_unreadable(stemsplit: Command, song: Song) -> None:
    path = song("a.wav")
    odd = os.fsencode(path.with_name("b")) + b"\xff.wav"
    try:
        os.rename(path, odd)  # noqa: PTH104  # Path takes no bytes
    except OSError:
        pytest.skip("this file system takes only text as names")
    assert stemsplit(".", *MIX, "--csv", "t.csv").status == 0
    (row,) = table()
    assert row["song"].endswith("b\\udcff.wav")


def test_scores(stemsplit: Command, tmp_path: Path) -> None:
    """A row for each stem: the scores of `--json`, those that are undefined empty; and one for a song that failed."""
    for place, name in enumerate(("=one", "two", "three")):
        for folder, level in (("references", 1.0), ("estimates", 1.1)):
            (tmp_path / folder / name).mkdir(parents=True)
            for seed, stem in enumerate(("bass", "vocals")):
                samples = np.float32(level) * noise(2_000, seed=seed)
                silent = name == "two" and stem == "bass" and folder == "references"
                soundfile.write(tmp_path / folder / name / f"{stem}.wav", 0 * samples if silent else samples, 44_100)
        if place == 2:
            (tmp_path / "estimates" / name / "bass.wav").unlink()
    soundfile.write(tmp_path / "estimates" / "two" / "piano.wav", noise(2_000), 44_100)
    result = stemsplit("eval", "references", "estimates", "--json", "--csv", "new/t.csv")
    assert result.status == 1
    data, rows = json.loads(result.out), table("new/t.csv")
    scored = {(row["song"], row["stem"]): row for row in rows if row["status"] == "scored"}
    assert len(scored) == 4
    for each in data["songs"]:
        for stem, figures in each["stems"].items():
            row = scored[each["song"] if each["song"] != "=one" else "'=one", stem]
            for key, figure in figures.items():
                assert row[key] == ("" if figure is None else str(figure))
    others = [
        (row["song"], row["stem"], row["status"], bool(row["error"])) for row in rows if row["status"] != "scored"
    ]
    assert sorted(others) == [("three", "", "failed", True), ("two", "piano", "unmeasured", False)]
    assert {row["sdr"] for row in rows if row["stem"] == "bass" and row["song"] == "two"} == {""}

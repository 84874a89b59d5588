"""`stemsplit status`: what people and scripts read of it."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from stemsplit.songs.sharing.note_forms import FOLDER
from tests.cli.conftest import Result
from tests.songs.sharing.test_status import Library, held, left
from tests.songs.sharing.test_status import library as library
from tests.test_docs import check

Command = Callable[..., Result]


def test_json_says_of_everything_what_it_is(stemsplit: Command, library: Library) -> None:
    library.add("done.wav", "failed.wav", "missing.wav", "whole.wav", "works.wav", "changed.wav")
    library.split("done.wav", "changed.wav")
    library.fail("failed.wav", "no", host="one")
    left(library, "whole.wav", whole=True)
    (library.out / "changed" / "drums.wav").unlink()
    (library.out / FOLDER / f"run-{'0' * 16}.json").write_text("[]")
    claim = held(library, "works.wav")
    results = [stemsplit("status", "out", *songs, "--json") for songs in (["lib"], [])]
    claim.release()
    of_songs, of_folder = found = [json.loads(result.out) for result in results]
    assert [result.status for result in results] == [each["exit_status"] for each in found] == [1, 1]
    for each in found:
        check("status", each)
        assert (each["done"], each["failed"], each["incomplete"]) == (1, 1, 1)
        assert (each["working"], each["left_behind"]) == (1, 1)
    assert of_songs["songs"] == of_songs["done"] + of_songs["failed"] + of_songs["missing"] == 6
    assert (of_folder["songs"], of_folder["missing"], of_folder["missing_songs"]) == (None, None, [])
    assert {claim["song"]: (claim["state"], claim["whole"]) for claim in of_songs["claims"]} == {
        "lib/whole.wav": ("left behind", True),
        "lib/works.wav": ("live", False),
    }


def test_people_see_a_line_for_each_song_that_is_not_done(stemsplit: Command, library: Library) -> None:
    """Of many, the first ones, and how many more there are."""
    library.add("done.wav", "bad\x1b[31m.wav", *(f"song {number}.wav" for number in range(30)))
    library.split("done.wav")
    library.fail("bad\x1b[31m.wav", "it is\nbroken", host="node7")
    result = stemsplit("status", "out", "lib")
    summary, *lines = result.out.splitlines()
    assert (result.status, result.err) == (1, "")
    assert summary == "out: 1 song split (0:02 of music), 1 failed, 30 missing, of 32"
    assert [line.split()[0] for line in lines] == ["failed"] + ["missing"] * 21
    assert r"lib/bad\x1b[31m.wav" in lines[0]
    assert r"it is\nbroken (node7)" in lines[0]
    assert "and 10 more" in lines[-1]


def test_all_done_is_exit_status_0(stemsplit: Command, library: Library) -> None:
    library.add("a.wav")
    library.split("a.wav")
    assert [stemsplit("status", "out", *songs).status for songs in (["lib"], ["lib/a.wav"], [])] == [0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "said", "status"),
    [
        (["nowhere"], "there is no folder nowhere", 2),
        (["OUT"], "did you mean 'out'?", 2),
        ([], "there is no folder stems", 2),
        (["out", "empty"], "no audio found in empty", 1),
        (["out", "lib", "--name", "{stem"], "braces", 2),
    ],
)
def test_what_cannot_be_looked_at_is_one_line(
    stemsplit: Command, library: Library, arguments: list[str], said: str, status: int
) -> None:
    library.add("a.wav")
    (library.out.parent / "empty").mkdir()
    result = stemsplit("status", *arguments)
    assert (result.status, result.out, result.err.count("\n")) == (status, "", 1)
    assert said in result.err


def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_is_looked_at(
    stemsplit: Command, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as lost+found at the top of a disk. All may be done there; without the songs' names, nobody knows."""
    library.add("a.wav")
    library.split("a.wav")
    (library.out / "lost+found").mkdir()

    def listed(path: Path) -> object:
        if path == Path("out/lost+found"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    scandir = os.scandir
    monkeypatch.setattr("os.scandir", listed)
    results = [stemsplit("status", "out", *songs, "--json") for songs in (["lib"], [])]
    assert [(result.status, json.loads(result.out)["done"]) for result in results] == [(0, 1), (1, 1)]
    for result in results:
        check("status", json.loads(result.out))
        assert result.err.startswith("warning: cannot list out/lost+found (Permission denied)")

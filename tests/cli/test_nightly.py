"""The same command every night: no stem is split again, and songs that cannot be read do not fail for ever."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.conftest import Result
from tests.cli.processes import read_lines
from tests.cli.processes import tiny as tiny
from tests.conftest import snapshot

Command = Callable[..., Result]
Song = Callable[..., Path]


@pytest.mark.parametrize("name", ["{track}.{stem}", "{stem}/{track}", "{track}/{stem}"])
def test_stems_beside_their_songs_are_not_split(
    stemsplit: Command, song: Song, tiny: list[str], tmp_path: Path, name: str
) -> None:
    """With the same options, with others, and in a dry run; they are counted, for people and for scripts."""
    (tmp_path / "music" / "album").mkdir(parents=True)
    song("music/album/a.wav")
    song("music/b.wav")
    command = ["music", "-o", "music", "--name", name, "--stems", "vocals", *tiny]
    first = stemsplit(*command, "--json")
    before = snapshot(tmp_path)
    again, planned = stemsplit(*command, "--json"), stemsplit(*command, "--dry-run", "--json")
    assert snapshot(tmp_path) == before
    assert first.status == again.status == planned.status == 0
    counted = [read_lines(each.out)[1] for each in (first, again, planned)]
    assert [(each["songs"], each["stems_passed_over"]) for each in counted] == [(2, 0), (2, 2), (2, 2)]
    assert "2 stems of earlier runs passed over" in again.err
    other = stemsplit(*command, "--format", "flac", "--json")
    assert (read_lines(other.out)[1]["songs"], read_lines(other.out)[1]["done"]) == (2, 2)
    last = stemsplit("music", "-o", "elsewhere", *tiny, "--dry-run", "--json")
    assert [line["song"] for line in read_lines(last.out)[0]] == ["music/album/a.wav", "music/b.wav"]


def test_a_folder_of_stems_only_is_said_to_be_one(stemsplit: Command, song: Song, tiny: list[str]) -> None:
    assert stemsplit(song("a.wav"), *tiny).status == 0
    result = stemsplit("stems/a", *tiny)
    assert (result.status, result.out) == (1, "")
    assert "only stems of earlier runs found in stems/a (4)" in result.err


def test_songs_that_cannot_be_read_are_not_tried_again(
    stemsplit: Command, song: Song, tiny: list[str], tmp_path: Path
) -> None:
    (tmp_path / "in").mkdir()
    song("in/good.wav")
    (tmp_path / "in" / "empty.wav").touch()
    Path("in/good.flac").write_bytes(b"fLaC\0\0\0\x22 and nothing that a decoder knows")
    command = ["in", *tiny, "--skip-known-failures", "--json"]
    first, second = stemsplit(*command), stemsplit(*command)
    assert (first.status, second.status) == (1, 0)
    told, summary = read_lines(second.out)
    assert [line["status"] for line in told] == ["skipped"]  # under the same name as if the other were whole
    assert (summary["songs"], summary["failed"], summary["known_failures"]) == (1, 0, 2)
    assert "2 known failures passed over" in second.err
    assert "the file is empty" in second.err
    before = snapshot(tmp_path)
    planned = stemsplit(*command, "--dry-run")
    assert (planned.status, read_lines(planned.out)[1]["known_failures"]) == (0, 2)
    assert snapshot(tmp_path) == before
    assert stemsplit("in/empty.wav", *tiny, "--skip-known-failures").status == 0
    assert stemsplit("in", *tiny).status == 1


@pytest.fixture
def failed(stemsplit: Command, tiny: list[str]) -> list[str]:
    """The command that failed by a song, as given again."""
    Path("a.wav").touch()
    command = ["a.wav", *tiny, "--skip-known-failures"]
    assert [stemsplit(*command).status for _ in range(2)] == [1, 0]
    return command


def test_a_known_failure_is_tried_again_when_its_file_changes(
    stemsplit: Command, song: Song, failed: list[str]
) -> None:
    os.utime("a.wav", (1, 1))
    assert [stemsplit(*failed).status for _ in range(2)] == [1, 0]
    times = Path("a.wav").stat()
    Path("a.wav").write_bytes(b"\0" * 100)
    os.utime("a.wav", ns=(times.st_atime_ns, times.st_mtime_ns))
    assert [stemsplit(*failed).status for _ in range(2)] == [1, 0]
    song("a.wav")
    assert stemsplit(*failed).status == 0
    assert Path("stems/a/vocals.wav").is_file()
    assert json.loads(Path("stems/stemsplit-failures.json").read_text())["songs"] == {}


def test_a_known_failure_is_tried_again_with_other_options(stemsplit: Command, failed: list[str]) -> None:
    """And both runs keep what they know."""
    other = [*failed, "--format", "flac"]
    assert [stemsplit(*other).status for _ in range(2)] == [1, 0]
    assert stemsplit(*failed).status == 0
    assert stemsplit(*failed, "--force").status == 1


def test_known_failures_may_be_moved_with_their_stems(stemsplit: Command, tiny: list[str]) -> None:
    Path("one").mkdir()
    Path("one/a.wav").touch()
    assert stemsplit("one", "-o", "one/stems", *tiny, "--skip-known-failures").status == 1
    Path("one").rename("two")
    assert stemsplit("two", "-o", "two/stems", *tiny, "--skip-known-failures").status == 0


@pytest.mark.parametrize("missing", [True, False])
def test_what_is_not_the_songs_own_failure_is_not_remembered(
    stemsplit: Command, song: Song, tiny: list[str], tmp_path: Path, missing: bool
) -> None:
    """A song that is not there, as on a disk that is not mounted; a file in the way of the stems."""
    if not missing:
        song("a.wav")
        (tmp_path / "stems" / "a").mkdir(parents=True)
        (tmp_path / "stems" / "a" / "vocals.wav").write_bytes(b"mine")
    for _ in range(2):
        assert stemsplit("a.wav", *tiny, "--skip-known-failures").status == 1
    assert not Path("stems/stemsplit-failures.json").exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[",
        b"[]",
        b'{"stemsplit_failures": 1}',
        b'{"stemsplit_failures": 1, "songs": {"a": 5, "b": {"size": ""}}}',
    ],
)
def test_a_damaged_list_of_failures_is_made_anew(stemsplit: Command, failed: list[str], content: bytes) -> None:
    Path("stems/stemsplit-failures.json").write_bytes(content)
    assert [stemsplit(*failed).status for _ in range(2)] == [1, 0]


def test_a_link_in_the_place_of_the_list_is_not_followed(stemsplit: Command, failed: list[str]) -> None:
    shutil.move("stems/stemsplit-failures.json", "elsewhere.json")
    Path("stems/stemsplit-failures.json").symlink_to("../elsewhere.json")
    before = Path("elsewhere.json").read_bytes()
    Path("a.wav").write_bytes(b"\0")
    assert stemsplit(*failed).status == 1
    assert Path("elsewhere.json").read_bytes() == before

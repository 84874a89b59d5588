"""Two processes on a disk without locks, each of which takes the other for one on another machine."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from tests.cli.processes import environment, registry, statuses, tree
from tests.conftest import noise, unix

Song = Callable[..., Path]

pytestmark = unix

SONGS = ("a.wav", "b.wav", "c.wav")


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What both left, see `two_machines.py`."""

    work = tmp_path_factory.mktemp("machines")
    for name in SONGS:
        soundfile.write(work / name, noise(3_000), 44_100, subtype="PCM_16")
    model = ["--model", "tiny", "--registry", str(registry(work / "model"))]
    arguments = [*(f"{work}/{name}" for name in SONGS), "-o", f"{work}/stems", "--json", *model]
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.cli.two_machines", str(work), json.dumps(arguments)]
    done = subprocess.run(
        command, cwd=root, capture_output=True, text=True, check=False, env=environment(), timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [0, 0, 0, 0]
    return work


def told(ran: Path, folder: str) -> list[dict[str, str]]:
    """Return what became of each song, as each machine told it."""
    return [
        {Path(song).name: status for song, status in statuses((ran / folder / name / "out.txt").read_text()).items()}
        for name in ("one", "other")
    ]


def test_each_song_is_split_by_one_of_two_machines_on_a_disk_without_locks(ran: Path) -> None:
    one, other = told(ran, "both")
    assert [{one[song], other[song]} for song in SONGS] == [{"done", "skipped"}] * 3


def test_a_machine_that_stood_still_and_comes_back_finds_its_song_done_by_another(ran: Path) -> None:
    one, other = told(ran, "stopped")
    assert one == dict.fromkeys(SONGS, "skipped")
    assert other == dict.fromkeys(SONGS, "done")
    assert "showed no life" in (ran / "stopped/other/err.txt").read_text()


def test_nothing_but_whole_songs_is_left(ran: Path) -> None:
    """The same stems each time, and no hidden folder."""
    assert tree(ran / "both/stems") == tree(ran / "stopped/stems")
    assert sorted(path.name for path in (ran / "both/stems").iterdir()) == ["a", "b", "c"]

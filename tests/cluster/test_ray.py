"""The command on a real Ray cluster of several nodes on this machine, of which some die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
import soundfile

from stemsplit.cluster.connecting import Connection
from stemsplit.errors import DeviceError
from tests.cli.conftest import Result
from tests.cli.processes import environment, finished, read_lines, registry, running, statuses, tree
from tests.conftest import noise

pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray runs no clusters of several nodes there")

SONGS = 8


@dataclass
class Story:
    """What became of three runs on one cluster.

    Args:
        folder: working folder of all runs. `alone` has the stems as one process makes them.
        stopped: run into `stopped` that was interrupted after its first song, and all that it said on stdout.
        later: run into `killed` after one into the same folder was killed after its first song. In the middle of a
            song, a node and the other workers died.
        left: number of workers that were still there some time after the first two runs.
    """

    folder: Path
    stopped: Result
    later: Result
    left: int


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("ray")
    quiet = environment(RAY_USAGE_STATS_ENABLED="0", PYTHONPATH=os.pathsep.join(sys.path))
    command, pipes = [sys.executable, str(Path(__file__).with_name("nodes.py"))], {"stdin": -1, "stdout": -1}
    with subprocess.Popen(command, text=True, env=quiet, stderr=subprocess.DEVNULL, **pipes) as cluster:  # type: ignore[call-overload]  # pipes
        arguments = ["album", "--threads", "1", *model_and_songs(folder)]
        with started(folder, [*arguments, "-o", "alone"]) as process:
            assert finished(process).status == 0
        arguments += ["--json", "--ray", line(cluster.stdout).strip()]
        # Two commands at once, with a worker each.
        with ThreadPoolExecutor() as threads:
            stopped = threads.submit(interrupted, folder, [*arguments, "-o", "stopped", "--workers", "1"])
            threads.submit(killed, folder, [*arguments, "-o", "killed", "--workers", "1"]).result()
        last = time.monotonic() + 60
        while workers(folder) and time.monotonic() < last:
            time.sleep(0.1)
        left = len(workers(folder))
        later = survived(folder, [*arguments, "-o", "killed"], cluster)
        yield Story(folder, stopped.result(), later, left)
        cluster.communicate()


def model_and_songs(folder: Path) -> list[str]:
    """Write songs, and a small model; return the arguments that choose it."""
    (folder / "album").mkdir()
    for number in range(SONGS):
        soundfile.write(folder / "album" / f"{number}.wav", noise(130_000, seed=number), 44_100)
    # Whoever made the folder of songs should not be able to run code.
    (folder / "numpy.py").write_text("open('ran', 'w')", encoding="utf-8")
    return ["--model", "tiny", "--registry", str(registry(folder / "tiny"))]


def interrupted(folder: Path, arguments: list[str]) -> Result:
    """Interrupt the command after its first song."""
    with started(folder, arguments) as process:
        first = line(process.stdout)
        process.send_signal(signal.SIGINT)
        result = finished(process)
    return Result(result.status, first + result.out, result.err)


def killed(folder: Path, arguments: list[str]) -> None:
    """Kill the command after its first song."""
    with started(folder, arguments) as process:
        line(process.stdout)


def survived(folder: Path, arguments: list[str], cluster: "subprocess.Popen[str]") -> Result:
    """Kill a node of the cluster and all workers after the first song that the command splits."""
    assert cluster.stdin is not None
    with started(folder, arguments) as process:
        said = line(process.stdout)
        while '"done"' not in said.splitlines()[-1]:
            said += line(process.stdout)
        print("kill", file=cluster.stdin, flush=True)
        line(cluster.stdout)
        for number in workers(folder):
            with suppress(ProcessLookupError):  # it ended with its node
                os.kill(number, signal.SIGKILL)
        result = finished(process)
    return Result(result.status, said + result.out, result.err)


def started(folder: Path, arguments: list[str]) -> AbstractContextManager["subprocess.Popen[str]"]:
    """The command, which itself imports nothing from its working folder."""
    return running(*arguments, cwd=folder, env=environment(PYTHONSAFEPATH="1"))


def stems(folder: Path) -> dict[str, bytes | None]:
    """All stems and records, without the notes that runs on several machines keep."""
    return {name: data for name, data in tree(folder).items() if not name.startswith("stemsplit-notes")}


def test_a_node_and_workers_that_die_in_mid_song_cost_no_song(story: Story) -> None:
    """Nor does a command that was killed before. Stems, records and lines of JSON are those of one process."""
    songs, summary = read_lines(story.later.out)
    assert sorted(song["song"] for song in songs) == [f"album/{number}.wav" for number in range(SONGS)]
    assert (story.later.status, summary["failed"], summary["done"] + summary["skipped"]) == (0, 0, SONGS)
    assert stems(story.folder / "killed") == tree(story.folder / "alone")
    assert "ray" not in story.later.err.lower()


def test_what_a_killed_command_has_split_is_skipped(story: Story) -> None:
    assert "skipped" in statuses(story.later.out).values()


def test_a_command_that_ends_takes_its_workers_along(story: Story) -> None:
    """Even if it was killed."""
    assert story.left == 0


def test_an_interrupted_command_leaves_whole_songs(story: Story) -> None:
    _, summary = read_lines(story.stopped.out)
    assert (story.stopped.status, summary["exit_status"]) == (130, 130)
    songs = {path.name for path in (story.folder / "stopped").iterdir()} - {"stemsplit-notes"}
    assert {path.parent.name for path in (story.folder / "stopped").glob("*/stemsplit.json")} == songs


def test_workers_import_nothing_from_the_folder_of_the_command(story: Story) -> None:
    assert not (story.folder / "ran").exists()


def line(pipe: "IO[str] | None") -> str:
    """The next line."""
    assert pipe is not None
    return pipe.readline()


def workers(folder: Path) -> list[int]:
    """The processes of this cluster's workers that are at work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if process.joinpath("cmdline").read_bytes().startswith(b"ray::") and process.joinpath("cwd").samefile(
                folder
            ):
                found.append(int(process.name))
        except OSError:
            continue  # it has ended meanwhile
    return found


@pytest.mark.parametrize(
    ("address", "said"),
    [
        ("nowhere", "is not the address of a Ray cluster"),
        ("127.0.0.1:1", "no Ray cluster answers at"),
        ("ray://127.0.0.1:10001", "address for clients"),
    ],
)
def test_an_address_without_a_cluster_is_refused_at_once(address: str, said: str) -> None:
    with pytest.raises(DeviceError, match=said):
        Connection(address)

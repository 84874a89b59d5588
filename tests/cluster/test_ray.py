"""The command on a real Ray cluster of several nodes on this machine, of which some die."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

import pytest
import soundfile

from stemsplit.cluster.connecting import Connection
from stemsplit.errors import DeviceError
from tests.cli.processes import environment, finished, read_lines, registry, run, running, statuses, tree
from tests.conftest import noise

pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Ray runs no clusters of several nodes there")

SONGS = 4


@pytest.fixture(scope="module")
def cluster() -> Iterator[tuple[str, Callable[[], None]]]:
    """Address of a cluster, and a function that kills a node of it and starts another."""
    quiet = environment(RAY_USAGE_STATS_ENABLED="0", PYTHONPATH=os.pathsep.join(sys.path))
    command, pipes = [sys.executable, str(Path(__file__).with_name("nodes.py"))], {"stdin": -1, "stdout": -1}
    with subprocess.Popen(command, text=True, env=quiet, stderr=subprocess.DEVNULL, **pipes) as process:  # type: ignore[call-overload]  # pipes
        asked, answers = process.stdin, process.stdout

        def kill() -> None:
            print("kill", file=asked, flush=True)
            assert answers.readline() == "killed\n"

        yield answers.readline().strip(), kill
        asked.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A folder with songs and with their stems as one process makes them, and the arguments that make them."""
    folder = tmp_path_factory.mktemp("ray")
    (folder / "album").mkdir()
    for number in range(SONGS):
        soundfile.write(folder / "album" / f"{number}.wav", noise(250_000, seed=number), 44_100)
    table = registry(folder / "tiny")
    arguments = ["album", "--model", "tiny", "--registry", str(table), "--threads", "1"]
    assert run(*arguments, "-o", "alone", cwd=folder).status == 0
    return folder, arguments


def stems(folder: Path) -> dict[str, bytes | None]:
    """All stems and records, without the notes that runs on several machines keep."""
    return {name: data for name, data in tree(folder).items() if not name.startswith("stemsplit-notes")}


def test_a_node_and_a_worker_that_die_in_mid_song_cost_no_song(
    cluster: tuple[str, Callable[[], None]], made: tuple[Path, list[str]]
) -> None:
    """Stems, records and lines of JSON are those of one process. A second run has nothing left to do."""
    (address, kill), (folder, arguments) = cluster, made
    command = [*arguments, "-o", "nodes", "--ray", address, "--json"]
    with running(*command, cwd=folder) as process:
        first = line(process.stdout)
        kill()
        for number in workers(folder)[:1]:
            os.kill(number, signal.SIGKILL)
        result = finished(process)
    songs, summary = read_lines(first + result.out)
    assert sorted(song["song"] for song in songs) == [f"album/{number}.wav" for number in range(SONGS)]
    assert (result.status, summary["failed"], summary["done"] + summary["skipped"]) == (0, 0, SONGS)
    assert stems(folder / "nodes") == tree(folder / "alone")
    assert "ray" not in result.err.lower()
    again = run(*command, cwd=folder)
    assert set(statuses(again.out).values()) == {"skipped"}


def test_a_killed_command_takes_its_workers_along_and_costs_no_song(
    cluster: tuple[str, Callable[[], None]], made: tuple[Path, list[str]]
) -> None:
    """The next run does the rest."""
    (address, _), (folder, arguments) = cluster, made
    command = [*arguments, "-o", "killed", "--ray", address, "--workers", "1"]
    with running(*command, "--json", cwd=folder) as process:
        line(process.stdout)
        assert workers(folder)
    last = time.monotonic() + 20
    while workers(folder) and time.monotonic() < last:
        time.sleep(0.1)
    assert not workers(folder)
    result = run(*command, cwd=folder)
    assert (result.status, stems(folder / "killed")) == (0, tree(folder / "alone"))
    assert len(result.paths) == 4 * SONGS


def test_an_interrupted_command_ends_its_workers_and_leaves_whole_songs(
    cluster: tuple[str, Callable[[], None]], made: tuple[Path, list[str]]
) -> None:
    (address, _), (folder, arguments) = cluster, made
    command = [*arguments, "-o", "stopped", "--ray", address, "--workers", "1", "--json"]
    with running(*command, cwd=folder) as process:
        first = line(process.stdout)
        process.send_signal(signal.SIGINT)
        result = finished(process)
    _, summary = read_lines(first + result.out)
    assert (result.status, summary["exit_status"]) == (130, 130)
    assert not workers(folder)
    songs = {path.name for path in (folder / "stopped").iterdir()} - {"stemsplit-notes"}
    assert {path.parent.name for path in (folder / "stopped").glob("*/stemsplit.json")} == songs


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

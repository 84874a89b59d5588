"""A signal ends every command soon, at whatever moment it comes, and nothing is left half-done.

Within two seconds on a quiet machine: `python -m tests.benchmarks.stopping` measures it. A test that is to pass on any
machine can only tell a command that ends from one that does not.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile

from tests.cli.conftest import Result
from tests.cli.processes import STEMS, running
from tests.cli.processes import tiny as tiny
from tests.conftest import noise, unix
from tests.fetch.conftest import CONTENT
from tests.fetch.hub import Fault, Hub

Command = Callable[..., Result]

pytestmark = unix

SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}

COMMANDS = {
    "split": ["song.flac", "-o", "out"],
    "compare": ["compare", "song.flac", "-o", "out", "--duration", "30s"],
    "bench": ["bench", "tiny"],
    "eval": ["eval", "songs", "--model", "tiny"],
    "train": ["train", "songs", "-o", "out/new.safetensors", "--like", "tiny", "--steps", "100000"],
    "download": ["download", "held"],
}
"""What each command is called with, besides the registry."""

HELD = """
[held]
description = "comes to half"
architecture = "sudormrf"
stems = ["vocals"]
sample_rate = 44100
channels = 1
chunk = 88200
hop = 44100
sources = ["hf://some/repo/w.ckpt"]
author = "somebody"
[held.config]
variant = "improved"
"""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a long song, and two with their stems; the commands only read them."""
    folder = tmp_path_factory.mktemp("material")
    soundfile.write(folder / "song.flac", noise(44_100 * 200), 44_100)
    for number in range(2):
        (folder / "songs" / str(number)).mkdir(parents=True)
        for place, stem in enumerate((*STEMS, "mixture")):
            soundfile.write(folder / f"songs/{number}/{stem}.wav", noise(400_000, seed=place), 44_100)
    return folder


@pytest.fixture
def folder(material: Path, tmp_path: Path, tiny: list[str], hub: Hub) -> Iterator[Path]:
    """A folder with all that the commands need, and a registry."""
    shutil.copytree(material, tmp_path, copy_function=os.link, dirs_exist_ok=True)
    registry = Path(tiny[-1])
    registry.write_text(registry.read_text() + HELD)
    hub.put("some/repo/w.ckpt", CONTENT, fault=Fault(hold_after=len(CONTENT) // 2))
    (tmp_path / "out").mkdir()
    yield tmp_path
    hub.go_on.set()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_ends_the_command(folder: Path, tiny: list[str], name: str, number: signal.Signals) -> None:
    chance = random.Random(f"{name} {number.name}")
    model = ["--models", "tiny"] if name == "compare" else tiny[:2] if name == "split" else []
    started = time.monotonic()
    with running(*COMMANDS[name], *model, *tiny[2:], cwd=folder) as process:
        time.sleep(chance.uniform(0.5, 4))
        process.send_signal(number)
        try:
            _, err = process.communicate(timeout=120)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{name} did not end by {number.name} {time.monotonic() - started:.1f} s after it began")
    assert "Traceback" not in err
    # Before Python has set its handlers the system ends it, and a short command may have been done by then.
    assert process.returncode in (SIGNALS[number], -number, 0)
    if process.returncode == SIGNALS[number]:
        assert not list((folder / "out").rglob(".*"))


SWALLOWS = """
import time
try:
    print("importing", flush=True)
    time.sleep(1)
except:
    pass
"""

IMPORTS = """
import sys, time
from stemsplit import cli

def run(arguments):
    import swallows
    print("imported", flush=True)
    time.sleep(60)

cli._run = run
cli.main()
"""


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_no_library_swallows_a_signal_in_its_import(tmp_path: Path, number: signal.Signals) -> None:
    """Else the command goes on, and hears no further ones."""
    (tmp_path / "swallows.py").write_text(SWALLOWS)
    (tmp_path / "run.py").write_text(IMPORTS)
    with subprocess.Popen([sys.executable, "run.py"], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.send_signal(number)
        assert process.wait(timeout=120) == SIGNALS[number]


@pytest.mark.parametrize(
    "arguments",
    [["song.flac", "-o", ""], ["compare", ""], ["eval", ""], ["list", "--registry="], ["song.flac", "--model", ""]],
    ids=" ".join,
)
def test_an_empty_argument_is_refused(stemsplit: Command, arguments: list[str]) -> None:
    """As a path it would be the working folder, and comes from a variable that is not set."""
    result = stemsplit(*arguments)
    assert (result.status, result.out) == (2, "")
    assert result.err.startswith("error: an argument is empty")

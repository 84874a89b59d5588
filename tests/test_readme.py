"""What the README shows works as it stands."""

import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stemsplit.cli.app import COMMANDS
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.cli.processes import light as light
from tests.conftest import noise, unix
from tests.documents import ROOT, blocks, commands, text
from tests.documents import stand_ins as stand_ins
from tests.documents import try_line as try_line

README = ROOT / "README.md"


def test_there_are_command_lines() -> None:
    assert len(commands(README)) >= 10


@pytest.mark.usefixtures("ffmpeg")
@pytest.mark.parametrize("line", commands(README))
def test_the_command_lines(line: str, try_line: Callable[[str], Result], tmp_path: Path) -> None:
    """Each as it is pasted."""
    assert try_line(line).status == 0
    if line.split()[1] not in COMMANDS:
        assert list(tmp_path.glob("stems/*/*.*"))
        assert not list(tmp_path.glob("stems/.*"))


@pytest.mark.usefixtures("light")
def test_the_picture_is_of_what_comes_out(stemsplit: Callable[..., Result], song: Callable[..., Path]) -> None:
    """Word for word; a small network stands in for the built-in one, which gives stems of the same names."""
    song("lithium.flac", frames=2_000)
    (picture,) = blocks(README, "console")
    parts = re.findall(r"^\$ stemsplit (.*)\n((?:(?!\$ ).*\n)*)", picture, re.M)
    assert len(parts) == 2
    for line, shown in parts:
        assert stemsplit(*shlex.split(line)).out == shown


def test_the_python_example(
    song: Callable[..., Path], home: Path, stand_ins: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes files of a song, and gives stems of an array."""
    monkeypatch.chdir(tmp_path)
    (home / "config").mkdir()
    (home / "config" / "models.toml").write_text(stand_ins, encoding="utf-8")
    song("song.flac", frames=2_000)
    (code,) = blocks(README, "python")
    names = {"mixture": torch.from_numpy(noise(44_100).T.copy())}
    exec(code, names)
    assert names["stems"]["vocals"].shape == (2, 44_100)  # type: ignore[call-overload]
    assert list(tmp_path.glob("stems/**/vocals.wav"))


def test_the_python_example_is_four_lines() -> None:
    (code,) = blocks(README, "python")
    assert len([line for line in code.splitlines() if line]) == 4


def test_the_cpu_builds_are_of_the_versions_that_are_pinned() -> None:
    """Else the next command would replace them."""
    project = tomllib.loads(text(ROOT / "pyproject.toml"))["project"]
    pins = [wanted for wanted in project["dependencies"] if wanted.startswith(("torch==", "torchaudio=="))]
    (command,) = [line for line in text(README).splitlines() if "--index-url" in line]
    assert re.findall(r"\S+==\S+", command) == pins


@unix
@pytest.mark.parametrize(
    ("heading", "number", "part"),
    [
        ("Try it", 1, "stemsplit tests/data/lithium.flac"),
        ("Try it", 2, r"stemsplit tests\data\lithium.flac"),
        ("Try it", 3, "--index-url"),
        ("Run the tests", 1, "-m pytest"),
        ("Run the tests", 2, "-m pytest"),
    ],
)
def test_the_commands_are_where_ci_looks_for_them(heading: str, number: int, part: str) -> None:
    """`.ci/command` finds them by heading and number."""
    command = [str(ROOT / ".ci" / "command"), heading, str(number)]
    assert part in subprocess.run(command, capture_output=True, text=True, check=True).stdout

"""What the README shows works as it stands."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from stemsplit.cli import COMMANDS
from tests.conftest import noise

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LINES = [
    line.split("#")[0].strip()
    for block in re.findall(r"^```\n(.*?)^```", README, re.M | re.S)
    for line in block.splitlines()
    if line.startswith("stemsplit ")
]


def test_the_python_example() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    names = {"mixture": torch.from_numpy(noise(44_100).T.copy())}
    exec(code, names)
    assert names["stems"]["vocals"].shape == (2, 44_100)  # type: ignore[call-overload]


@pytest.mark.parametrize("line", LINES)
def test_the_command_lines(
    line: str, song: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each as it is pasted, among songs of the names that it uses."""
    from stemsplit.cli import app, with_command

    monkeypatch.chdir(tmp_path)
    for name in ("song.flac", "song.wav", "a.mp3", "b.mp3"):
        song(name, frames=2_000)
    words = [word for part in shlex.split(line)[1:] for word in (sorted(map(str, Path().glob(part))) or [part])]
    app(with_command(words), standalone_mode=False)
    if words[0] not in COMMANDS:
        assert list(tmp_path.glob("stems/*/vocals.*"))


def test_there_are_command_lines() -> None:
    assert len(LINES) >= 5

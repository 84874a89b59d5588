"""What the README shows works as it stands."""

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from stemsplit import registry
from stemsplit.checkpoints.checkpoint import save
from stemsplit.models import build
from stemsplit.training import result
from tests.conftest import noise

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
LINES = [
    line.split("#")[0].strip()
    for language, block in re.findall(r"^```(\w*)\n(.*?)^```$", README, re.M | re.S)
    if not language
    for line in block.splitlines()
    if line.startswith("stemsplit ")
]


def test_the_python_example() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.M | re.S)
    names = {"mixture": torch.from_numpy(noise(44_100).T.copy())}
    exec(code, names)
    assert names["stems"]["vocals"].shape == (2, 44_100)  # type: ignore[call-overload]


PUBLISHED = """
[NAME]
description = "as small as can be"
architecture = "bs_roformer"
stems = ["drums", "bass", "other", "vocals"]
sample_rate = 44100
channels = 1
chunk = 44100
hop = 22050
complete = true
sources = ["file:NAME.safetensors"]
author = "this test"
config = { dim = 8, depth = 1, dim_head = 4, heads = 2, mlp_expansion_factor = 1, num_stems = 4 }
"""


@pytest.fixture
def stand_ins(home: Path) -> None:
    """Small networks in the user's own registry, under the names of published ones: nothing is downloaded."""
    folder = home / "config"
    folder.mkdir()
    names = ("mel-roformer", "bs-roformer", "mel-roformer-dereverb")
    (folder / "models.toml").write_text("".join(PUBLISHED.replace("NAME", name) for name in names))
    for name in names:
        config = tomllib.loads(PUBLISHED)["NAME"]["config"]
        save(build("bs_roformer", config), folder / f"{name}.safetensors")


@pytest.fixture
def known_stems(tmp_path: Path, song: Callable[..., Path]) -> None:
    """Songs whose stems are there, and estimates of them, under the names of the README."""
    for folder in ("references", "stems", "songs", "held-out"):
        (tmp_path / folder / "song").mkdir(parents=True)
        for stem in ("drums", "bass", "other", "vocals"):
            song(f"{folder}/song/{stem}.wav", frames=8_000)


BRIEF = ["--steps", "1", "--seconds", "0.1", "--batch-size", "1", "--device", "cpu", "--precision", "fp32"]
"""What is added to a command that would train for days."""


@pytest.fixture
def _denormals() -> Iterator[None]:
    """Training turns denormal numbers off, for the whole process."""
    yield
    torch.set_flush_denormal(False)


@pytest.mark.usefixtures("stand_ins", "_denormals")
@pytest.mark.parametrize("line", LINES)
def test_the_command_lines(
    line: str,
    song: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
) -> None:
    """Each as it is pasted, among songs of the names that it uses; training is cut short."""
    from stemsplit.cli.app import COMMANDS, app, with_command

    monkeypatch.chdir(tmp_path)
    if line.startswith(("stemsplit eval", "stemsplit train")):
        request.getfixturevalue("known_stems")
    if "--model my.safetensors" in line:
        mine = registry.find("mel-roformer")
        result.save(build(mine.architecture, mine.config), mine, tmp_path / "my.safetensors")
    (tmp_path / "collection").mkdir()
    for name in ("song.flac", "song.wav", "a.mp3", "b.mp3", "collection/a.flac"):
        song(name, frames=60 * 44_100 + 2_000 if "--start" in line else 2_000)
    words = [word for part in shlex.split(line)[1:] for word in (sorted(map(str, Path().glob(part))) or [part])]
    words += BRIEF if words[0] == "train" else []
    app(with_command(words), standalone_mode=False)
    if words[0] not in COMMANDS:
        assert list(tmp_path.glob("stems/*/vocals*"))
        assert not list(tmp_path.glob("stems/.*"))


def test_the_cpu_builds_are_of_the_versions_that_are_pinned() -> None:
    """Else the next command would replace them."""
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pins = [wanted for wanted in project["dependencies"] if wanted.startswith(("torch==", "torchaudio=="))]
    (command,) = [line for line in README.splitlines() if "--index-url" in line]
    assert re.findall(r"\S+==\S+", command) == pins


def test_there_are_command_lines() -> None:
    assert len(LINES) >= 5

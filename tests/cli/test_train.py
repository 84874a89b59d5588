"""`stemsplit train` from outside."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import soundfile
import torch

from stemsplit import registry
from stemsplit.models import build
from stemsplit.weights import checkpoint
from tests.cli.conftest import Result
from tests.conftest import noise

Command = Callable[..., Result]


@pytest.fixture(autouse=True)
def _denormals() -> Iterator[None]:
    """The command turns denormal numbers off, for the whole process: fine for a command, not for the tests after it."""
    yield
    torch.set_flush_denormal(False)


@pytest.fixture
def album(tmp_path: Path) -> Path:
    (tmp_path / "album" / "song").mkdir(parents=True)
    for seed, stem in enumerate(registry.find("starter").stems):
        soundfile.write(tmp_path / "album" / "song" / f"{stem}.flac", noise(20_000, seed=seed), 44_100)
    return tmp_path / "album"


def test_training_leaves_weights_that_fit(stemsplit: Command, album: Path) -> None:
    options = ["--steps", "2", "--seconds", "0.3", "--batch-size", "1", "--no-bfloat16", "--device", "cpu"]
    result = stemsplit("train", album, "--validation", album, "-o", "new.safetensors", *options)
    assert result.status == 0
    assert result.out.startswith("step 2 loss ")
    entry = registry.find("starter")
    checkpoint.load(build(entry.architecture, entry.config), checkpoint.read(Path("new.safetensors")), "new")


def test_a_folder_without_songs_is_told(stemsplit: Command, tmp_path: Path) -> None:
    result = stemsplit("train", tmp_path, "-o", "new.safetensors")
    assert result.status == 1
    assert "error: no song with a file for each of drums, bass, other, vocals below" in result.err


def test_a_folder_that_cannot_take_the_weights_is_known_before_the_work(stemsplit: Command, album: Path) -> None:
    result = stemsplit("train", album, "-o", "nowhere/new.safetensors")
    assert result.status == 1
    assert "error: there is no folder" in result.err

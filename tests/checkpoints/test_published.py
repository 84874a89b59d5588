"""A file of one's own that is a published one: it is used as the registry says, not by what its weights leave open."""

import hashlib
from pathlib import Path

import pytest

from stemsplit.checkpoints.checkpoint import save
from stemsplit.checkpoints.resolve import find
from stemsplit.models import build
from stemsplit.registry import ModelEntry, as_toml
from tests.engine.test_chain import FACTS


@pytest.fixture
def own(tmp_path: Path) -> tuple[Path, Path]:
    """A checkpoint, and a registry in which it is published, with a hop that its weights do not show."""
    facts = FACTS["music"]
    config = {**facts["config"], "stft_hop_length": 100}
    path = tmp_path / "downloaded.safetensors"
    save(build(facts["architecture"], config), path)
    entry = ModelEntry(
        name="known",
        description="",
        author="",
        sources=("https://127.0.0.1:9/known.safetensors",),
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        size=path.stat().st_size,
        **{**facts, "config": config},
    )
    registry = tmp_path / "registry.toml"
    registry.write_text(as_toml(entry))
    return path, registry


def test_its_entry_says_what_the_weights_leave_open(own: tuple[Path, Path]) -> None:
    path, registry = own
    told: list[str] = []
    entry = find(path, registry, tell=told.append)
    assert (entry.config["stft_hop_length"], entry.name) == (100, "downloaded")
    assert entry.sources == (f"file:{path}",)
    assert "published file of known" in told[0]
    assert len(told) == 1


def test_a_setting_makes_it_a_file_of_ones_own(own: tuple[Path, Path]) -> None:
    path, registry = own
    assert find(path, registry, settings={"stft_hop_length": 64}, tell=print).config["stft_hop_length"] == 64


def test_another_file_of_the_same_size_is_not_it(own: tuple[Path, Path]) -> None:
    path, registry = own
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    told: list[str] = []
    assert find(path, registry, tell=told.append).config["stft_hop_length"] != 100
    assert not any("published" in line for line in told)

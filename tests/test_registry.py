"""The registry: what ships is sound, and what is wrong is said."""

from pathlib import Path

import pytest
import torch

from stemsplit import registry
from stemsplit.errors import RegistryError
from stemsplit.models import build
from stemsplit.overlap_add import WINDOWS

GOOD = """
[tiny]
description = "for tests"
architecture = "sudormrf"
stems = ["speech", "noise"]
sample_rate = 8000
channels = 1
chunk = 800
hop = 400
sources = ["package:tiny.safetensors"]
sha256 = ""
size = 1
license = "MIT"
author = "somebody"
[tiny.config]
num_blocks = 1
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "models.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", registry.entries())
def test_every_entry_makes_sense(name: str) -> None:
    entry = registry.find(name)
    with torch.device("meta"):
        build(entry.architecture, entry.config)
    assert entry.window in WINDOWS


def test_a_table_becomes_an_entry(tmp_path: Path) -> None:
    entry = registry.read(written(tmp_path, GOOD))["tiny"]
    assert (entry.name, entry.stems, entry.config) == ("tiny", ("speech", "noise"), {"num_blocks": 1})
    assert entry.outputs == ("speech", "noise")


def test_a_residual_is_one_of_the_outputs(tmp_path: Path) -> None:
    text = GOOD.replace("size = 1", 'size = 1\nresidual = "rest"')
    assert registry.read(written(tmp_path, text))["tiny"].outputs == ("speech", "noise", "rest")


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("hop = 400", "hops = 400", r"\[tiny\] has an unknown key 'hops'; did you mean 'hop'"),
        ("hop = 400", "", r"\[tiny\] lacks hop"),
        ("hop = 400", 'hop = "400"', r"\[tiny\] hop has the wrong type: '400'"),
        ("hop = 400", "hop = true", r"\[tiny\] hop has the wrong type"),
        ('["speech", "noise"]', '["speech", 1]', r"\[tiny\] stems has the wrong type"),
        ("[tiny]", "[tiny", "not valid TOML"),
        ("[tiny]", "other = 1\n[tiny]", "'other' is not a table"),
    ],
)
def test_a_mistake_is_named(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    with pytest.raises(RegistryError, match=complaint):
        registry.read(written(tmp_path, GOOD.replace(old, new)))


def test_a_registry_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot read the registry"):
        registry.read(tmp_path / "none.toml")

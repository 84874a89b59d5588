"""Runs the commands of README and topics as they stand there, among songs and models of the names that they use."""

import re
import shlex
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml

from stemsplit import registry
from stemsplit.checkpoints.checkpoint import save
from stemsplit.models import build
from stemsplit.registry import ModelEntry
from stemsplit.training import result
from tests.cli.conftest import Result
from tests.cli.processes import STEMS, TABLE
from tests.listening.making import comparison, split_song

ROOT = Path(__file__).parents[1]
TOPICS = {path.stem: path for path in sorted((ROOT / "src" / "stemsplit" / "docs").glob("*.md"))}

TINY = tomllib.loads(TABLE)["NAME"]
"""The entry of a network as small as can be."""

BRIEF = ["--steps", "1", "--seconds", "0.1", "--batch-size", "1", "--device", "cpu", "--precision", "fp32"]
"""What is added to a command that would train for days."""


def text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def blocks(path: Path, language: str) -> list[str]:
    """What stands in a document's blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", text(path), re.M | re.S)


def commands(path: Path) -> list[str]:
    """The lines of a document that run stemsplit, without their comments."""
    lines = [line.partition(" #")[0].strip() for block in blocks(path, "sh") for line in block.splitlines()]
    return [line for line in lines if re.match(r"(stemsplit|torchrun .* -m stemsplit) ", line)]


def tiny(entry: ModelEntry) -> ModelEntry:
    """The entry with a network as small as can be, which anybody's weights fit."""
    config = {**TINY["config"], "num_sources": len(entry.stems)}
    facts = {name: TINY[name] for name in ("architecture", "channels", "chunk", "hop")}
    entry = replace(entry, shortest=0, longest=0, earlier_chunks=(), earlier_hops=())
    return replace(entry, **facts, config=config, sha256="", git_sha1="", size=0, from_weights=())


@pytest.fixture(scope="session")
def stand_ins(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A registry with a small network for every model that a document names: nothing is downloaded."""
    folder = tmp_path_factory.mktemp("models")
    everything = "".join(map(text, (ROOT / "README.md", *TOPICS.values())))
    tables = []
    for entry in registry.entries().values():
        if any(f"{mark}{entry.name}" in everything for mark in " :,+="):
            small = tiny(entry)
            save(build(small.architecture, small.config), folder / f"{entry.name}.safetensors")
            tables.append(registry.as_toml(replace(small, sources=(f"file:{folder / entry.name}.safetensors",))))
    return "\n".join(tables)


def write_own_checkpoints(folder: Path) -> None:
    """Write checkpoints of the user's own, one with its config."""
    mine = tiny(registry.find("starter"))
    network = build(mine.architecture, mine.config)
    for name in ("my.ckpt", "best_model.tar"):
        torch.save(network.state_dict(), folder / name)
    config = {"audio": {"chunk_size": mine.chunk}, "model": mine.config, "inference": {"num_overlap": 2}}
    (folder / "my.yaml").write_text(yaml.safe_dump(config))
    result.save(network, mine, folder / "my.safetensors")


def measure_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `stemsplit bench` find some figure soon: those of this machine are asked for elsewhere."""
    from stemsplit import bench

    monkeypatch.setattr(bench, "SIDES", {"cpu": 64})
    monkeypatch.setattr(bench, "GEMM_SECONDS", 0.0)
    monkeypatch.setattr(bench, "ENOUGH_SECONDS", 0.0)


def serve_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let `stemsplit listen` end as with Ctrl-C as soon as it would serve, and open no browser."""

    def interrupt(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("stemsplit.listening.server.Server.serve_forever", interrupt)
    monkeypatch.setattr("webbrowser.open", lambda _: True)


@pytest.fixture
def try_line(
    stemsplit: Callable[..., Result],
    song: Callable[..., Path],
    tmp_path: Path,
    home: Path,
    stand_ins: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[str], Result]]:
    """Runs a line in a folder with songs, stems and checkpoints of the names that documents use."""

    def call(line: str) -> Result:
        words = shlex.split(line.partition("-m stemsplit")[2] or line.removeprefix("stemsplit"))
        if words[0] != "remove":  # which removes what was downloaded, and nothing was
            (home / "config").mkdir()
            (home / "config" / "models.toml").write_text(stand_ins, encoding="utf-8")
        if words[0] == "bench":
            measure_little(monkeypatch)
        if words[0] == "listen":
            serve_nothing(monkeypatch)
            split_song(tmp_path / "stems" / "song", tmp_path / "song.flac", frames=84_000, rate=1_000)
            comparison(tmp_path / "compare" / "song")
        if "tiny.toml" in line:
            (tmp_path / "tiny.toml").write_text(blocks(TOPICS["training"], "toml")[0], encoding="utf-8")
        if " my." in line or "best_model" in line:
            write_own_checkpoints(tmp_path)
        (tmp_path / "collection").mkdir()
        for name in ("song.wav", "take.wav", "a.mp3", "b.mp3", "collection/a.flac", "collection/b.mp3"):
            song(name, frames=2_000)
        if words[0] != "listen":
            song("song.flac", frames=62 * 44_100 if "--start" in line else 2_000)
        if words[0] == "status":
            assert stemsplit("song.flac", "collection/", "--quiet").status == 0
        if words[0] in ("eval", "train") or "references/" in words:
            for folder in ("references", "stems", "songs", "held-out"):
                (tmp_path / folder / "song").mkdir(parents=True)
                for stem in (*STEMS, *(["mixture"] if folder == "references" else [])):
                    song(f"{folder}/song/{stem}.wav", frames=8_000)
        # As a shell does.
        expanded = [name for word in words for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
        return stemsplit(*expanded, *(BRIEF if words[0] == "train" else []))

    yield call
    # Training turns denormal numbers off, for the whole process.
    torch.set_flush_denormal(False)

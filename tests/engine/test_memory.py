"""Networks that do not fit into the memory together: one at a time, and the same stems."""

import weakref

import numpy as np
import pytest
import torch

from stemsplit import DeviceError
from stemsplit.checkpoints.checkpoint import save
from stemsplit.engine import chain, memory
from stemsplit.engine.chain_entry import ChainEntry
from stemsplit.engine.combination.entry import ensemble
from stemsplit.fast.cpu.pool import torch_threads
from stemsplit.models import build
from stemsplit.registry import ModelEntry
from tests.conftest import noise
from tests.engine.test_chain import FACTS

RATE = 44_100


@pytest.fixture(scope="module")
def three(tmp_path_factory: pytest.TempPathFactory) -> list[ModelEntry]:
    """Three models with random weights."""
    folder = tmp_path_factory.mktemp("models")
    entries = []
    for seed in range(3):
        torch.manual_seed(seed)
        path = folder / f"m{seed}.safetensors"
        about = {"description": "", "author": "", "sources": (f"file:{path}",)}
        entry = ModelEntry(name=f"m{seed}", **about, **FACTS["music"])  # type: ignore[arg-type]
        save(build(entry.architecture, entry.config), path)
        entries.append(entry)
    return entries


def needs(entry: ModelEntry) -> int:
    return 8 * sum(each.numel() for each in build(entry.architecture, entry.config).parameters())


def test_networks_that_do_not_fit_take_turns(three: list[ModelEntry], monkeypatch: pytest.MonkeyPatch) -> None:
    """The stems are the same, never is there more than one network, and each is loaded once a turn."""
    monkeypatch.setattr(chain, "TURN_SECONDS", 2.0)
    models, song = ChainEntry(ensemble(three)), noise(2, 5 * RATE)
    alive: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
    most = loads = 0
    from stemsplit.engine import separator as module

    plain = module.load_network

    def counted(entry: ModelEntry) -> torch.nn.Module:
        nonlocal most, loads
        network = plain(entry)
        alive.add(network)
        most, loads = max(most, len(alive)), loads + 1
        return network

    expected = chain.load(models, device="cpu", threads=1).separate(song, RATE)
    monkeypatch.setattr(module, "load_network", counted)
    splitter = chain.load(models, fit_memory=needs(three[0]) + 1, device="cpu", threads=1)
    found = splitter.separate(song, RATE)
    for name, stem in expected.items():
        assert (found[name] == stem).all()
    assert most == 1
    assert loads <= 3 + 3 * 3 + 3  # once to check them, then once in each turn


def test_networks_that_fit_stay(three: list[ModelEntry]) -> None:
    room = memory.Memory(3 * needs(three[0]))
    made = [chain.Separator(entry, "cpu", threads=1, memory=room) for entry in three]
    assert not room.is_crowded
    song = noise(2, 5_000)
    for _ in range(2):
        for each in made:
            each.separate(song, RATE)
    assert all(each.estimator.network is not None for each in made)


def test_a_network_that_is_too_large_alone_is_refused_at_the_start(three: list[ModelEntry]) -> None:
    with pytest.raises(DeviceError, match="--fit-memory"):
        chain.load(ChainEntry(three[0]), fit_memory=needs(three[0]) - 1, device="cpu")


def test_a_chain_takes_turns_too(three: list[ModelEntry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "TURN_SECONDS", 0.4)
    models, song = ChainEntry(three[0], (("vocals", three[1]),)), noise(2, RATE)
    expected = chain.load(models, device="cpu", threads=1).separate(song, RATE)
    found = chain.load(models, fit_memory=needs(three[0]), device="cpu", threads=1).separate(song, RATE)
    assert all((found[name] == stem).all() for name, stem in expected.items())


def test_what_is_held_does_not_grow_with_the_song(three: list[ModelEntry], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chain, "TURN_SECONDS", 1.0)
    splitter = chain.load(ChainEntry(ensemble(three)), fit_memory=needs(three[0]), device="cpu", threads=1)
    made = seen = most = 0

    def blocks():  # type: ignore[no-untyped-def]
        nonlocal made, most
        for _ in range(24):
            made += RATE // 2
            most = max(most, made - seen)
            yield np.zeros((2, RATE // 2), np.float32)

    with torch_threads(1):
        for mixture, _ in splitter.stream(blocks(), RATE, 2):
            seen += mixture.shape[-1]
    assert seen == 12 * RATE
    assert most < 4 * RATE

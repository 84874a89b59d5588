"""Long recordings through FullSubNet+, which hears a whole chunk at once: where chunks meet, nothing is heard of it."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from torch import Tensor

from stemsplit import Separator, registry
from stemsplit.audio import Block, Reader
from stemsplit.models import build
from tests.conftest import Samples

PUBLISHED = registry.find("fullsubnet-plus")
RATE, CHUNK, HOP = PUBLISHED.sample_rate, PUBLISHED.chunk, PUBLISHED.hop
TINY = {"n_fft": 2_048, "win_length": 2_048, "hop_length": 1_024, "num_freqs": 1_025}
TINY |= {"sb_num_neighbors": 1, "sb_model_hidden_size": 2}
NEAR = 16
"""Samples on either side of a place that are looked at."""


def talk(rng: np.random.Generator) -> Samples:
    """A second of somebody speaking, or of a pause, in the noise of a room, (t,)."""
    time = np.arange(RATE) / RATE
    pitch, syllables = rng.uniform(90, 250), rng.uniform(2, 5)
    phase = 2 * np.pi * (pitch * time + 3 * np.sin(2 * np.pi * 1.5 * time))
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12))
    level = 10 ** rng.uniform(-1.5, -0.5) * (rng.random() < 0.7) * np.sin(np.pi * syllables * time) ** 2
    return (level * voice + 10 ** rng.uniform(-3, -2) * rng.standard_normal(RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes."""
    path, rng = tmp_path_factory.mktemp("recording") / "talk.wav", np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(600):
            file.write(talk(rng))
    return path


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.ModelEntry:
    """The published model's, but for a network that is computed in no time. What it makes of a sound differs from chunk
    to chunk, as the published one's does.
    """
    monkeypatch.setattr("stemsplit.models.fullsubnet_plus_layers.WIDTH", 8)
    torch.manual_seed(0)
    weights = build("fullsubnet_plus", TINY).state_dict()
    weights["sb_model.fc_output_layer.weight"] *= 3
    torch.save(weights, tmp_path / "tiny.pt")
    return dataclasses.replace(PUBLISHED, config=TINY, sources=(f"file:{tmp_path / 'tiny.pt'}",), name="tiny")


@torch.inference_mode()
def excess(separator: Separator, mixture: Tensor, speech: Tensor, borders: range) -> float:
    """How much rougher the estimate's error is where chunks meet than elsewhere, in dB.

    Its error is what it differs by from the estimate of a chunk that neither begins nor ends anywhere near. A click, a
    step or a sudden change of level is a large second difference; a slow change from one estimate to the next is not.

    Args:
        separator: with the network.
        mixture: (t,).
        speech: what the separator made of it.
        borders: places where chunks meet.
    """
    rough = {"at": 0.0, "elsewhere": 0.0}
    for border in borders:
        begin = border - CHUNK * 3 // 8
        part = slice(begin, begin + CHUNK)
        error = speech[part] - separator.network(mixture[None, None, part])[0, 0, 0]
        bends = error.diff(n=2).square()
        for where, place in (("at", border), ("elsewhere", border - HOP // 4), ("elsewhere", border + HOP // 4)):
            rough[where] += float(bends[place - begin - NEAR : place - begin + NEAR].mean())
    return float(10 * np.log10(2 * rough["at"] / rough["elsewhere"]))


def test_in_ten_minutes_no_border_of_chunks_is_heard_and_memory_is_that_of_a_chunk(
    recording: Path, entry: registry.ModelEntry
) -> None:
    separator, sizes, counts = Separator(entry, "cpu", threads=1), set[torch.Size](), {"read": 0, "given": 0}
    compute, most = separator.compute, 0

    def spied(mixtures: Tensor) -> Tensor:
        sizes.add(mixtures.shape)
        return compute(mixtures)

    def counted(reader: Reader) -> Iterator[Block]:
        for block in reader:
            counts["read"] += block.shape[-1]
            yield block

    separator.compute, parts = spied, []
    with Reader(recording) as reader:
        for mixture, stems in separator.stream(counted(reader), RATE, 1):
            counts["given"] += mixture.shape[-1]
            most = max(most, counts["read"] - counts["given"])
            parts.append(np.stack([mixture[0], stems[0, 0]]))
    mixture, speech = torch.from_numpy(np.concatenate(parts, -1))
    assert len(mixture) == 600 * RATE
    # Memory: never more than a chunk is computed, nor more than two are held, at the beginning as at the end.
    assert sizes == {torch.Size((1, 1, CHUNK))}
    assert most <= 2 * CHUNK
    # Both estimates differ from chunk to chunk, and so from what they would be elsewhere; where they meet no more so.
    borders = range(4 * HOP, len(mixture) - CHUNK, 5 * HOP)
    assert len(borders) > 20
    found = excess(separator, mixture, speech, borders)
    print("FOUND", found)
    assert found <= 3


@pytest.mark.parametrize("overlap", [0, 0.5])
def test_borders_that_are_not_faded_would_be_found(recording: Path, entry: registry.ModelEntry, overlap: float) -> None:
    separator = Separator(entry, "cpu", threads=1, overlap=overlap, window="mean")
    mixture = torch.from_numpy(soundfile.read(recording, 120 * RATE, dtype="float32")[0])
    speech = separator.separate(mixture[None], RATE)["speech"][0]
    assert excess(separator, mixture, speech, range(CHUNK, len(mixture) - CHUNK, CHUNK)) >= 8


def test_neighbouring_chunks_have_the_same_frames() -> None:
    frames = PUBLISHED.config["hop_length"]
    assert CHUNK % frames == HOP % frames == 0

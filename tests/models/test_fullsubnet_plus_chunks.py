"""Long recordings through FullSubNet+, whose estimates depend on whole chunks: no border of chunks is audible."""

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
"""Samples that are measured on either side of a border."""


def talk(rng: np.random.Generator) -> Samples:
    """Make a second of speech or of a pause, in the noise of a room, (t,)."""
    time = np.arange(RATE) / RATE
    pitch, syllables = rng.uniform(90, 250), rng.uniform(2, 5)
    phase = 2 * np.pi * (pitch * time + 3 * np.sin(2 * np.pi * 1.5 * time))
    voice = sum(np.sin(harmonic * phase) / harmonic for harmonic in range(1, 12))
    level = 10 ** rng.uniform(-1.5, -0.5) * (rng.random() < 0.7) * np.sin(np.pi * syllables * time) ** 2
    return (level * voice + 10 ** rng.uniform(-3, -2) * rng.standard_normal(RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recording of ten minutes."""
    path, rng = tmp_path_factory.mktemp("recording") / "talk.wav", np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        for _ in range(600):
            file.write(talk(rng))
    return path


@pytest.fixture
def entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> registry.ModelEntry:
    """The published entry with a tiny network, whose estimates differ from chunk to chunk like the published ones."""
    monkeypatch.setattr("stemsplit.models.fullsubnet_plus_layers.WIDTH", 8)
    torch.manual_seed(0)
    weights = build("fullsubnet_plus", TINY).state_dict()
    weights["sb_model.fc_output_layer.weight"] *= 3
    torch.save(weights, tmp_path / "tiny.pt")
    return dataclasses.replace(PUBLISHED, config=TINY, sources=(f"file:{tmp_path / 'tiny.pt'}",), name="tiny")


@torch.inference_mode()
def excess(separator: Separator, mixture: Tensor, speech: Tensor, borders: range) -> float:
    """Return how much rougher the estimate's error is where chunks meet than elsewhere, in dB.

    The error is the difference from the estimate of a chunk that neither starts nor ends nearby. A click, a step or a
    sudden change of level has a large second difference; a slow change from one estimate to the next does not.

    Args:
        separator: the separator with the network.
        mixture: (t,).
        speech: the separator's estimate, (t,).
        borders: samples at which chunks meet.
    """
    rough = {"at": 0.0, "elsewhere": 0.0}
    for border in borders:
        begin = border - CHUNK * 3 // 8
        part = slice(begin, begin + CHUNK)
        error = speech[part] - separator.estimator.network(mixture[None, None, part])[0, 0, 0]
        bends = error.diff(n=2).square()
        for where, centre in (("at", border), ("elsewhere", border - HOP // 4), ("elsewhere", border + HOP // 4)):
            rough[where] += float(bends[centre - begin - NEAR : centre - begin + NEAR].mean())
    return float(10 * np.log10(2 * rough["at"] / rough["elsewhere"]))


def test_in_ten_minutes_no_border_of_chunks_is_audible_and_memory_is_that_of_a_chunk(
    recording: Path, entry: registry.ModelEntry
) -> None:
    separator, sizes, counts = Separator(entry, "cpu", threads=1), set[torch.Size](), {"read": 0, "given": 0}
    compute, most = separator.estimator.compute, 0

    def spied(mixtures: Tensor) -> Tensor:
        sizes.add(mixtures.shape)
        return compute(mixtures)

    def counted(reader: Reader) -> Iterator[Block]:
        for block in reader:
            counts["read"] += block.shape[-1]
            yield block

    separator.estimator.compute, parts = spied, []
    with Reader(recording) as reader:
        for mixture, stems in separator.stream(counted(reader), RATE, 1):
            counts["given"] += mixture.shape[-1]
            most = max(most, counts["read"] - counts["given"])
            parts.append(np.stack([mixture[0], stems[0, 0]]))
    mixture, speech = torch.from_numpy(np.concatenate(parts, -1))
    assert len(mixture) == 600 * RATE
    # At most one chunk is computed at once, and at most two are in memory, from beginning to end.
    assert sizes == {torch.Size((1, 1, CHUNK))}
    assert most <= 2 * CHUNK
    # Estimates differ from chunk to chunk, but not more so where two chunks meet.
    borders = range(4 * HOP, len(mixture) - CHUNK, 5 * HOP)
    assert len(borders) > 20
    assert excess(separator, mixture, speech, borders) <= 3


@pytest.mark.parametrize("overlap", [0, 0.5])
def test_borders_that_are_not_faded_would_be_found(recording: Path, entry: registry.ModelEntry, overlap: float) -> None:
    separator = Separator(entry, "cpu", threads=1, overlap=overlap, window="mean")
    mixture = torch.from_numpy(soundfile.read(recording, 120 * RATE, dtype="float32")[0])
    speech = separator.separate(mixture[None], RATE)["speech"][0]
    assert excess(separator, mixture, speech, range(CHUNK, len(mixture) - CHUNK, CHUNK)) >= 8


def test_neighbouring_chunks_have_the_same_frames() -> None:
    frames = PUBLISHED.config["hop_length"]
    assert CHUNK % frames == HOP % frames == 0

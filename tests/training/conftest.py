"""Songs of two tones, and networks so small that they learn to tell these apart in seconds."""

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from stemsplit.evaluation.multitracks import song_folders
from stemsplit.models import build
from stemsplit.registry import ModelEntry
from stemsplit.training.data import Collection, collect
from stemsplit.training.examples import Examples
from stemsplit.training.loop import Run
from stemsplit.training.plan import Mixing, Plan
from stemsplit.training.start import start
from tests.conftest import Samples
from tests.models.test_contract import BANDS, FORMER
from tests.models.test_contract import TINY as SUDO

RATE = 8_000

TINY = ModelEntry(
    name="tiny",
    description="as small as can be",
    architecture="sudormrf",
    config={**SUDO, "variant": "improved", "num_sources": 2},
    stems=("low", "high"),
    sample_rate=RATE,
    channels=1,
    chunk=4_000,
    hop=2_000,
    sources=(),
    author="this test",
    mixture_consistency=True,
)
ROFORMER = replace(
    TINY,
    architecture="bs_roformer",
    channels=2,
    config={
        **FORMER,
        **BANDS,
        "num_stems": 2,
        "stereo": True,
        "depth": 1,
        "time_transformer_depth": 1,
        "freq_transformer_depth": 1,
    },
)
ENTRIES = {"sudormrf": TINY, "bs_roformer": ROFORMER}


def tone(pitch: float, frames: int = RATE, rate: int = RATE, channels: int = 2) -> Samples:
    """A sine of that many Hz, (frames, channels)."""
    sine = 0.3 * np.sin(2 * math.pi * pitch * np.arange(frames) / rate)
    return np.repeat(sine[:, None], channels, 1).astype(np.float32)


def put(folder: Path, rate: int = RATE, suffix: str = "wav", **stems: Samples) -> Path:
    """Write a song's stems; gives its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, samples in stems.items():
        soundfile.write(folder / f"{stem}.{suffix}", samples, rate)
    return folder


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """Three songs of a second, each a low and a high tone."""
    for number, pitches in enumerate([(150, 1_200), (200, 1_500), (280, 2_000)]):
        low, high = map(tone, pitches)
        put(tmp_path / "album" / f"song {number}", low=low, high=high)
    return tmp_path / "album"


def gathered(folder: Path, entry: ModelEntry = TINY) -> Collection:
    """What a folder has for a model."""
    return collect(song_folders(folder), entry)


def network(entry: ModelEntry = TINY, seed: int = 0) -> torch.nn.Module:
    """A network as a run begins with it."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made = build(entry.architecture, entry.config)
    start(made, len(entry.outputs))
    return made


def a_run(album: Path, out: Path, entry: ModelEntry = TINY, *, length: int = 1_000, seed: int = 0, **more: Any) -> Run:
    """A run on an album's songs; what is no setting of its plan is one of `Run`."""
    ways = {name: more.pop(name) for name in ("workers", "dtype", "loaders", "half", "compiled") if name in more}
    validation = more.pop("validation", ())
    plan = Plan(**{"steps": 8, "batch_size": 2, "report_every": 4, "seed": seed, **more})
    mixing = Mixing(length, augmentations=("swap", "polarity", "equalise", "speed"))
    examples = Examples([gathered(album, entry)], mixing, RATE, seed)
    return Run(network(entry, seed), entry, examples, validation, out, plan, **ways)


@pytest.fixture
def one_thread() -> Iterator[None]:
    """What several threads add up, they may add up in another order each time."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)

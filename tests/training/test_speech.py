"""FullSubNet+ learns: a small one, trained by the command, takes noise off speech that it never heard."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from stemsplit import registry
from stemsplit.evaluation.metrics import si_sdr
from stemsplit.registry import ModelEntry
from tests.cli.conftest import Result
from tests.cli.conftest import stemsplit as stemsplit
from tests.conftest import Samples
from tests.training.conftest import RATE, put
from tests.training.conftest import one_thread as one_thread

SECONDS = 3
HELD_OUT = range(100, 103)
"""Of the recordings, which are known by what they are made from."""
SMALL = ModelEntry(
    name="small",
    description="speech and noise",
    architecture="fullsubnet_plus",
    config={
        "n_fft": 256,
        "win_length": 256,
        "hop_length": 128,
        "num_freqs": 129,
        "sb_num_neighbors": 7,
        "sb_model_hidden_size": 24,
    },
    stems=("speech",),
    residual="noise",
    sample_rate=RATE,
    channels=1,
    chunk=RATE * SECONDS,
    hop=RATE * SECONDS,
    sources=(),
    author="this test",
)


@pytest.fixture(autouse=True)
def _as_before(one_thread: None) -> Iterator[None]:  # noqa: ARG001  # one thread, and then as many as before
    """The command changes how the whole process computes."""
    yield
    torch.set_flush_denormal(False)
    torch.backends.cuda.allow_fp16_bf16_reduction_math_sdp(False)


def talk(rng: np.random.Generator) -> Samples:
    """Syllables of a gliding voice with a formant or two, and pauses, (t,)."""
    time = np.arange(RATE * SECONDS) / RATE
    glide = rng.uniform(90, 220) * (1 + 0.15 * np.sin(2 * np.pi * rng.uniform(0.5, 1.5) * time + rng.uniform(0, 6)))
    phase = 2 * np.pi * np.cumsum(glide) / RATE
    formant = 500 + 300 * np.sin(2 * np.pi * rng.uniform(1, 3) * time)
    voice = sum(np.sin(k * phase) * np.exp(-(((k * glide - formant) / 500) ** 2)) for k in range(1, 12))
    syllables = np.sin(2 * np.pi * rng.uniform(1.5, 3) * time + rng.uniform(0, 6)).clip(0) ** 0.5
    return (0.1 * voice * syllables).astype(np.float32)


def hiss(rng: np.random.Generator) -> Samples:
    """A fan: wide noise, louder below, (t,)."""
    white = np.fft.rfft(rng.standard_normal(RATE * SECONDS))
    white *= 1 / np.sqrt(1 + np.arange(len(white)) / len(white) * rng.uniform(2, 20))
    noise = np.fft.irfft(white, RATE * SECONDS)
    return (0.04 * noise / noise.std()).astype(np.float32)


def of_the_mixture(seed: int) -> float:
    """SI-SDR in dB of a recording taken for its speech as it is."""
    rng = np.random.default_rng(seed)
    speech, noise = torch.from_numpy(talk(rng)[None]), torch.from_numpy(hiss(rng)[None])
    return float(si_sdr(speech + noise, speech))


def album(folder: Path, seeds: range) -> Path:
    """A folder a recording, with its speech and its noise."""
    for seed in seeds:
        rng = np.random.default_rng(seed)
        put(folder / f"{seed}", speech=talk(rng)[:, None], noise=hiss(rng)[:, None])
    return folder


def test_it_learns_to_tell_speech_from_noise(
    stemsplit: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """SI-SDR on recordings that were held out, against that of the noisy mixture itself."""
    monkeypatch.setattr("stemsplit.models.fullsubnet_plus_layers.WIDTH", 64)
    data, held_out = album(tmp_path / "data", range(8)), album(tmp_path / "held out", HELD_OUT)
    (tmp_path / "small.toml").write_text(registry.as_toml(SMALL), encoding="utf-8")
    options = ["--registry", "small.toml", "--like", "small", "--device", "cpu", "--threads", "1"]
    recipe = ["--steps", "50", "--batch-size", "2", "--seconds", "1", "--loss", "sdr", "--learning-rate", "5e-3"]
    recipe += ["--ema-decay", "0.9", "--cooldown", "0.5", "--source-dropout", "0", "--remix", "1"]
    assert stemsplit("train", data, "-o", "trained.safetensors", *options, *recipe).status == 0
    measured = json.loads(stemsplit("eval", held_out, "--model", "trained.safetensors", "-d", "cpu", "--json").out)
    gains = [
        song["stems"]["speech"]["si_sdr"] - of_the_mixture(int(song["song"].rpartition("/")[2]))
        for song in measured["songs"]
    ]
    assert len(gains) == len(HELD_OUT)
    assert min(gains) >= 1
    assert sum(gains) / len(gains) >= 2.5

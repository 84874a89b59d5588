"""FullSubNet+ learning to take noise off real voices: SI-SDR of recordings that were held out, before and after.

python -m tests.benchmarks.enhancement SPEECH_FOLDER NOISE_FOLDER [MINUTES] [THREADS]      default: 5 1

SPEECH_FOLDER and NOISE_FOLDER hold recordings that libsndfile reads, each of one voice and of one noise; where
NOISE_FOLDER does not exist, noises are made there: pink noise, hum, babble of the voices, rain. Every fourth voice and
the same share of each noise's seconds are kept apart. `stemsplit train` gets the others for that many minutes, with a
quarter of the published network's features, and mixes voices with noises as it goes; then each voice that was kept
apart is mixed with each noise at 0 and 5 dB and handed to the separator.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr
import torch

from stemsplit import Separator, registry
from stemsplit.checkpoints.describe import describe
from stemsplit.evaluation.metrics import si_sdr

Samples = npt.NDArray[np.float32]

RATE, EVERY, LONGEST = 16_000, 4, 30
"""Of the network, in Hz; of so many voices, one is kept apart; seconds used of each recording."""

ENTRY = registry.find("fullsubnet-plus")
SMALL = replace(
    ENTRY,
    name="small",
    description="FullSubNet+ with a quarter of the sub-band network's features",
    config={**ENTRY.config, "sb_model_hidden_size": 96},
    sources=(),
)


def read(path: Path) -> Samples:
    """A recording in mono at the network's rate, as loud as any other, (t,)."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    mono = soxr.resample(samples.mean(1), rate, RATE)[: LONGEST * RATE]
    return (0.05 * mono / (np.sqrt(np.mean(mono**2)) + 1e-9)).astype(np.float32)


def recordings(folder: Path) -> dict[str, Samples]:
    """All of a folder, by name."""
    known = {f".{format_.lower()}" for format_ in soundfile.available_formats()} | {".mp3", ".opus"}
    return {path.stem: read(path) for path in sorted(folder.iterdir()) if path.suffix.lower() in known}


def made(voices: list[Samples]) -> Iterator[tuple[str, Samples]]:
    """Noises for want of recorded ones, (t,)."""
    rng, length = np.random.default_rng(0), LONGEST * RATE
    time = np.arange(length) / RATE
    white = np.fft.rfft(rng.standard_normal(length))
    yield "pink", np.fft.irfft(white / np.sqrt(np.arange(len(white)) + 1), length)
    hum = sum(rng.uniform(0.2, 1) / k * np.sin(2 * np.pi * 50 * k * time + rng.uniform(0, 6)) for k in range(1, 20))
    yield "hum", hum + 0.2 * rng.standard_normal(length)
    yield "babble", sum(np.resize(np.roll(voice, rng.integers(len(voice)))[::-1], length) for voice in voices * 2)
    drops = rng.standard_normal(length) * (rng.random(length) < 0.002) * 30
    yield "rain", np.convolve(drops, np.exp(-np.arange(200) / 40), "same") + 0.3 * rng.standard_normal(length)


def noises(folder: Path, voices: list[Samples]) -> dict[str, Samples]:
    """The noises of a folder, made if it is not there."""
    if not folder.exists():
        folder.mkdir(parents=True)
        for name, noise in made(voices):
            soundfile.write(folder / f"{name}.wav", (0.05 * noise / noise.std()).astype(np.float32), RATE, "FLOAT")
    return recordings(folder)


def put(folder: Path, voices: dict[str, Samples], sounds: dict[str, Samples]) -> None:
    """Lay out songs for training: each voice with each noise, which training mixes anew all the time."""
    for voice, speech in voices.items():
        for name, noise in sounds.items():
            song = folder / f"{voice} in {name}"
            song.mkdir(parents=True)
            length = min(len(speech), len(noise))
            soundfile.write(song / "speech.wav", speech[:length], RATE, "FLOAT")
            soundfile.write(song / "noise.wav", noise[:length], RATE, "FLOAT")


def train(folder: Path, minutes: float, threads: int) -> Path:
    """Train for so long on the songs in `folder`/data; gives the weights."""
    out, entry = folder / "small.safetensors", folder / "entry.toml"
    entry.write_text(registry.as_toml(SMALL), encoding="utf-8")
    command = [sys.executable, "-m", "stemsplit", "train", folder / "data", "-o", out, "--registry", entry]
    command += ["--like", "small", "--device", "cpu", "--threads", threads, "--batch-size", 2, "--seconds", 2]
    command += ["--steps", 100_000, "--report-every", 10, "--loss", "sdr", "--learning-rate", 2e-3, "--ema-decay", 0.98]
    command += ["--gain", 5, "--source-dropout", 0, "--remix", 1]
    process = subprocess.Popen(list(map(str, command)), stdout=subprocess.DEVNULL)
    try:
        process.wait(60 * minutes)
    except subprocess.TimeoutExpired:
        process.terminate()  # it ends with a step, and keeps what it has
        process.wait()
    if not out.exists():
        raise SystemExit(f"in {minutes:g} minutes, not even ten steps were made; give it more")
    return out


def mixed(speech: Samples, noise: Samples, ratio: float) -> tuple[torch.Tensor, torch.Tensor]:
    """A mixture and its speech, (1, t) each; that much louder than the noise, in dB."""
    length = min(len(speech), len(noise))
    true, other = torch.from_numpy(speech[None, :length]), torch.from_numpy(noise[None, :length])
    return true + other * true.norm() / other.norm() * 10 ** (-ratio / 20), true


def main() -> None:
    """Print a line for each mixture that was held out, and their mean."""
    minutes, threads = [float(word) for word in sys.argv[3:]] + [5.0, 1.0][len(sys.argv) - 3 :]
    voices = recordings(Path(sys.argv[1]))
    held_out = {name: voice for place, (name, voice) in enumerate(voices.items()) if not (place + 1) % EVERY}
    kept = {name: voice for name, voice in voices.items() if name not in held_out}
    sounds = noises(Path(sys.argv[2]), list(kept.values()))
    shares = {name: len(noise) * (EVERY - 1) // EVERY for name, noise in sounds.items()}
    figures = []
    with tempfile.TemporaryDirectory() as work:
        put(Path(work) / "data", kept, {name: noise[: shares[name]] for name, noise in sounds.items()})
        weights = train(Path(work), minutes, int(threads))
        separator = Separator(describe(weights).entry, "cpu", threads=int(threads))
        for voice, speech in held_out.items():
            for name, noise in sounds.items():
                for ratio in (0.0, 5.0):
                    mixture, true = mixed(speech, noise[shares[name] :], ratio)
                    found = separator.separate(mixture, RATE)["speech"]
                    figures.append((float(si_sdr(mixture, true)), float(si_sdr(found, true))))
                    print(f"{voice} in {name}: SI-SDR {figures[-1][0]:5.1f} dB -> {figures[-1][1]:5.1f} dB", flush=True)
    before, after = np.mean(figures, 0)
    print(f"mean of {len(figures)}: SI-SDR {before:.2f} dB -> {after:.2f} dB ({after - before:+.2f} dB)")


if __name__ == "__main__":
    main()

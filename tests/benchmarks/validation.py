"""SDR of a model on songs whose stems are known, and the error where chunks meet.

python -m tests.benchmarks.validation FOLDER [MODEL]

FOLDER holds a folder a song, with a file a stem in each. SDR is 10 log10 of the source's energy over the error's in dB,
both channels together, averaged over the songs. For every window: each stem's SDR with chunks of the model's length,
and with chunks of 2 s, so that even short clips have seams; then in every precision of this CPU. Then, for the first
song, the SDR of the network given the whole song at once, of `Separator`, and of the files that the command writes.
"""

import math
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import torch

from stemsplit import Separator
from stemsplit.choices import WindowName
from stemsplit.engine.completion import completed
from stemsplit.evaluation.metrics import sdr
from stemsplit.evaluation.multitracks import multitracks
from stemsplit.fast.device import native_bfloat16
from stemsplit.training.data import read_song
from tests.benchmarks.quality.seams import bends, fades


def measure(separator: Separator, songs: list[torch.Tensor]) -> torch.Tensor:
    """Mean SDR of every stem, (n,)."""
    scores = []
    for sources in songs:
        stems = separator.separate(sources.sum(0), separator.entry.sample_rate)
        estimates = torch.stack([stems[name] for name in separator.stems])
        scores.append(sdr(estimates, sources[: len(estimates)]))
    return torch.stack(scores).nanmean(0)


def seam_steps(separator: Separator, songs: list[torch.Tensor]) -> float:
    """How much larger the stems' second differences are where a chunk's fade begins or ends than elsewhere, in dB."""
    pairs = []
    for sources in songs:
        stems = separator.separate(sources.sum(0), separator.entry.sample_rate)
        pairs.append(bends(torch.stack(list(stems.values())), fades(separator.entry, sources.shape[-1])))
    at_seams, elsewhere = map(sum, zip(*pairs, strict=True))
    return 10 * math.log10(at_seams / elsewhere)


def by_network(separator: Separator, sources: torch.Tensor) -> torch.Tensor:
    """SDR of every stem, (n,), when the network gets the whole song."""
    with torch.inference_mode():
        mixture = sources.sum(0, keepdim=True)
        estimates = separator.estimator.compute(mixture.to(separator.device)).cpu()
    return sdr(completed(estimates, mixture, separator.entry)[0], sources)


def by_command(separator: Separator, sources: torch.Tensor) -> torch.Tensor:
    """SDR of every stem, (n,), in the files that the command writes."""
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / "song.wav"
        soundfile.write(song, sources.sum(0).T.numpy(), separator.entry.sample_rate, subtype="FLOAT")
        command = [sys.executable, "-m", "stemsplit", song, "-o", folder, "-m", separator.entry.name, "-q"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        files = [soundfile.read(song.with_suffix("") / f"{name}.wav")[0] for name in separator.stems]
    return sdr(torch.from_numpy(np.stack(files)).mT, sources)


def main() -> None:
    """Print the figures."""
    folder, model = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "starter"
    for chunk_seconds in (None, 2.0):
        for window in WindowName:
            separator = Separator(model, chunk_seconds=chunk_seconds, window=window)
            names = separator.stems
            songs = [read_song(song, separator.entry) for song in multitracks(folder)]
            scores = measure(separator, songs)
            figures = " ".join(f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True))
            seams = f", seams {seam_steps(separator, songs):+.2f} dB" if chunk_seconds else ""
            seconds = separator.entry.chunk / separator.entry.sample_rate
            print(f"{seconds:g} s chunks, {window:6}: {figures} mean {scores.mean():.3f} dB{seams}", flush=True)
    for precision in ("fp32", "bf16") if native_bfloat16() else ("fp32",):
        scores = measure(Separator(model, device="cpu", precision=precision), songs)
        figures = " ".join(f"{name} {score:.4f}" for name, score in zip(names, scores, strict=True))
        print(f"{precision}: {figures} mean {scores.mean():.4f} dB", flush=True)
    separator = Separator(model)
    for what, measured in (
        ("network", by_network),
        ("Python", lambda separator, song: measure(separator, [song])),
        ("command", by_command),
    ):
        scores = measured(separator, songs[0])
        figures = " ".join(f"{name} {score:.3f}" for name, score in zip(names, scores, strict=True))
        print(f"first song, {what}: {figures} mean {scores.mean():.3f} dB")


if __name__ == "__main__":
    main()

"""SDR of a model on songs whose stems are known, and the error where chunks meet.

python -m tests.benchmarks.validation FOLDER [MODEL]

FOLDER holds a folder a song, with a file a stem in each. For every window: SDR of each stem in dB, 10 log10 of the
source's energy over the error's, both channels together, averaged over the songs; once with chunks of the model's own
length, once with chunks of 2 s, so that even short clips have seams.
"""

import sys
from pathlib import Path

import torch

from stemsplit import Separator
from stemsplit.metrics import sdr
from stemsplit.overlap_add import WINDOWS
from stemsplit.training.data import read_song, song_folders


def measure(separator: Separator, songs: list[torch.Tensor]) -> torch.Tensor:
    """Mean SDR of every stem, (n,)."""
    scores = []
    for sources in songs:
        stems = separator.separate(sources.sum(0), separator.entry.sample_rate)
        estimates = torch.stack([stems[name] for name in separator.entry.stems])
        scores.append(sdr(estimates, sources))
    return torch.stack(scores).mean(0)


def seam_steps(separator: Separator, songs: list[torch.Tensor]) -> float:
    """How much larger the stems' second differences are where a chunk's fade begins or ends than elsewhere, in dB."""
    at_seams, elsewhere = [], []
    for sources in songs:
        stems = separator.separate(sources.sum(0), separator.entry.sample_rate)
        bends = torch.stack(list(stems.values())).diff(n=2).square().mean((0, 1))
        starts = torch.arange(separator.hop, len(bends), separator.hop)
        near = torch.zeros_like(bends, dtype=torch.bool)
        near[(starts[:, None] + torch.arange(-3, 2)).clamp(0, len(bends) - 1).flatten()] = True
        at_seams.append(bends[near].mean())
        elsewhere.append(bends[~near].mean())
    return float(10 * torch.log10(torch.stack(at_seams).sum() / torch.stack(elsewhere).sum()))


def main() -> None:
    """Print the figures."""
    folder, model = Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "starter"
    for chunk_seconds in (None, 2.0):
        for window in WINDOWS:
            separator = Separator(model, chunk_seconds=chunk_seconds, window=window)
            names = separator.entry.stems
            songs = [read_song(song, names, separator.entry.sample_rate) for song in song_folders(folder, names)]
            scores = measure(separator, songs)
            figures = " ".join(f"{name} {score:.2f}" for name, score in zip(names, scores, strict=True))
            seams = f", seams {seam_steps(separator, songs):+.2f} dB" if chunk_seconds else ""
            seconds = separator.chunk / separator.entry.sample_rate
            print(f"{seconds:g} s chunks, {window:6}: {figures} mean {scores.mean():.3f} dB{seams}", flush=True)


if __name__ == "__main__":
    main()

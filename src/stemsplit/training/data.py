"""Multitracks in memory, and the random mixtures drawn from them."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from stemsplit.audio import Reader
from stemsplit.errors import AudioError
from stemsplit.training.augmentation import SPEEDS, faster, needed, vary

AUDIO_SUFFIXES = (".ogg", ".flac", ".wav")
SILENT = 1e-6
"""Mean square under which a recorded stem counts as absent (-60 dB)."""


@dataclass
class Multitracks:
    """Songs whose stems are all there, and single takes of each stem.

    Args:
        stems: names, in the model's order.
        songs: aligned sources, each (n, 2, t).
        takes: for every stem, recordings (2, t).
    """

    stems: Sequence[str]
    songs: list[Tensor] = field(default_factory=list)
    takes: dict[str, list[Tensor]] = field(default_factory=dict)


def read_stem(folder: Path, stem: str, sample_rate: int) -> Tensor:
    """One stem of a song, (2, t)."""
    path = next(path for suffix in AUDIO_SUFFIXES if (path := folder / f"{stem}{suffix}").is_file())
    with Reader(path) as reader:
        if reader.sample_rate != sample_rate:
            raise AudioError(f"{path} has {reader.sample_rate} Hz; the network takes {sample_rate} Hz")
        return torch.from_numpy(np.concatenate(list(reader), 1)).expand(2, -1)


def song_folders(root: Path, stems: Sequence[str]) -> list[Path]:
    """Folders below `root` that hold a file for every stem, in order of name."""
    names = [{f"{stem}{suffix}" for suffix in AUDIO_SUFFIXES} for stem in stems]
    folders = sorted({path.parent for path in root.rglob("*") if path.suffix in AUDIO_SUFFIXES})
    return [folder for folder in folders if all(any((folder / name).is_file() for name in ns) for ns in names)]


def read_song(folder: Path, stems: Sequence[str], sample_rate: int = 44_100) -> Tensor:
    """Aligned sources (n, 2, t), cut to the shortest."""
    sources = [read_stem(folder, stem, sample_rate) for stem in stems]
    shortest = min(source.shape[-1] for source in sources)
    return torch.stack([source[:, :shortest] for source in sources])


def load(root: Path, stems: Sequence[str], sample_rate: int = 44_100) -> Multitracks:
    """Read every song below `root`.

    A song with an absent stem may hide it in `other`: it gives its remaining stems as takes, and no song.
    """
    tracks = Multitracks(stems, takes={stem: [] for stem in stems})
    for folder in song_folders(root, stems):
        song = read_song(folder, stems, sample_rate)
        present = song.square().mean((1, 2)) > SILENT
        if present.all():
            tracks.songs.append(song)
        for stem, source, heard in zip(stems, song, present, strict=True):
            if heard and (present.all() or stem != "other"):
                tracks.takes[stem].append(source)
    return tracks


def draw(tracks: Multitracks, length: int, rng: random.Random, real_share: float) -> Tensor:
    """Sources of one training example, (n, 2, length): a stretch of a song, or stems of different songs."""
    speed = rng.choice(SPEEDS)
    if rng.random() < real_share:
        song = rng.choice(tracks.songs)
        start = rng.randrange(max(song.shape[-1] - needed(length, speed), 1))
        whole = faster(song[..., start : start + needed(length, speed)], speed)[..., :length]
        whole = torch.nn.functional.pad(whole, (0, length - whole.shape[-1]))
        return torch.stack([vary(source, rng, (-3.0, 3.0)) for source in whole])
    sources = torch.zeros(len(tracks.stems), 2, length)
    for source, stem in zip(sources, tracks.stems, strict=True):
        if rng.random() < 0.05:
            continue
        speed = rng.choice(SPEEDS)
        take = rng.choice(tracks.takes[stem])
        start = rng.randrange(max(take.shape[-1] - needed(length, speed), 1))
        part = faster(take[:, start : start + needed(length, speed)], speed)[:, :length]
        source[:, : part.shape[-1]] = vary(part, rng)
    return sources


def batches(
    tracks: Multitracks, length: int, batch_size: int, rng: random.Random, real_share: float = 0.4
) -> Iterator[Tensor]:
    """Endless batches of sources (b, n, 2, length)."""
    while True:
        yield torch.stack([draw(tracks, length, rng, real_share) for _ in range(batch_size)])

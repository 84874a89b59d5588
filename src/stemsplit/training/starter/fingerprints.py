"""Finds passages that recordings have in common, whatever their level, coding, speed or accompaniment.

`python -m stemsplit.training.starter.fingerprints AUDIO VALIDATION` compares all that is trained on with songs that
must not be among it.

Each recording becomes a set of landmarks: pairs of peaks in its spectrogram, their pitches and the time between them
(Wang 2003, "An Industrial-Strength Audio Search Algorithm"). A passage is in two recordings if many landmarks of one
are in the other, all of them as much earlier or later.
"""

import argparse
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn.functional import max_pool2d

from stemsplit.audio import resampled
from stemsplit.errors import StemsplitError
from stemsplit.evaluation.multitracks import Multitrack, multitracks
from stemsplit.training.starter.material import COLLECTIONS, collection

PROGRAM = "python -m stemsplit.training.starter.fingerprints"

SAMPLE_RATE, N_FFT, HOP = 44_100, 4_096, 2_048
"""Rate of the samples in Hz, and size and hop of their STFT."""

LOWEST, BANDS = 440 * 2 ** (-17 / 12), 56
"""Centre of the lowest band in Hz (165, of the highest 4.0 kHz), and the number of bands. Each is a semitone around a
note of the usual tuning, so that a small change of pitch changes no band."""

SOFTEST, RANGE = -1.5, 3.0
"""log10 of the magnitude that a peak has at least, and by how much it may be below the recording's largest."""

AROUND = (2, 3)
"""A peak is the highest value within so many bands, and so many frames, on every side."""

PARTNERS, REACH = 10, 40
"""Number of the following peaks that each peak is paired with, and the frames within which these are."""

DRIFT = 3
"""Frames by which landmarks of a passage that is a little faster or slower may be displaced."""

ENOUGH = 60
"""Landmarks in common that make a passage. Different songs had up to 39. Five seconds of the validation songs' mixtures
as MP3 had at least 82, at up to 2 % more or less speed, or at up to 1 % with another song that was half as loud."""

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Landmarks:
    """The landmarks of a recording.

    Args:
        codes: a number for each, made of two bands and the time between them, (l,).
        frames: frame of the first peak of each, (l,).
    """

    codes: Integers
    frames: Integers


def bands(samples: Tensor) -> Tensor:
    """Return the log10 magnitude of each band and frame, (t,) -> (k, m)."""
    window = torch.hann_window(N_FFT)
    spectrum = torch.stft(samples, N_FFT, HOP, window=window, return_complex=True, pad_mode="constant").abs()
    edges = LOWEST * 2 ** ((np.arange(BANDS + 1) - 0.5) / 12) * N_FFT / SAMPLE_RATE
    bins = np.ceil(edges).astype(int).tolist()
    rows = [spectrum[low : max(high, low + 1)].amax(0) for low, high in pairwise(bins)]
    return torch.stack(rows).clamp(min=1e-3).log10()


def landmarks(samples: Tensor) -> Landmarks:
    """Return the landmarks of samples (t,) at `SAMPLE_RATE`, in mono."""
    levels = bands(samples)
    highest = max_pool2d(levels[None], [2 * reach + 1 for reach in AROUND], 1, AROUND)[0]
    peaks = (levels == highest) & (levels > SOFTEST) & (levels > levels.amax() - RANGE)
    frames, places = (index.numpy() for index in peaks.T.nonzero(as_tuple=True))
    codes, firsts = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    for partner in range(1, min(PARTNERS + 1, len(frames))):
        apart = frames[partner:] - frames[:-partner]
        near = (apart > 0) & (apart < REACH)
        codes.append(((places[:-partner] * BANDS + places[partner:]) * REACH + apart)[near])
        firsts.append(frames[:-partner][near])
    return Landmarks(np.concatenate(codes), np.concatenate(firsts))


class Index:
    """Recordings in which others are looked for.

    Args:
        recordings: landmarks of each, by its name.
    """

    def __init__(self, recordings: Mapping[str, Landmarks]) -> None:
        self.names = [*recordings]
        codes = np.concatenate([each.codes for each in recordings.values()])
        order = codes.argsort(kind="stable")
        self.codes = codes[order]
        self.frames = np.concatenate([each.frames for each in recordings.values()])[order]
        numbers = [np.full(len(each.codes), number) for number, each in enumerate(recordings.values())]
        self.numbers = np.concatenate(numbers)[order]

    def common(self, other: Landmarks) -> Integers:
        """Return how many landmarks each recording has in common with another, at the best distance in time, (r,)."""
        first, last = (np.searchsorted(self.codes, other.codes, side) for side in ("left", "right"))
        counts = last - first
        before = np.repeat(first - (counts.cumsum() - counts), counts)
        found = np.arange(counts.sum()) + before
        delays = self.frames[found] - np.repeat(other.frames, counts) + 2**30
        best = np.zeros(len(self.names), np.int64)
        # Delays are counted in steps; with a second count, half a step later, none is at the edge of both.
        for shift in (0, DRIFT // 2 + 1):
            places, sums = np.unique(self.numbers[found] * 2**32 + (delays + shift) // DRIFT, return_counts=True)
            np.maximum.at(best, places >> 32, sums)
        return best


def read(song: Multitrack, stem: str) -> Tensor:
    """Return a stem in mono at `SAMPLE_RATE`, (t,).

    Raises:
        AudioError: the file cannot be read.
    """
    with song.open(stem) as reader:
        blocks = (block.mean(0, keepdims=True) for block in reader)
        parts = list(resampled(blocks, reader.sample_rate, SAMPLE_RATE))
    return torch.from_numpy(np.concatenate(parts, 1)[0] if parts else np.zeros(0, np.float32))


def index_of(folders: Sequence[Path]) -> Index:
    """Return the stems of all songs in some folders, and the mixtures, named `folder/song/stem`.

    Raises:
        AudioError: there are no songs, or a file cannot be read.
    """
    found: dict[str, Landmarks] = {}
    for folder, song in ((path, song) for path in folders for song in multitracks(path)):
        stems = {stem: read(song, stem) for stem in song.stems}
        mixture = torch.zeros(max(map(len, stems.values())))
        for name, samples in stems.items():
            mixture[: len(samples)] += samples
            found[f"{folder}/{song.title}/{name}"] = landmarks(samples)
        found[f"{folder}/{song.title}/mixture"] = landmarks(mixture)
    return Index(found)


def shared(audio: Path, names: Collection[str], index: Index) -> Iterator[str]:
    """Yield a sentence on each song that has a passage in common with an index.

    Of every song the stem with the largest file is compared, in which most is heard. Songs of the index have all their
    stems there.

    Args:
        audio: folder that has the folders of all collections.
        names: collections to compare.
        index: recordings to compare them with.

    Raises:
        AudioError: a file cannot be read.
    """
    for name in names:
        for song in collection(name, audio):
            stem = max(song.stems, key=lambda stem: song.stems[stem].stat().st_size)
            common = index.common(landmarks(read(song, stem)))
            if common.max() >= ENOUGH:
                yield f"{song.name} has a passage of {index.names[common.argmax()]} ({common.max()} landmarks)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.fingerprints`; the exit status is 1 if a passage is shared."""
    parser = argparse.ArgumentParser(PROGRAM, description="Find songs to train on that should not be trained on.")
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="folder with musdb18-7s, songs ...")
    parser.add_argument("others", type=Path, nargs="+", metavar="FOLDER", help="songs that are not to be among these")
    args = parser.parse_args(arguments)
    try:
        found = list(shared(args.audio, COLLECTIONS, index_of(args.others)))
    except (OSError, StemsplitError) as error:
        print(error, file=sys.stderr)
        return 1
    print(*found, sep="\n", end="\n" if found else "")
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())

"""Makes what a splitter is given besides songs: speech, noise, and one song in other channels, rates and levels."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from stemsplit.audio import Reader, resampled
from stemsplit.audio.conversion import layout

RATE, SECONDS = 44_100, 10
OTHER_RATE = 48_000
LEVEL = 0.1
"""Root mean square of what is made here: -20 dB."""

VOWELS = ((730, 1_090, 2_440), (270, 2_290, 3_010), (300, 870, 2_240), (530, 1_840, 2_480), (570, 840, 2_410))
"""First three formants of men's vowels in Hz (Peterson and Barney 1952): a, i, u, e, o."""

Samples = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Input:
    """Something to take apart.

    Args:
        name: what it is.
        mixture: (c, t).
        rate: sample rate in Hz.
        sources: its true stems if they are known, (n, c, t).
    """

    name: str
    mixture: Tensor
    rate: int = RATE
    sources: Tensor | None = None

    def changed(self, name: str, change: Callable[[Tensor], Tensor], rate: int = RATE) -> "Input":
        """The same with something done to every waveform."""
        sources = None if self.sources is None else torch.stack([change(source) for source in self.sources])
        return replace(self, name=name, mixture=change(self.mixture), rate=rate, sources=sources)


def as_loud(samples: Samples) -> Tensor:
    """Samples (c, t) at `LEVEL`."""
    return torch.from_numpy(LEVEL * samples / np.sqrt(np.mean(samples**2))).float()


def speech(seconds: float = SECONDS) -> Tensor:
    """A voice that says syllables of a consonant, a hiss, and a vowel of three formants; in the middle, (2, t).

    Nobody's voice, so that it needs neither a file nor a program, and is the same everywhere.
    """
    rng, length = np.random.default_rng(0), round(seconds * RATE)
    pitch, formants, voiced, hissed = (np.zeros(length), np.zeros((3, length)), np.zeros(length), np.zeros(length))
    place = 0
    while place < length:
        whole = round(rng.uniform(0.15, 0.3) * RATE)
        hiss, here = round(rng.uniform(0.03, 0.08) * RATE), slice(place, place + whole)
        size = len(pitch[here])
        pitch[here] = rng.uniform(100, 150) * np.linspace(1.05, 0.95, whole)[:size]
        formants[:, here] = np.array(VOWELS[rng.integers(len(VOWELS))])[:, None]
        if rng.random() > 0.15:  # else a pause
            hissed[here] = (np.hanning(hiss) * rng.uniform(0.05, 0.3)).tolist()[:size] + [0.0] * (size - hiss)
            voiced[here] = np.concatenate([np.zeros(hiss), np.hanning(whole - hiss)])[:size]
        place += whole
    smooth = np.hanning(round(0.05 * RATE))
    formants = np.stack([np.convolve(row, smooth / smooth.sum(), "same") for row in formants])
    phase, voice = 2 * np.pi * np.cumsum(pitch) / RATE, np.zeros(length)
    for harmonic in range(1, 40):
        distance = (harmonic * pitch - formants) / np.array([[80.0], [110.0], [160.0]])
        voice += np.sin(harmonic * phase) * (np.array([[1.0], [0.5], [0.25]]) / (1 + distance**2)).sum(0)
    consonants = np.diff(rng.standard_normal(length + 1))  # louder above
    mono = voice * voiced + consonants * hissed
    return as_loud(np.stack([mono, mono]))


def noise(slope: float, seconds: float = SECONDS) -> Tensor:
    """Noise whose power falls with frequency to a power, 0 for white and 1 for pink; channels of their own, (2, t)."""
    length = round(seconds * RATE)
    spectrum = np.fft.rfft(np.random.default_rng(1).standard_normal((2, length)))
    return as_loud(np.fft.irfft(spectrum / np.maximum(np.arange(spectrum.shape[1]), 1) ** (slope / 2), length))


def noise_like(given: "Input") -> Tensor:
    """White noise at `LEVEL`, as long as an input."""
    return noise(0.0, given.mixture.shape[-1] / RATE)


def recording(path: Path, seconds: float = SECONDS) -> Tensor:
    """The first seconds of a file in stereo at `RATE`, (2, t)."""
    with Reader(path, 0.0, seconds) as reader:
        stereo = (block[layout(reader.channels, 2, reader.speakers)][:2] for block in reader)
        return torch.from_numpy(np.concatenate(list(resampled(stereo, reader.sample_rate, RATE)), -1))


def at_other_rate(samples: Tensor) -> Tensor:
    """Samples at `OTHER_RATE`."""
    return torch.from_numpy(np.concatenate(list(resampled([samples.numpy()], RATE, OTHER_RATE)), -1))


def paused(samples: Tensor) -> Tensor:
    """Samples of which every third and fourth second is silent."""
    return samples * (torch.arange(samples.shape[-1]) // RATE % 4 < 2)


def variants(song: Input) -> Iterator[Input]:
    """A song as it is, first, and with pauses, in other channels, at another rate, and at other levels."""
    yield song
    yield song.changed(f"{song.name}, mono as stereo", lambda x: x.mean(0, keepdim=True).expand(2, -1).contiguous())
    yield song.changed(f"{song.name}, mono", lambda x: x.mean(0, keepdim=True))
    yield song.changed(f"{song.name}, 48 kHz", at_other_rate, OTHER_RATE)
    pauses = song.changed(f"{song.name} with pauses", paused)
    yield pauses
    yield replace(
        pauses, name=f"{song.name} with faint noise in pauses", mixture=pauses.mixture + 1e-4 * noise_like(song)
    )
    yield pauses.changed(f"{song.name} with pauses, 48 kHz", at_other_rate, OTHER_RATE)
    for gain in (-60, 12):
        yield song.changed(f"{song.name}, {gain:+} dB", lambda x, gain=gain: x * 10 ** (gain / 20))


def made() -> Iterator[Input]:
    """What needs no file."""
    yield Input("speech, synthesised", speech())
    yield Input("white noise", noise(0.0))
    yield Input("pink noise", noise(1.0))

"""What must hold of the built-in model, whichever weights ship."""

import pytest
import soundfile
import torch
from torch import Tensor

from stemsplit import Separator
from stemsplit.audio.levels import SumError
from tests.benchmarks.quality.figures import loudest
from tests.benchmarks.quality.inputs import RATE, noise, speech
from tests.benchmarks.quality.songs import split
from tests.conftest import DATA

LOUDER = 3.0
"""dB by which a stem may be louder than the mixture, since sources cancel each other a little."""

Split = tuple[Tensor, Tensor]


@pytest.fixture(scope="module")
def starter() -> Separator:
    return Separator("starter", device="cpu", threads=1)


@pytest.fixture(scope="module")
def mixture() -> Tensor:
    return torch.from_numpy(soundfile.read(DATA / "lithium.flac", dtype="float32")[0].T.copy())


@pytest.fixture(scope="module")
def excerpt(starter: Separator, mixture: Tensor) -> Split:
    """Three seconds of the song, and their stems."""
    samples = mixture[:, 2 * RATE : 5 * RATE]
    return samples, split(starter, samples, RATE)


def distance(stems: Tensor, expected: Tensor) -> float:
    return float((stems - expected).norm() / expected.norm())


def test_no_stem_of_a_song_is_louder_than_the_song(starter: Separator, mixture: Tensor) -> None:
    found = loudest(split(starter, mixture, RATE), mixture, RATE)
    assert found.decibels < LOUDER, f"{starter.stems[found.stem]} at {found.at:.1f} s"


@pytest.mark.parametrize("floor", [0.0, 1e-5])
def test_a_pause_in_a_song_is_a_pause_in_all_stems(starter: Separator, mixture: Tensor, floor: float) -> None:
    """Whether it is digital silence or faint noise: filters smear nothing into it that can be heard."""
    samples = mixture[:, : 3 * RATE].clone()
    samples[:, RATE : 2 * RATE] = floor * torch.randn(2, RATE, generator=torch.Generator().manual_seed(0))
    found = loudest(split(starter, samples, RATE), samples, RATE)
    assert found.decibels < LOUDER, f"{starter.stems[found.stem]} at {found.at:.1f} s"


@pytest.mark.parametrize("decibels", [-60, 12])
def test_a_song_at_another_level_gives_the_same_stems_at_this_level(
    starter: Separator, excerpt: Split, decibels: int
) -> None:
    samples, stems = excerpt
    gain = 10 ** (decibels / 20)
    assert distance(split(starter, gain * samples, RATE) / gain, stems) < 2e-2


def test_a_mono_song_gives_mono_stems(starter: Separator, mixture: Tensor) -> None:
    """And the same ones whether it is given as one channel or as two."""
    mono = mixture[:, 2 * RATE : 5 * RATE].mean(0, keepdim=True)
    as_two, as_one = split(starter, mono.expand(2, -1), RATE), split(starter, mono, RATE)
    assert distance(as_two[:, 0], as_two[:, 1]) < 1e-4
    assert distance(as_one[:, 0], as_two[:, 0]) < 1e-4


@pytest.mark.parametrize("given", [speech(2.0), noise(0.0, 2.0), torch.zeros(2, RATE)], ids=["speech", "noise", "none"])
def test_what_is_no_music_is_divided_among_the_stems_too(starter: Separator, given: Tensor) -> None:
    stems, error = split(starter, given, RATE), SumError()
    assert stems.isfinite().all()
    error.add(given.numpy(), list(stems.numpy()))
    assert error.decibels < -100
    assert loudest(stems, given, RATE).decibels < LOUDER

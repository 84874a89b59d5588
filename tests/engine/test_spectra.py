"""Songs changed in their STFT, block by block, as if they had been transformed whole."""

import itertools
from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from stemsplit.engine.spectra import FRAMES, Analysis, Synthesis, changed


def noise(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """A signal without any structure."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def unchanged(spectra: Tensor) -> Tensor:
    return spectra


def joined(parts: Iterator[Tensor]) -> Tensor:
    return torch.cat(list(parts), -1)


@pytest.mark.parametrize("length", [1, 2, 7, 8, 9, 31, 32, 33, 8 * FRAMES - 1, 8 * FRAMES, 8 * FRAMES + 1, 2_000])
@pytest.mark.parametrize(("n_fft", "hop"), [(32, 8), (16, 8), (24, 8)])
def test_a_song_that_nobody_changes_comes_back_at_its_length(length: int, n_fft: int, hop: int) -> None:
    song = noise(2, length)
    result = joined(changed([song], unchanged, n_fft, hop))
    assert result.shape == song.shape
    assert (result - song).abs().max() <= 1e-6 * song.abs().max()


@pytest.mark.parametrize("length", [1, 511, 2_048, 70_001])
def test_it_does_at_the_default_size_too(length: int) -> None:
    song = noise(length)
    assert (joined(changed([song], unchanged)) - song).abs().max() <= 1e-6 * song.abs().max()


def test_a_song_without_samples_stays_one() -> None:
    assert not list(changed([], unchanged))
    assert not list(changed([noise(2, 0), noise(2, 0)], unchanged))


@pytest.mark.parametrize("block", [1, 3, 8, 100, 8 * FRAMES, 1_500])
def test_blocks_of_any_length_give_the_same_to_the_last_bit(block: int) -> None:
    song, gains = noise(2, 1_500), noise(17, 1, seed=1)
    whole = joined(changed([song], lambda x: x * gains, 32, 8))
    assert torch.equal(joined(changed(song.split(block, -1), lambda x: x * gains, 32, 8)), whole)
    empty = (part for each in song.split(block, -1) for part in (each, song[:, :0]))
    assert torch.equal(joined(changed(empty, lambda x: x * gains, 32, 8)), whole)


def test_several_signals_can_become_one() -> None:
    songs = noise(3, 2, 900)
    result = joined(changed(songs.split(100, -1), lambda x: x.sum(0), 32, 8))
    assert (result - songs.sum(0)).abs().max() < 1e-5


def test_a_tone_is_in_the_bins_around_its_frequency() -> None:
    tone = torch.sin(2 * torch.pi * 5 / 64 * torch.arange(2_000))
    spectra = joined(itertools.chain((analysis := Analysis(64, 16)).put(tone), analysis.end()))
    assert spectra.shape[0] == 33
    assert (spectra[:, 4:-8].abs().argmax(0) == 5).all()
    others = torch.ones(33, 1)
    others[4:7] = 0
    assert joined(changed([tone], lambda x: x * others, 64, 16))[64:-64].abs().max() < 1e-4


def test_no_more_than_a_few_frames_are_held_back() -> None:
    put, most = 0, 0
    blocks = iter(noise(50, 2, 40))

    def counted() -> Iterator[Tensor]:
        nonlocal put
        for block in blocks:
            put += block.shape[-1]
            yield block

    given = 0
    for part in changed(counted(), unchanged, 32, 8):
        most = max(most, put - given)
        given += part.shape[-1]
    assert given == put == 2_000
    assert most <= 8 * FRAMES + 32 + 40


def test_silence_stays_silence() -> None:
    song = noise(2, 3_000)
    song[:, 1_000:2_000] = 0
    result = joined(changed([song], unchanged, 32, 8))
    assert not result[:, 1_032:1_968].any()
    assert not joined(changed([torch.zeros(2, 3_000)], unchanged, 32, 8)).any()


def test_double_precision_stays() -> None:
    song = noise(1_000, dtype=torch.float64)
    result = joined(changed([song], unchanged, 32, 8))
    assert result.dtype == torch.float64
    assert (result - song).abs().max() < 1e-13


@pytest.mark.parametrize(("n_fft", "hop"), [(32, 0), (32, 5), (32, 32), (8, 16), (32, -8)])
def test_frames_that_do_not_cover_every_sample_are_refused(n_fft: int, hop: int) -> None:
    for make in (Analysis, Synthesis):
        with pytest.raises(ValueError, match="n_fft must be a multiple of hop"):
            make(n_fft, hop)

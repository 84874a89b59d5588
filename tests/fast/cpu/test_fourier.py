"""Transforms in tiles are PyTorch's transforms, and their inverse gives the signals back."""

import pytest
import torch

from stemsplit.fast.cpu.fourier import Fourier, OverlapAdd

SHAPES = [(64, 16, 64, False), (64, 30, 64, False), (64, 16, 40, True), (128, 27, 128, True)]


@pytest.mark.parametrize(("size", "hop", "weighted", "normalized"), SHAPES)
@pytest.mark.parametrize("length", [65, 129, 1_000])
def test_tiles_are_transformed_as_the_whole_and_give_the_signals_back(
    size: int, hop: int, weighted: int, normalized: bool, length: int
) -> None:
    window, x = torch.hann_window(weighted), torch.randn(3, length)
    expected = torch.stft(x, size, hop, weighted, window, normalized=normalized, return_complex=True)
    fourier = Fourier(size, hop, window, normalized)
    assert fourier.invertible(length)
    inverse, padded = OverlapAdd(fourier, 3, length, tile=5), fourier.padded(x)
    for tile in reversed(inverse.tiles()):
        spectra = fourier.spectra(padded, tile)
        assert torch.allclose(spectra.mT, expected[..., tile], atol=1e-5)
        inverse.put(spectra[:1], tile, 0)
        inverse.put(spectra[1:], tile, 1)
    result = torch.full_like(x, torch.nan)
    for tile in reversed(inverse.tiles()):
        here, samples = inverse.take(tile)
        result[:, here] = samples
    assert torch.allclose(result, x, atol=1e-5)


def test_a_window_that_leaves_samples_out_cannot_be_inverted() -> None:
    assert not Fourier(64, 64, torch.hann_window(64)).invertible(1_000)
    assert not Fourier(64, 30, torch.hann_window(20)).invertible(1_000)
    # The last frame begins too early to reach the end.
    assert not Fourier(64, 16, torch.hann_window(21)).invertible(79)
    assert Fourier(64, 16, torch.hann_window(21)).invertible(72)

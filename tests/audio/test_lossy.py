"""What lossy formats leave of samples."""

import numpy as np
import pytest
import soundfile

from stemsplit.audio.lossy import as_if_coded
from stemsplit.errors import AudioError
from tests.conftest import noise


@pytest.mark.parametrize("codec", ["mp3", "vorbis"])
def test_more_loss_is_a_larger_error_and_nothing_moves_or_clips(codec: str) -> None:
    samples = 8 * noise(44_100).T
    errors = [np.linalg.norm(as_if_coded(samples, 44_100, codec, loss) - samples) for loss in (0.0, 0.5, 1.0)]
    assert errors == sorted(errors)
    assert errors[1] < np.linalg.norm(samples)
    assert errors[0] < 0.5 * np.linalg.norm(samples)


@pytest.mark.parametrize("rate", [7_999, 8_000, 96_000])
@pytest.mark.parametrize("length", [1, 1_000])
def test_any_rate_and_length_can_be_coded(rate: int, length: int) -> None:
    samples = noise(length).T
    coded = as_if_coded(samples, rate, "mp3", 0.5)
    assert (coded.shape, coded.dtype) == (samples.shape, samples.dtype)


def test_a_library_without_a_format_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ValueError("Unknown format: 'MP3'")

    monkeypatch.setattr(soundfile, "write", refuse)
    with pytest.raises(AudioError, match=r"cannot code samples as MP3 .*; leave out the augmentation codec"):
        as_if_coded(noise(100).T, 44_100, "mp3", 0.5)


def test_a_rate_that_no_format_holds_is_refused() -> None:
    with pytest.raises(AudioError, match="no lossy format holds 384000 Hz"):
        as_if_coded(noise(100).T, 384_000, "vorbis", 0.5)

"""The loudness of clips, the gains that match it, and their differences."""

from pathlib import Path

import numpy as np
import pytest
import torch

from stemsplit.audio.levels import EXACT
from stemsplit.comparison.clips import LARGEST_GAIN, Clip, by_second, difference, loudness, match, measured, scores
from stemsplit.evaluation.metrics import sdr, si_sdr
from tests.conftest import Samples, noise

RATE = 44_100


def tone(frequency: float, seconds: float = 1.0, rate: int = RATE) -> Samples:
    """A sine at full scale, (1, t)."""
    return np.sin(2 * np.pi * frequency * np.arange(round(seconds * rate)) / rate).astype(np.float32)[None]


def clip(level: float, peak: float = 0.1) -> Clip:
    return Clip(Path(), np.zeros((1, 0), np.float32), level, peak)


@pytest.mark.parametrize("rate", [16_000, 44_100, 96_000])
def test_a_full_scale_tone_has_the_loudness_of_the_recommendation(rate: int) -> None:
    """ITU-R BS.1770-4: 997 Hz in one channel is -3.01 LUFS."""
    assert loudness(tone(997, rate=rate), rate) == pytest.approx(-3.01, abs=0.1)
    assert loudness(np.concatenate([tone(997, rate=rate)] * 2), rate) == pytest.approx(0, abs=0.1)


@pytest.mark.parametrize("frequency", [60, 3_000, 10_000])
def test_twice_the_amplitude_is_six_decibels_louder_at_every_level(frequency: float) -> None:
    """Also where the weighting filters go beyond full scale."""
    levels = [loudness(tone(frequency) * np.float32(2.0**power), RATE) for power in (-4, -1, 0, 2)]
    assert np.diff(levels) == pytest.approx([18.062, 6.021, 12.041], abs=0.01)


def test_silence_has_no_loudness() -> None:
    assert loudness(np.zeros((2, RATE), np.float32), RATE) is None
    assert loudness(0.0009 * tone(997), RATE) is None


def test_a_clip_too_short_to_measure_is_padded_with_silence() -> None:
    assert loudness(tone(997, 0.2), RATE) == pytest.approx(-6.02, abs=0.1)


def test_the_low_frequency_channel_of_surround_sound_is_ignored() -> None:
    channels = np.concatenate([tone(997)] * 6)
    channels[3] *= 10
    assert loudness(channels, RATE) == loudness(channels[[0, 1, 2, 4, 5]], RATE)


def test_clips_are_brought_to_the_target() -> None:
    clips = [clip(-20), clip(-23.5), clip(-14)]
    match(clips, -20)
    assert [c.gain for c in clips] == [0, 3.5, -6]
    assert all(c.matched for c in clips)


def test_a_measured_clip_with_its_gain_is_as_loud_as_the_target() -> None:
    clips = [measured(Path(), amount * noise(RATE, seed=seed).T, RATE) for seed, amount in enumerate((1, 0.3, 2))]
    match(clips, clips[0].loudness)
    found = [loudness(c.samples * np.float32(10 ** (c.gain / 20)), RATE) for c in clips]
    assert found == pytest.approx([clips[0].loudness] * 3, abs=0.05)


def test_all_clips_are_softer_if_one_would_go_beyond_full_scale() -> None:
    clips = [clip(-20, peak=0.5), clip(-26, peak=1.0), clip(-21, peak=0.1)]
    match(clips, -20)
    assert [c.gain for c in clips] == pytest.approx([-6, 0, -5])


def test_a_single_clip_beyond_full_scale_is_softer() -> None:
    (alone,) = clips = [clip(-3, peak=2.0)]
    match(clips, alone.loudness)
    assert alone.gain == pytest.approx(-6.02, abs=0.01)


def test_a_silent_clip_is_left_alone() -> None:
    clips = [clip(-20, peak=2.0), Clip(Path(), np.zeros((1, 0), np.float32), None, 0.0)]
    match(clips, -20)
    assert (clips[1].gain, clips[1].matched) == (0, False)


def test_no_clip_is_matched_to_silence() -> None:
    clips = [clip(-40), clip(-50)]
    match(clips, None)
    assert [(c.gain, c.matched) for c in clips] == [(0, False), (0, False)]


def test_a_nearly_silent_clip_is_not_amplified() -> None:
    clips = [clip(-20, peak=2.0), clip(-20 - LARGEST_GAIN - 0.1)]
    match(clips, -20)
    assert [c.matched for c in clips] == [True, False]
    assert clips[0].gain == clips[1].gain < 0


def test_a_difference_is_relative_to_the_louder_clip() -> None:
    samples = noise(1_000).T
    assert difference(samples, np.float32(0.9) * samples) == pytest.approx(-20, abs=0.01)
    assert difference(np.float32(0.5) * samples, -samples) == pytest.approx(20 * np.log10(1.5), abs=0.01)
    assert difference(samples, samples) == EXACT
    assert difference(0 * samples, 0 * samples) is None


def test_scores_are_the_metrics_of_the_samples() -> None:
    true, estimate = noise(RATE).T, noise(RATE).T + 0.3 * noise(RATE, seed=1).T
    found = scores(measured(Path(), estimate, RATE), measured(Path(), true, RATE))
    pair = torch.from_numpy(estimate), torch.from_numpy(true)
    assert found == {"sdr": float(sdr(*pair)), "si_sdr": float(si_sdr(*pair))}


def test_there_is_no_score_against_silence() -> None:
    silent, heard = (measured(Path(), amount * noise(RATE).T, RATE) for amount in (0, 1))
    assert set(scores(heard, silent).values()) == {None}


def test_a_difference_second_by_second_shows_where_it_is() -> None:
    """Relative to the whole clip's level, so that seconds can be compared; the last one may be short."""
    samples = tone(441.0, 3.5)
    other = samples.copy()
    other[:, RATE : 2 * RATE] *= np.float32(0.9)
    other[:, 3 * RATE :] *= np.float32(0.5)
    found = by_second(samples, other, RATE)
    assert found == pytest.approx([EXACT, -20, EXACT, 20 * np.log10(0.5)], abs=0.01)
    assert by_second(0 * samples, 0 * samples, RATE) == [EXACT] * 4

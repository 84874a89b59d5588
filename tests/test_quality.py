"""The figures of `tests.benchmarks.quality` are what they say, on signals whose figures are known beforehand."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from stemsplit import registry
from stemsplit.registry import ModelEntry
from tests.benchmarks.quality import inputs
from tests.benchmarks.quality.__main__ import Found, defined, report, sets_of
from tests.benchmarks.quality.figures import bleed, error_above, kurtosis, loudest, musical_noise
from tests.benchmarks.quality.inputs import Input, variants
from tests.benchmarks.quality.seams import bends, fades, level_steps, overlaps
from tests.benchmarks.quality.songs import averages, linear, measure_input, measure_song

RATE = 44_100
ENTRY = replace(registry.find("starter"), chunk=6 * RATE, hop=4 * RATE, shortest=2 * RATE, longest=8 * RATE)


def noise(seconds: float, stems: int = 2, seed: int = 0) -> Tensor:
    """Sources of white noise, (n, 2, t)."""
    return 0.1 * torch.randn(stems, 2, round(seconds * RATE), generator=torch.Generator().manual_seed(seed))


def gain(decibels: float) -> float:
    return 10 ** (decibels / 20)


class Fake:
    """A separator that gives estimates that are known, whatever it is asked for."""

    streams_songs = False

    def __init__(self, estimates: Tensor, entry: ModelEntry = ENTRY) -> None:
        self.entry, self.stems, self.estimates = entry, ("drums", "bass"), estimates

    def separate(self, mixture: Tensor, rate: int) -> dict[str, Tensor]:  # noqa: ARG002
        return dict(zip(self.stems, self.estimates, strict=True))


def test_the_loudest_window_is_found_whatever_the_level_of_the_song() -> None:
    mixture = noise(5.0, 1)[0]
    stems = torch.stack([0.5 * mixture, 0.1 * mixture])
    stems[1, :, 3 * RATE : 4 * RATE] = gain(4) * mixture[:, 3 * RATE : 4 * RATE]
    for level in (1e-3, 1.0, 4.0):
        found = loudest(level * stems, level * mixture, RATE)
        assert (found.stem, found.decibels) == (1, pytest.approx(4, abs=1e-3))
        assert 3.0 <= found.at <= 3.6


def test_a_stem_that_sounds_where_the_mixture_is_silent_is_infinitely_loud_and_one_that_nobody_hears_is_not() -> None:
    mixture, stems = noise(3.0, 1)[0], noise(3.0, 1, seed=1)
    mixture[:, RATE : 2 * RATE] = 0
    assert loudest(gain(-40) * stems, mixture, RATE).decibels == math.inf
    assert loudest(gain(-70) * stems, mixture, RATE).decibels < -60


def test_bleed_is_what_a_stem_holds_while_its_source_is_silent() -> None:
    sources = noise(6.0)
    sources[0, :, : 3 * RATE] = 0
    estimates = torch.stack([sources[0] + gain(-20) * sources[1], sources[1]])
    ratios = bleed(estimates, sources, sources.sum(0), RATE)
    assert 10 * ratios[0].nanmean().log10() == pytest.approx(-20, abs=0.01)
    assert int(ratios[0].isfinite().sum()) in (26, 27)  # windows of 0.4 s within 3 s, one every 0.1 s
    assert ratios[1].isnan().all(), "its source is never silent"
    nothing = torch.zeros_like(sources)
    assert bleed(estimates, nothing, nothing[0], RATE).isnan().all(), "there is no bleed where nothing plays"


def test_errors_are_measured_above_a_frequency_only() -> None:
    time = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    low, high = (torch.sin(2 * torch.pi * frequency * time).expand(2, -1) for frequency in (1_000, 10_000))
    sources = torch.stack([high, low])
    estimates = torch.stack([high + 0.5 * low, low + gain(-12) * high])
    found = error_above(estimates, sources, sources.sum(0), RATE, 8_000)
    assert found[0] < -60
    assert float(found[1]) == pytest.approx(-12, abs=0.01)
    assert error_above(estimates, sources, sources.sum(0), RATE, 14_000).isnan().all(), "the mixture has nothing there"


def test_the_kurtosis_of_gaussian_noise_is_six() -> None:
    signal = noise(20.0, 1)[0]
    frames = torch.ones((signal.shape[1] - 2_048) // 512 + 1, dtype=torch.bool)
    assert kurtosis(signal, RATE, frames) == pytest.approx(6, rel=0.1)


def test_a_mask_that_opens_bins_at_random_makes_musical_noise_and_a_gain_does_not() -> None:
    """Of power that is kept in a fifth of the bins, the kurtosis is five times as large."""
    sources = noise(20.0)
    sources[0] = 0
    spectrum = torch.stft(sources[1], 2_048, 512, window=torch.hann_window(2_048), return_complex=True)
    mask = torch.rand(spectrum.shape, generator=torch.Generator().manual_seed(1)) < 0.2
    masked = torch.istft(spectrum * mask, 2_048, 512, window=torch.hann_window(2_048), length=20 * RATE)
    for left, least, most in ((masked, 1.5, 5.5), (0.1 * sources[1], 0.99, 1.01)):
        found = musical_noise(torch.stack([left, sources[1]]), sources, sources.sum(0), RATE)
        assert least < float(found[0]) < most
        assert found[1].isnan(), "its source is never silent"


@pytest.mark.parametrize("window", ["hann", "linear", "mean"])
@pytest.mark.parametrize("seconds", [3.0, 9.5, 21.3])
def test_chunks_overlap_where_their_estimates_are_joined(window: str, seconds: float) -> None:
    """A network whose estimate is the number of its chunk changes only where two of them overlap."""
    from stemsplit.engine.overlap_add import overlap_add

    entry = replace(ENTRY, window=window)
    length, calls = round(seconds * RATE), iter(range(100))

    def count(chunk: Tensor) -> Tensor:
        return torch.full((1, 1, *chunk.shape[1:]), float(next(calls)))

    ends = {"ends": entry.ends} if window == "hann" else {}
    joined = overlap_add(torch.ones(1, length), count, chunk=entry.chunk, hop=entry.hop, window=window, **ends)[0, 0]
    changing = torch.zeros(length, dtype=torch.bool)
    shared = overlaps(entry, length)
    for begin, end in shared:
        changing[begin:end] = True
    assert len(shared) == next(calls) - 1
    assert not (joined.diff()[~(changing[1:] | changing[:-1])] != 0).any()
    assert all(0 <= place < length for place in fades(entry, length).tolist())


def test_a_click_at_a_seam_stands_out() -> None:
    stems, places = noise(20.0), fades(ENTRY, 20 * RATE)
    at, elsewhere = bends(stems, places)
    assert 10 * math.log10(at / elsewhere) == pytest.approx(0, abs=1.5)
    stems[:, :, places] += 1.0
    at, elsewhere = bends(stems, places)
    assert 10 * math.log10(at / elsewhere) > 10


def test_levels_that_change_from_chunk_to_chunk_are_told_from_those_that_change_within() -> None:
    sources = noise(40.0)
    shared = overlaps(ENTRY, sources.shape[-1])
    estimates = sources.clone()
    for number, (begin, _) in enumerate(shared):
        estimates[0, :, begin:] = sources[0, :, begin:] * gain(0 if number % 2 else 4)
    across, within = level_steps(estimates, sources, sources.sum(0), RATE, shared)
    assert across.shape == (2, len(shared))
    assert across[0].numpy() == pytest.approx(4, abs=0.01)
    assert within.shape[1] >= 5
    assert max(float(within.max()), float(across[1].max())) < 0.01


def test_the_figures_of_songs_are_averaged_over_the_stems_that_are_there() -> None:
    sources = noise(12.0)
    lacking = torch.stack([sources[0], torch.zeros_like(sources[0])])
    full = measure_song(Fake(sources + gain(-10) * sources.flip(0)), sources)
    part = measure_song(Fake(torch.stack([0.9 * sources[0], 0.1 * sources[0]])), lacking)
    found = averages([full, part])
    assert found["SDR, dB"] == pytest.approx([15, 10], abs=0.05)
    assert found["bleed where the source is silent, dB"] == [
        pytest.approx(math.nan, nan_ok=True),
        pytest.approx(-20, abs=0.01),
    ]
    assert found["windows in which it is silent, %"] == pytest.approx([0, 50])
    assert found["SI-SDR, dB"][1] == pytest.approx(10, abs=0.1)
    assert found["level over the source's, dB"][1] == pytest.approx(10 * math.log10(1.1), abs=0.05)
    assert found["level step from chunk to chunk, dB"] == pytest.approx([0, 0], abs=0.05)


def test_a_short_song_is_also_split_without_each_source_and_in_mono() -> None:
    """A model that leaves a tenth of the mixture's energy in each stem bleeds at -10 dB."""

    class Bleeding(Fake):
        def separate(self, mixture: Tensor, rate: int) -> dict[str, Tensor]:  # noqa: ARG002
            return dict.fromkeys(self.stems, gain(-10) * mixture)

    sources = noise(3.0)
    found = averages([measure_song(Bleeding(sources), sources)])
    assert found["bleed of a mixture without the source, dB"] == pytest.approx([-10, -10], abs=0.01)
    assert found["musical noise of a mixture without the source"] == pytest.approx([1, 1], abs=0.01)
    in_mono = sources.mean(1)
    own, other = in_mono.square().sum(-1)
    error = (1 - gain(-10)) ** 2 * own + gain(-20) * other  # but for what the two have in common
    assert found["SDR in mono, dB"][0] == pytest.approx(10 * math.log10(own / error), abs=0.1)


def test_an_input_tells_where_its_energy_goes_and_whether_it_adds_up() -> None:
    mixture = noise(2.0, 1)[0].mean(0, keepdim=True).expand(2, -1)
    separator = Fake(torch.stack([0.6 * mixture, 0.3 * mixture]))
    found = measure_input(separator, Input("noise", mixture))
    assert found.shares == pytest.approx([80, 20], abs=0.01)
    assert found.sum_error == pytest.approx(-20, abs=0.01)
    assert found.loudest.decibels == pytest.approx(20 * math.log10(0.6), abs=0.01)
    assert (found.side, found.finite, found.sdr) == (-200, True, [])


def test_what_scales_with_a_song_is_linear() -> None:
    sources = noise(2.0)
    given = list(variants(Input("song", sources.sum(0), sources=sources)))
    shapes = {each.name: tuple(each.mixture.shape) for each in given}
    assert shapes["song, mono"] == (1, 2 * RATE)
    at_48 = {name: shape for name, shape in shapes.items() if name.endswith("48 kHz")}
    assert set(at_48.values()) == {(2, 2 * inputs.OTHER_RATE)}
    assert {shape for name, shape in shapes.items() if name not in {*at_48, "song, mono"}} == {(2, 2 * RATE)}
    assert given[-1].mixture.abs().max() > 1
    estimates = {each.name: 0.9 * each.sources for each in given if each.sources is not None}
    measured = {each.name: measure_input(Fake(estimates[each.name]), each) for each in given}
    assert linear(measured, "song") < 1e-3
    measured["song, -60 dB"] = replace(measured["song, -60 dB"], sdr=[19.5, 20.0])
    assert linear(measured, "song") == pytest.approx(0.5, abs=0.01)


def test_models_stand_side_by_side() -> None:
    sources = noise(12.0)
    results = []
    for name, left in (("one", -10), ("two", -20)):
        separator = Fake(sources + gain(left) * sources.flip(0))
        figures = {"song": measure_song(separator, sources)}
        special = {"noise": measure_input(separator, Input("noise", sources.sum(0)))}
        results.append(Found(name, separator.stems, {"set": figures}, special))
    lines = list(report(results))
    assert "| SDR, dB | set | one | 10.00 | 10.00 | 10.00 |" in lines
    assert "| SDR, dB | set | two | 20.00 | 20.00 | 20.00 |" in lines
    assert sum(line.startswith("| noise | ") for line in lines) == 2
    assert defined({"a": [math.nan, 1.0], "b": -math.inf}) == {"a": [None, 1.0], "b": None}


def test_pauses_are_silent() -> None:
    song = inputs.paused(noise(5.0, 1)[0])
    assert not song[:, 2 * RATE : 4 * RATE].any()
    assert song[:, : 2 * RATE].all()
    assert song[:, 4 * RATE :].all()


def test_what_is_made_needs_no_file_and_is_the_same_every_time() -> None:
    speech = inputs.speech(2.0)
    assert torch.equal(speech, inputs.speech(2.0))
    assert speech.isfinite().all()
    assert speech.square().mean().sqrt() == pytest.approx(inputs.LEVEL, rel=1e-3)
    white, pink = (inputs.noise(slope, 2.0) for slope in (0.0, 1.0))
    for noisy, ratio in ((white, 2), (pink, 1)):
        power = torch.fft.rfft(noisy).abs().square().sum(0)
        octaves = [float(power[2_000 << octave : 4_000 << octave].sum()) for octave in range(3)]
        assert octaves[2] / octaves[1] == pytest.approx(ratio, rel=0.1)


def test_a_song_whose_stems_nobody_recorded_apart_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for song, stem in (("one", "bass"), ("two", "bass+other")):
        (tmp_path / song).mkdir()
        (tmp_path / song / f"{stem}.wav").touch()
    (found,) = sets_of({"set": (tmp_path, ("*",))}).values()
    assert [song.title for song in found] == ["one"]
    assert "without two: some of its stems" in capsys.readouterr().err

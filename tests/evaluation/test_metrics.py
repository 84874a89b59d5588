"""uSDR, SI-SDR and cSDR follow their definitions, and equal what other programs compute."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from stemsplit.evaluation.metrics import Figures, Measurement, sdr, si_sdr

FRAME = 1_000


def measured(estimates: Tensor, sources: Tensor) -> Measurement:
    """Measure estimates of sources (n, c, t), frame by frame."""
    measurement = Measurement(FRAME)
    for estimate, source in zip(estimates.split(FRAME, -1), sources.split(FRAME, -1), strict=True):
        measurement.add(estimate, source)
    return measurement


def song(length: int, stems: int = 2) -> tuple[Tensor, Tensor]:
    """Make sources (n, 2, t), and estimates that contain some of another source and some noise."""
    generator = torch.Generator().manual_seed(length)
    sources = torch.randn(stems, 2, length, generator=generator)
    noise = torch.randn(stems, 2, length, generator=generator)
    return 0.9 * sources + 0.2 * sources.flip(0) + 0.1 * noise, sources


@pytest.fixture
def museval(ffmpeg: Path) -> Any:
    # Without these two programs, museval's reader of files cannot be imported, although it is not used here.
    (ffmpeg.parent / "ffprobe").symlink_to(ffmpeg)
    return pytest.importorskip("museval", reason="museval computes BSSEval v4")


@pytest.fixture
def fast_bss_eval() -> Any:
    return pytest.importorskip("fast_bss_eval", reason="fast_bss_eval computes SI-SDR")


def by_museval(museval: Any, estimates: Tensor, sources: Tensor) -> Tensor:
    """Return every stem's SDR in every frame, (n, m)."""
    sdrs, *_ = museval.evaluate(sources.mT.numpy(), estimates.mT.numpy(), win=FRAME, hop=FRAME)
    return torch.from_numpy(sdrs)


def medians_by_museval(museval: Any, frames: Tensor) -> list[float]:
    """Return museval's median over each stem's frames."""
    none = [0.0] * frames.shape[1]
    store = museval.TrackStore("song")
    for index, row in enumerate(frames.tolist()):
        store.add_target(str(index), {"SDR": row, "SIR": none, "ISR": none, "SAR": none})
    return store.df[store.df.metric == "SDR"].groupby("target").score.median().tolist()


def test_a_silent_estimate_scores_zero() -> None:
    source = torch.randn(2, 1_000)
    assert float(sdr(torch.zeros_like(source), source)) == 0
    assert float(si_sdr(torch.zeros_like(source), source)) == -math.inf


def test_a_tenth_of_the_energy_as_error_scores_ten() -> None:
    source, other = torch.zeros(2, 1_000), torch.zeros(2, 1_000)
    source[0], other[1] = 1.0, 0.1**0.5
    assert float(sdr(source + other, source)) == pytest.approx(10, abs=1e-6)
    assert float(si_sdr(source + other, source)) == pytest.approx(10, abs=1e-6)


def test_si_sdr_does_not_depend_on_the_level() -> None:
    source = torch.randn(1, 1_000)
    estimate = source + 0.1 * torch.randn(1, 1_000)
    assert float(si_sdr(7 * estimate, source)) == pytest.approx(float(si_sdr(estimate, source)), abs=1e-4)
    assert float(sdr(7 * estimate, source)) < 0


def test_si_sdr_does_not_depend_on_the_sign() -> None:
    """The best scale may be negative."""
    estimate, source = (tensor[0] for tensor in song(1_000))
    assert float(si_sdr(-estimate, source)) == pytest.approx(float(si_sdr(estimate, source)))


def test_a_perfect_estimate_scores_infinity() -> None:
    source = torch.randn(2, 1_000)
    assert float(sdr(source, source)) == float(si_sdr(source, source)) == math.inf
    assert float(si_sdr(source / 3, source)) > 120


def test_a_silent_source_has_no_score() -> None:
    assert sdr(torch.ones(2, 10), torch.zeros(2, 10)).isnan()
    assert si_sdr(torch.ones(2, 10), torch.zeros(2, 10)).isnan()


def test_leading_axes_are_kept() -> None:
    for figure in (sdr, si_sdr):
        assert figure(torch.rand(3, 4, 2, 10), torch.ones(3, 4, 2, 10)).shape == (3, 4)


@pytest.mark.parametrize("length", [1, 999, 1_000, 1_001, 5_300])
def test_a_song_measured_frame_by_frame_has_the_figures_of_the_whole(length: int) -> None:
    estimates, sources = song(length)
    figures = measured(estimates, sources).figures()
    assert torch.allclose(figures.sdr, sdr(estimates, sources), atol=1e-9)
    assert torch.allclose(figures.si_sdr, si_sdr(estimates, sources), atol=1e-9)


def test_only_the_last_frame_may_be_shorter() -> None:
    measurement = Measurement(FRAME)
    with pytest.raises(ValueError, match="a frame must have at most 1000 samples, not 1001"):
        measurement.add(*song(1_001))
    measurement.add(*song(999))
    with pytest.raises(ValueError, match="only the last frame may have fewer than 1000 samples"):
        measurement.add(*song(1))


def test_the_median_of_an_even_number_of_frames_is_between_two() -> None:
    _, sources = song(4 * FRAME, stems=1)
    errors = torch.tensor([0.1, 0.01, 0.001, 1.0]).repeat_interleave(FRAME)
    figures = measured(sources * (1 + errors.sqrt()), sources).figures()
    assert float(figures.frame_sdr) == pytest.approx(15, abs=1e-4)


@pytest.mark.parametrize("length", [700, 1_000, 1_001, 1_999, 2_000, 3_100])
def test_frames_count_as_in_museval(museval: Any, length: int) -> None:
    """Only whole frames count, unless there is none."""
    estimates, sources = song(length)
    frames = measured(estimates, sources).frame_sdr()
    expected = by_museval(museval, estimates, sources)
    assert frames.shape == expected.shape
    assert torch.allclose(frames, expected, atol=1e-6)


def test_mono_is_measured_as_in_museval(museval: Any) -> None:
    estimates, sources = (tensor[:, :1] for tensor in song(2_500, stems=3))
    expected = by_museval(museval, estimates, sources)
    assert torch.allclose(measured(estimates, sources).frame_sdr(), expected, atol=1e-6)


def test_silence_in_any_stem_excludes_a_frame_for_all_as_in_museval(museval: Any) -> None:
    estimates, sources = song(7 * FRAME + 10, stems=3)
    sources[0, :, FRAME : 2 * FRAME] = 0
    estimates[2, :, 3 * FRAME : 4 * FRAME] = 0
    sources[1, 1, 4 * FRAME : 5 * FRAME] = -sources[1, 0, 4 * FRAME : 5 * FRAME]  # silent once added up
    sources[1, 0, 5 * FRAME : 6 * FRAME] = 0
    measurement = measured(estimates, sources)
    frames, expected = measurement.frame_sdr(), by_museval(museval, estimates, sources)
    assert expected[0].isnan().tolist() == [False, True, False, True, True, False, False]
    assert torch.allclose(frames, expected, atol=1e-6, equal_nan=True)
    medians = medians_by_museval(museval, expected)
    assert measurement.figures().frame_sdr.tolist() == pytest.approx(medians, abs=1e-4)


def test_infinite_frames_are_ignored_as_in_museval(museval: Any) -> None:
    estimates, sources = song(3 * FRAME)
    estimates[0, :, FRAME : 2 * FRAME] = sources[0, :, FRAME : 2 * FRAME]
    measurement = measured(estimates, sources)
    frames = measurement.frame_sdr()
    assert frames.isinf().tolist() == [[False, True, False], [False] * 3]
    assert measurement.figures().frame_sdr.tolist() == pytest.approx(medians_by_museval(museval, frames), abs=1e-4)


@pytest.mark.parametrize("silent", ["source", "estimate"])
def test_a_stem_that_is_silent_throughout_is_left_out(museval: Any, silent: str) -> None:
    """museval would refuse the whole song."""
    estimates, sources = song(4 * FRAME, stems=3)
    (sources if silent == "source" else estimates)[1] = 0
    with pytest.raises(ValueError, match="all 0s"):
        by_museval(museval, estimates, sources)
    measurement = measured(estimates, sources)
    expected = by_museval(museval, estimates[[0, 2]], sources[[0, 2]])
    assert torch.allclose(measurement.frame_sdr()[[0, 2]], expected, atol=1e-6)
    figures = measurement.figures()
    assert figures.frame_sdr.isnan().tolist() == [False, True, False]
    assert figures.sdr.isnan().tolist() == [False, silent == "source", False]


def test_silence_throughout_has_no_figures() -> None:
    silence = torch.zeros(2, 2, 2_500)
    figures: Figures = measured(silence, silence).figures()
    assert torch.stack([figures.sdr, figures.si_sdr, figures.frame_sdr]).isnan().all()


def test_si_sdr_is_that_of_fast_bss_eval(fast_bss_eval: Any) -> None:
    estimates, sources = (tensor.double() for tensor in song(3_000))
    expected = -fast_bss_eval.si_sdr_loss(estimates.flatten(1), sources.flatten(1))
    assert torch.allclose(si_sdr(estimates, sources), expected, atol=1e-9)


def test_si_sdr_of_a_silent_or_perfect_estimate_is_that_of_fast_bss_eval(fast_bss_eval: Any) -> None:
    source = torch.tensor([[[3.0, 4.0]]]).double()
    for estimate in (torch.zeros_like(source), 2 * source):
        assert si_sdr(estimate, source) == -fast_bss_eval.si_sdr_loss(estimate[0], source[0])


def test_the_worst_frames_are_those_of_the_lowest_sdr() -> None:
    estimates, sources = song(8 * FRAME + 300)
    for frame, error in ((2, 3.0), (5, 1.0), (6, 2.0)):
        estimates[0, :, frame * FRAME : (frame + 1) * FRAME] += error
    sources[0, :, 7 * FRAME : 8 * FRAME] = 0  # silent: no SDR, however large the error
    estimates[1, :, :FRAME] = sources[1, :, :FRAME]  # no error
    first, second = measured(estimates, sources).worst(3)
    assert [frame for frame, _ in first] == [2, 6, 5]
    part = slice(2 * FRAME, 3 * FRAME)
    assert first[0][1] == pytest.approx(float(sdr(estimates[0, :, part], sources[0, :, part])))
    assert len(second) == 3
    assert all(frame not in (0, 8) for frame, _ in measured(estimates, sources).worst(99)[1])


def test_a_pause_with_some_noise_is_not_a_worst_frame_but_what_leaks_into_it_is() -> None:
    estimates, sources = song(6 * FRAME)
    for frame, level in ((1, 1e-4), (4, 1.0)):
        part = slice(frame * FRAME, (frame + 1) * FRAME)
        sources[0, :, part] *= 1e-5
        estimates[0, :, part] = level * sources[1, :, part]
    frames = [frame for frame, _ in measured(estimates, sources).worst(9)[0]]
    assert frames[0] == 4
    assert sorted(frames) == [0, 2, 3, 4, 5]

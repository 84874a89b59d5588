"""Metrics of whole songs: which files are measured against which, and which are refused."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path
from statistics import fmean, median
from typing import Any, cast

import numpy as np
import pytest
import soundfile
import torch

from stemsplit.audio import Block
from stemsplit.errors import AudioError
from stemsplit.evaluation.estimates import Estimates, FromFolder, FromModel
from stemsplit.evaluation.evaluation import Result, Score, average, evaluate, measure_song, summary
from stemsplit.evaluation.metrics import sdr, si_sdr
from stemsplit.evaluation.multitracks import song_folders
from stemsplit.evaluation.stems import stems_of_outputs
from tests.conftest import Samples, noise

RATE = 8_000
STEMS = ("bass", "drums", "other", "vocals")


@pytest.fixture
def references(tmp_path: Path) -> Path:
    return tmp_path / "references"


@pytest.fixture
def estimates(tmp_path: Path) -> Path:
    return tmp_path / "estimates"


def put(folder: Path, samples: dict[str, Samples], rate: int = RATE, suffix: str = "wav") -> None:
    """Write the files of a song, one for each stem, from samples (t, c)."""
    folder.mkdir(parents=True, exist_ok=True)
    for stem, part in samples.items():
        soundfile.write(folder / f"{stem}.{suffix}", part, rate, subtype="FLOAT" if suffix == "wav" else None)


def sources(frames: int = 20_500, stems: Sequence[str] = STEMS, channels: int = 2) -> dict[str, Samples]:
    return {stem: noise(frames, channels, seed) for seed, stem in enumerate(stems)}


def worse(samples: dict[str, Samples]) -> dict[str, Samples]:
    """Return the stems with some noise in each, more from stem to stem."""
    return {
        stem: part + np.float32(0.1 * (index + 1)) * noise(*part.shape, 100 + index)
        for index, (stem, part) in enumerate(samples.items())
    }


def only(folder: Path, given: Estimates, wanted: Sequence[str] = ()) -> Result:
    """Measure the only song in a folder."""
    (song,) = song_folders(folder)
    return measure_song(song, given, wanted, lambda _: None)


def expected(estimate: Samples, source: Samples) -> list[float]:
    """Return SDR and SI-SDR of samples (t, c)."""
    pair = torch.from_numpy(estimate.T), torch.from_numpy(source.T)
    return [float(sdr(*pair)), float(si_sdr(*pair))]


def test_files_are_measured_by_song_and_stem(references: Path, estimates: Path) -> None:
    true = sources()
    given = worse(true)
    put(references / "song", true)
    put(estimates / "song", given)
    result = only(references, FromFolder(estimates))
    assert (result.name, list(result.scores), result.unmeasured, result.error) == ("song", list(STEMS), [], "")
    for stem, score in result.scores.items():
        assert [score.sdr, score.si_sdr] == pytest.approx(expected(given[stem], true[stem]), abs=1e-6)
        whole = torch.from_numpy(np.stack([given[stem][: 2 * RATE], true[stem][: 2 * RATE]])).mT.unflatten(
            -1, (2, RATE)
        )
        assert score.frame_sdr == pytest.approx(float(sdr(*whole.transpose(1, 2)).mean()), abs=1e-6)
    assert result.mean.sdr == pytest.approx(fmean(score.sdr for score in result.scores.values()))


@pytest.mark.parametrize("folder", ["test/song", "test/song/mixture", "test/song/song", "test/song.stem"])
def test_estimates_are_found_where_split_writes_them(references: Path, estimates: Path, folder: str) -> None:
    """Estimates of `song/mixture.wav` lie one folder deeper, those of `song.stem.mp4` in `song.stem`."""
    put(references / "test" / "song", sources(1_000))
    put(references / "train" / "song", sources(1_000))
    put(estimates / folder, sources(1_000))
    there, missing = song_folders(references)
    given = FromFolder(estimates)
    assert given.outputs(there) == STEMS
    with pytest.raises(AudioError, match=r"^no estimates of train/song in .*estimates; looked for "):
        given.outputs(missing)


def test_estimates_in_two_places_are_not_guessed_between(references: Path, estimates: Path) -> None:
    put(references / "song", sources(1_000))
    for name in ("old", "new"):
        put(estimates / "song" / name, sources(1_000))
    (song,) = song_folders(references)
    with pytest.raises(AudioError, match=r"several estimates of song in .*: song/new and song/old"):
        FromFolder(estimates).outputs(song)


@pytest.mark.parametrize("folder", ["", "references", "mixture", "references/mixture"])
def test_the_references_may_be_the_folder_of_a_single_song(references: Path, estimates: Path, folder: str) -> None:
    put(references, sources(1_000))
    put(estimates / folder, worse(sources(1_000)))
    assert only(references, FromFolder(estimates)).name == "references"


def test_instrumentals_are_measured_against_sums(references: Path, estimates: Path) -> None:
    true = sources(9_000)
    sums = {"instrumental": [0, 1, 2], "no_drums": [0, 2, 3], "vocals": [3]}
    mixed = {name: np.sum([true[STEMS[index]] for index in indices], 0) for name, indices in sums.items()}
    given = worse(mixed)
    put(references / "song", true)
    put(estimates / "song", given)
    result = only(references, FromFolder(estimates))
    for name, score in result.scores.items():
        assert [score.sdr, score.si_sdr] == pytest.approx(expected(given[name], mixed[name]), abs=1e-5)


@pytest.mark.parametrize(
    ("outputs", "rest", "found"),
    [
        (("vocals", "bass"), (), {"vocals": ["vocals"], "bass": ["bass"]}),
        (("vocals", "accompaniment"), (), {"vocals": ["vocals"], "accompaniment": ["bass", "other", "piano"]}),
        (("other", "vocals"), (), {"other": ["other"], "vocals": ["vocals"]}),
        (("other", "vocals"), ("other",), {"other": ["bass", "other", "piano"], "vocals": ["vocals"]}),
        (("no_piano", "piano"), (), {"no_piano": ["bass", "other", "vocals"], "piano": ["piano"]}),
        (("bass+other", "other+piano"), (), {"bass+other": ["bass", "other"], "other+piano": ["other", "piano"]}),
        (("guitar", "drums"), ("noise",), {}),
    ],
)
def test_each_estimate_is_measured_against_its_own_stems(
    outputs: Sequence[str], rest: Sequence[str], found: dict[str, list[str]]
) -> None:
    assert stems_of_outputs(outputs, ("bass", "other", "piano", "vocals"), rest) == found


@pytest.mark.parametrize(
    ("outputs", "rest", "found"),
    [
        (("drums", "bass", "other"), ("other",), {"drums": ["drums"]}),
        (("bass", "accompaniment"), (), {"accompaniment": ["bass+other", "drums"]}),
        (("other", "drums"), ("other",), {"other": ["bass+other"], "drums": ["drums"]}),
        (("no_bass", "no_drums"), (), {"no_drums": ["bass+other"]}),
        (("bass+other",), (), {"bass+other": ["bass+other"]}),
        (("drums+bass", "drums"), (), {"drums": ["drums"]}),
    ],
)
def test_parts_of_a_sum_are_not_measured(
    outputs: Sequence[str], rest: Sequence[str], found: dict[str, list[str]]
) -> None:
    assert stems_of_outputs(outputs, ("bass+other", "drums"), rest) == found


def test_a_song_with_a_sum_is_measured_in_its_other_stems(references: Path, estimates: Path) -> None:
    true = sources(1_000)
    put(references / "song", {"drums": true["drums"], "bass+other": true["bass"] + true["other"]})
    put(estimates / "song", worse({name: true[name] for name in ("drums", "bass", "other")}))
    result = only(references, FromFolder(estimates))
    assert list(result.scores) == ["drums"]
    assert result.unmeasured == ["bass", "other"]


def test_some_stems_alone_can_be_measured(references: Path, estimates: Path) -> None:
    put(references / "song", sources(1_000))
    put(estimates / "song", sources(1_000, ["vocals", "other"]))
    with pytest.raises(
        AudioError, match=r"^no estimate of bass, drums for song; name the stems to measure with --stems$"
    ):
        only(references, FromFolder(estimates))
    assert list(only(references, FromFolder(estimates), ["vocals"]).scores) == ["vocals"]
    with pytest.raises(AudioError, match=r"^no estimate of drums for song"):
        only(references, FromFolder(estimates), ["drums", "vocals"])


def test_an_estimate_without_a_source_is_listed_as_unmeasured(references: Path, estimates: Path) -> None:
    put(references / "song", sources(1_000, ["bass"]))
    put(estimates / "song", sources(1_000))
    result = only(references, FromFolder(estimates))
    assert (list(result.scores), result.unmeasured) == (["bass"], ["drums", "other", "vocals"])


def test_estimates_and_sources_with_no_stem_in_common_are_refused(references: Path, estimates: Path) -> None:
    put(references / "song", sources(1_000, ["piano"]))
    put(estimates / "song", sources(1_000, ["bass"]))
    with pytest.raises(AudioError, match=r"^no estimate of piano for song"):
        only(references, FromFolder(estimates))
    with pytest.raises(AudioError, match=r"^song has no bass to measure estimates against$"):
        only(references, FromFolder(estimates), ["bass"])


@pytest.mark.parametrize(
    ("write", "complaint"),
    [
        (lambda folder: put(folder, sources(1_001)), r"bass\.wav is 1 sample longer than .*references/song/bass\.wav"),
        (lambda folder: put(folder, sources(900)), r"bass\.wav is 100 samples shorter than"),
        (lambda folder: put(folder, sources(1_000), rate=44_100), r"bass\.wav has 44100 Hz, but .*bass\.wav 8000 Hz"),
        (lambda folder: put(folder, sources(1_000, channels=1)), r"bass\.wav has 1 channel, but .*bass\.wav 2"),
        (lambda folder: (folder / "bass.wav").write_text("no audio"), r"cannot read .*bass\.wav"),
    ],
)
def test_an_estimate_that_does_not_match_its_source_is_refused(
    references: Path, estimates: Path, write: Callable[[Path], object], complaint: str
) -> None:
    put(references / "song", sources(1_000))
    put(estimates / "song", sources(1_000))
    write(estimates / "song")
    with pytest.raises(AudioError, match=complaint):
        only(references, FromFolder(estimates))


def test_a_folder_without_estimates_is_refused(estimates: Path) -> None:
    estimates.mkdir()
    with pytest.raises(AudioError, match=r"^no estimates in .*estimates; it should have a folder for each song"):
        FromFolder(estimates)


def test_a_song_that_fails_does_not_stop_the_others(references: Path, estimates: Path) -> None:
    for name in ("a", "b", "c"):
        put(references / name, sources(1_000))
        put(estimates / name, worse(sources(1_000 + (name == "b"))))
    seen: list[tuple[str, float]] = []
    results = list(
        evaluate(song_folders(references), FromFolder(estimates), (), lambda song, s: seen.append((song.name, s)))
    )
    assert [bool(result.error) for result in results] == [False, True, False]
    assert seen == [("a", 0.0), ("a", 0.125), ("b", 0.0), ("c", 0.0), ("c", 0.125)]


@pytest.mark.parametrize(
    "error", [OSError(24, "Too many open files"), KeyError("surprise"), RecursionError("too deep")]
)
def test_an_error_of_any_kind_is_one_songs(
    references: Path, estimates: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("a", "b", "c"):
        put(references / name, sources(1_000))
        put(estimates / name, worse(sources(1_000)))

    def failing(song: Any, *rest: Any) -> Result:
        if song.title == "b":
            raise error
        return measure_song(song, *rest)

    monkeypatch.setattr("stemsplit.evaluation.evaluation.measure_song", failing)
    results = list(evaluate(song_folders(references), FromFolder(estimates), (), lambda *_: None))
    assert [bool(result.error) for result in results] == [False, True, False]
    assert "\n" not in results[1].error


class Quarters:
    """Stands in for a `Separator`: each of its four stems is a quarter of the song."""

    stems = ("vocals", "drums", "bass", "other")

    def __init__(self) -> None:
        self.heard: list[Block] = []

    def stream(
        self, blocks: Iterable[Block], sample_rate: int, channels: int, speakers: Sequence[str]
    ) -> Iterator[tuple[Block, Block]]:
        assert (sample_rate, channels, speakers) == (RATE, 2, ())
        for block in blocks:
            self.heard.append(block)
            for part in (block[:, :700], block[:, 700:]):
                yield part, np.stack([part / 4] * 4)


def model(quarters: Quarters | None = None) -> FromModel:
    return FromModel(cast(Any, quarters or Quarters()))


def test_a_model_gets_the_sum_of_the_stems(references: Path) -> None:
    true = sources()
    put(references / "song", true)
    mixture = np.sum(list(true.values()), 0)
    result = only(references, model())
    for stem, score in result.scores.items():
        assert [score.sdr, score.si_sdr] == pytest.approx(expected(mixture / 4, true[stem]), abs=1e-5)


def test_a_model_gets_the_mixture_where_there_is_one(references: Path) -> None:
    put(references / "song", {**sources(), "mixture": noise(20_500, seed=9)})
    quarters = Quarters()
    only(references, model(quarters), ["bass"])
    assert np.array_equal(np.concatenate(quarters.heard, -1).T, noise(20_500, seed=9))


def test_other_collects_the_stems_that_a_model_does_not_have(references: Path) -> None:
    true = sources(9_000, ["bass", "other", "piano", "strings"])
    put(references / "song", true)
    mixture = np.sum(list(true.values()), 0)
    result = only(references, model(), ["other", "drums"])
    assert (list(result.scores), result.unmeasured) == (["other"], ["drums"])
    score = result.scores["other"]
    rest = true["other"] + true["piano"] + true["strings"]
    assert [score.sdr, score.si_sdr] == pytest.approx(expected(mixture / 4, rest), abs=1e-5)


def test_a_model_is_not_run_on_a_song_whose_stems_do_not_match(references: Path) -> None:
    put(references / "song", sources(9_000))
    put(references / "song", sources(9_001, ["mixture"]))
    quarters = Quarters()
    with pytest.raises(AudioError, match=r"mixture\.wav is 1 sample longer than .*bass\.wav$"):
        only(references, model(quarters))
    assert quarters.heard == []


def test_averages_ignore_values_that_are_not_finite() -> None:
    scores = [Score(1.0, -math.inf, math.nan), Score(2.0, 3.0, math.nan), Score(9.0, 5.0, math.nan)]
    assert astuple(average(scores, fmean)) == pytest.approx((4.0, 4.0, math.nan), nan_ok=True)
    assert astuple(average(scores, median)) == pytest.approx((2.0, 4.0, math.nan), nan_ok=True)
    assert astuple(average([], fmean)) == pytest.approx((math.nan,) * 3, nan_ok=True)


def test_a_set_of_songs_is_averaged_stem_by_stem() -> None:
    """A song that lacks a stem, or failed, does not count."""
    figures = {"a": {"x": 1.0, "y": 10.0}, "b": {"x": 2.0}, "c": {"x": 6.0, "y": 20.0}}
    results = [Result(name, {s: Score(f, f, f) for s, f in of.items()}) for name, of in figures.items()]
    found = summary([*results, Result("d", error="unreadable")])
    assert {stem: score.sdr for stem, score in found.means.items()} == {"x": 3.0, "y": 15.0}
    assert {stem: score.sdr for stem, score in found.medians.items()} == {"x": 2.0, "y": 15.0}
    assert (found.mean.sdr, found.median.sdr) == (9.0, 8.5)

"""Measures estimates of stems against the true stems of whole songs, and averages the scores."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import astuple, dataclass, field
from functools import partial
from pathlib import Path
from statistics import fmean, median

import numpy as np
import torch

from stemsplit.errors import AudioError
from stemsplit.evaluation.estimates import Estimates, opened
from stemsplit.evaluation.lockstep import in_step
from stemsplit.evaluation.metrics import Measurement
from stemsplit.evaluation.multitracks import Multitrack
from stemsplit.evaluation.stems import joined, stems_of_outputs
from stemsplit.failures import cause, is_lost_device


@dataclass(frozen=True)
class Score:
    """Metrics of an estimate against its source, in dB; NaN where one is undefined.

    Args:
        sdr: SDR of the whole song.
        si_sdr: SI-SDR of the whole song.
        frame_sdr: median of the SDR of the song's seconds, as museval computes it (see `metrics.Measurement`).
    """

    sdr: float
    si_sdr: float
    frame_sdr: float


def average(scores: Iterable[Score], kind: Callable[[list[float]], float]) -> Score:
    """Return the average of each metric; NaN and infinite values are ignored, as by museval.

    Args:
        scores: scores to average.
        kind: kind of average: `fmean` or `median`.
    """
    columns = list(zip(*map(astuple, scores), strict=True)) or [()] * 3
    finite = [[value for value in column if math.isfinite(value)] for column in columns]
    return Score(*(kind(values) if values else math.nan for values in finite))


WORST = 5
"""Number of the worst moments that are kept for each stem of a song."""


@dataclass(frozen=True)
class Moment:
    """A second of a song, and how close an estimate is to its source there.

    Args:
        at: where the second begins, in seconds.
        sdr: SDR of the second in dB.
    """

    at: float
    sdr: float


@dataclass(frozen=True)
class Result:
    """The result of measuring a song.

    Args:
        name: name of the song.
        scores: scores of its estimates, by name.
        unmeasured: names that have only a source or only an estimate, or whose source is known only as a part of a sum.
        error: why there are no scores; empty if there are.
        worst: seconds with the lowest SDR of each estimate, the lowest first; at most `WORST`.
        folder: folder of the estimates, if they are files.
    """

    name: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    unmeasured: Sequence[str] = ()
    error: str = ""
    worst: Mapping[str, Sequence[Moment]] = field(default_factory=dict)
    folder: Path | None = None

    @property
    def mean(self) -> Score:
        """Mean over the stems."""
        return average(self.scores.values(), fmean)


@dataclass(frozen=True)
class Summary:
    """The averages over a set of songs, without those that failed.

    Args:
        means: mean over the songs, for every stem.
        medians: median over the songs, for every stem.
    """

    means: Mapping[str, Score]
    medians: Mapping[str, Score]

    @property
    def mean(self) -> Score:
        """Mean of the stems' means."""
        return average(self.means.values(), fmean)

    @property
    def median(self) -> Score:
        """Mean of the stems' medians, which papers call the average."""
        return average(self.medians.values(), fmean)


def summary(results: Sequence[Result]) -> Summary:
    """Return the averages over all songs."""
    by_stem: dict[str, list[Score]] = {}
    for result in results:
        for name, score in result.scores.items():
            by_stem.setdefault(name, []).append(score)
    return Summary(
        means={name: average(scores, fmean) for name, scores in by_stem.items()},
        medians={name: average(scores, median) for name, scores in by_stem.items()},
    )


def measure_song(
    song: Multitrack, estimates: Estimates, wanted: Collection[str], progress: Callable[[float], None]
) -> Result:
    """Measure the estimates of a song, in memory that does not grow with its length.

    Args:
        song: song with its stems.
        estimates: source of the estimates.
        wanted: names of the estimates to measure; empty for all.
        progress: called again and again with the number of seconds measured so far.

    Raises:
        AudioError: an estimate is missing, or a file cannot be read or does not match the others.
        DeviceError: out of memory.
    """
    outputs = estimates.outputs(song)
    sums = {
        output: stems
        for output, stems in stems_of_outputs(outputs, song.stems, estimates.rest).items()
        if not wanted or output in wanted
    }
    used = list(dict.fromkeys(stem for stems in sums.values() for stem in stems))
    if wanted:
        lacking = [name for name in wanted if name not in outputs]
    else:
        # There may be an estimate of a part of `bass+other`, which cannot be measured.
        lacking = [stem for stem in song.stems if stem not in used and not {*joined(stem)} & {*outputs}]
    if lacking and not estimates.partial:
        raise AudioError(
            f"no estimate of {', '.join(lacking)} for {song.title}; name the stems to measure with --stems"
        )
    if not sums:
        raise AudioError(f"{song.title} has no {' or '.join(wanted or outputs)} to measure estimates against")
    with ExitStack() as open_:
        sources = [opened(song, stem, open_) for stem in used]
        tracks = estimates.tracks(song, list(sums), open_)
        measurement = Measurement(sources[0].sample_rate)
        for blocks in in_step([*sources, *tracks]):
            by_stem = dict(zip(used, blocks, strict=False))
            true = np.concatenate([np.sum([by_stem[stem] for stem in stems], 0) for stems in sums.values()])
            measurement.add(torch.from_numpy(np.concatenate(blocks[len(used) :])), torch.from_numpy(true))
            progress(measurement.samples / measurement.frame)
    figures = measurement.figures()
    rows = zip(figures.sdr.tolist(), figures.si_sdr.tolist(), figures.frame_sdr.tolist(), strict=True)
    scores = {name: Score(*row) for name, row in zip(sums, rows, strict=True)}
    worst = {
        name: [Moment(float(second), sdr) for second, sdr in moments]
        for name, moments in zip(sums, measurement.worst(WORST), strict=True)
    }
    unmeasured = [name for name in wanted or outputs if name not in {*sums, *lacking}] + lacking
    return Result(song.title, scores, unmeasured, worst=worst, folder=estimates.folder_of(song))


def evaluate(
    songs: Iterable[Multitrack],
    estimates: Estimates,
    wanted: Collection[str],
    progress: Callable[[Multitrack, float], None],
) -> Iterator[Result]:
    """Measure songs one after the other. A song that fails does not stop the others.

    Args:
        songs: songs with their stems.
        estimates: source of the estimates.
        wanted: names of the estimates to measure; empty for all.
        progress: called again and again with the song and the number of its seconds measured so far.
    """
    for song in songs:
        progress(song, 0.0)
        try:
            result = measure_song(song, estimates, wanted, partial(progress, song))
        except Exception as error:  # of any kind, from decoders, the network or figures
            if is_lost_device(error):
                raise
            result = Result(song.title, error=cause(error, f"measuring {song.title}"))
        yield result

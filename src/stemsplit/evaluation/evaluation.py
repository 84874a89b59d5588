"""How close estimates are to the stems of whole songs: files in a folder, or what a model makes of the songs."""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import astuple, dataclass, field
from functools import partial
from pathlib import Path, PurePosixPath
from statistics import fmean, median
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch

from stemsplit.errors import AudioError, StemsplitError
from stemsplit.evaluation.lockstep import Track, in_step
from stemsplit.evaluation.metrics import Measurement
from stemsplit.evaluation.multitracks import MIXTURE, Multitrack, song_folders

if TYPE_CHECKING:
    from stemsplit.engine.separator import Separator

WITHOUT_VOCALS = ("instrumental", "accompaniment")
REST = ("other", "noise")
"""Where a model puts what it has no other stem for."""


def opened(song: Multitrack, stem: str, open_: ExitStack) -> Track:
    """A stem of a song, or its mixture.

    Raises:
        AudioError: it cannot be read.
    """
    reader = open_.enter_context(song.open(stem))
    label = f"{reader.path} ({stem})" if song.streams else str(reader.path)
    return Track(label, reader.sample_rate, reader.channels, (block[None] for block in reader))


def parts(outputs: Sequence[str], stems: Collection[str], rest: Collection[str] = ()) -> dict[str, list[str]]:
    """Which of a song's stems, added up, each estimate is measured against.

    The one of its name; else, for an instrumental, all but vocals, and for a `no_X`, all but X.

    Args:
        outputs: names of the estimates.
        stems: names of the song's own.
        rest: outputs that take in, besides, whatever stem no output is named after.

    Returns:
        Output -> stems; outputs without any are left out.
    """
    found: dict[str, list[str]] = {}
    for output in outputs:
        left_out = "vocals" if output in WITHOUT_VOCALS else output.removeprefix("no_")
        if output in rest:
            found[output] = [stem for stem in stems if stem == output or stem not in outputs]
        elif output in stems:
            found[output] = [output]
        elif left_out != output:
            found[output] = [stem for stem in stems if stem != left_out]
    return {output: chosen for output, chosen in found.items() if chosen}


class Estimates(Protocol):
    """Where estimates come from.

    Attributes:
        rest: see `parts`.
        partial: whether a stem without an estimate is as it should be.
    """

    rest: Collection[str]
    partial: bool

    def outputs(self, song: Multitrack) -> Sequence[str]:
        """Names of the stems that there are estimates of.

        Raises:
            AudioError: there are none of that song.
        """

    def tracks(self, song: Multitrack, outputs: Sequence[str], open_: ExitStack) -> list[Track]:
        """These estimates, in this order, in one track or several.

        Raises:
            AudioError: a file cannot be read.
        """


class FromFolder:
    """Estimates in files that lie as `stemsplit split` writes them: a folder a song, a file a stem.

    Args:
        folder: has a song's estimates at the same path as the song has in its own folder, or itself holds those of the
            only song. What stemsplit made of `song/mixture.wav` may be in `song/mixture`, of `song.stem.mp4` in
            `song.stem`.

    Raises:
        AudioError: there is no such folder, or no song in it.
    """

    rest: Collection[str] = ()
    partial = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.songs = {song.name: song for song in song_folders(folder)}
        if not self.songs:
            raise AudioError(f"no estimates in {folder}; it should have a folder a song, with a file a stem in it")

    def _of(self, song: Multitrack) -> Multitrack:
        for name in (song.name, song.title):
            for place in (name, (PurePosixPath(name) / MIXTURE).as_posix(), f"{name}.stem"):
                if place in self.songs:
                    return self.songs[place]
        raise AudioError(f"no estimates of {song.title} in {self.folder}")

    def outputs(self, song: Multitrack) -> Sequence[str]:
        """See `Estimates`."""
        return tuple(self._of(song).stems)

    def tracks(self, song: Multitrack, outputs: Sequence[str], open_: ExitStack) -> list[Track]:
        """See `Estimates`."""
        return [opened(self._of(song), output, open_) for output in outputs]


class FromModel:
    """Estimates that a model makes of a song's mixture, or of the sum of its stems where there is no such file.

    The two may differ: MUSDB18's mixtures were mastered, its stems were not.

    Args:
        separator: the model.
    """

    rest: Collection[str] = REST
    partial = True

    def __init__(self, separator: "Separator") -> None:
        self.separator = separator

    def outputs(self, song: Multitrack) -> Sequence[str]:  # noqa: ARG002  # the same of every song
        """See `Estimates`."""
        return self.separator.stems

    def tracks(self, song: Multitrack, outputs: Sequence[str], open_: ExitStack) -> list[Track]:
        """See `Estimates`."""
        mixed = [MIXTURE] if song.mixture else list(song.stems)
        with ExitStack() as briefly:
            # Read once to its end before any work goes into it.
            for _ in in_step([opened(song, name, briefly) for name in {**song.stems, **dict.fromkeys(mixed)}]):
                pass
        tracks = [opened(song, name, open_) for name in mixed]
        rate, channels = tracks[0].sample_rate, tracks[0].channels
        mixture = (np.sum(blocks, 0)[0] for blocks in in_step(tracks))
        results = open_.enter_context(closing(self.separator.stream(mixture, rate, channels)))
        places = [self.separator.stems.index(output) for output in outputs]
        return [Track("what the model gave", rate, channels, (stems[places] for _, stems in results))]


@dataclass(frozen=True)
class Score:
    """How close an estimate is to its source, in dB; NaN where there is no figure.

    Args:
        sdr: of the whole song.
        si_sdr: of the whole song.
        frame_sdr: median of its seconds, as museval counts them (see `metrics.Measurement`).
    """

    sdr: float
    si_sdr: float
    frame_sdr: float


def over(scores: Iterable[Score], kind: Callable[[list[float]], float]) -> Score:
    """The mean or the median of each figure; those that are none or infinite are passed over, as museval does."""
    columns = list(zip(*map(astuple, scores), strict=True)) or [()] * 3
    finite = [[figure for figure in column if math.isfinite(figure)] for column in columns]
    return Score(*(kind(figures) if figures else math.nan for figures in finite))


@dataclass(frozen=True)
class Result:
    """What became of a song.

    Args:
        name: of the song.
        scores: of its estimates, by name.
        unmeasured: names of which there is only a source, or only an estimate.
        error: why there are no scores; empty if there are.
    """

    name: str
    scores: Mapping[str, Score] = field(default_factory=dict)
    unmeasured: Sequence[str] = ()
    error: str = ""

    @property
    def mean(self) -> Score:
        """Over the stems."""
        return over(self.scores.values(), fmean)


@dataclass(frozen=True)
class Summary:
    """What became of a set of songs, those that failed left aside.

    Args:
        means: of every stem, over the songs.
        medians: of every stem, over the songs.
    """

    means: Mapping[str, Score]
    medians: Mapping[str, Score]

    @property
    def mean(self) -> Score:
        """Of the stems' means."""
        return over(self.means.values(), fmean)

    @property
    def median(self) -> Score:
        """The mean of the stems' medians, which is what papers call the average."""
        return over(self.medians.values(), fmean)


def summary(results: Sequence[Result]) -> Summary:
    """All songs together."""
    names = dict.fromkeys(name for result in results for name in result.scores)
    of = {name: [result.scores[name] for result in results if name in result.scores] for name in names}
    means, medians = ({name: over(scores, kind) for name, scores in of.items()} for kind in (fmean, median))
    return Summary(means, medians)


def measure(
    song: Multitrack, estimates: Estimates, wanted: Collection[str], progress: Callable[[float], None]
) -> Result:
    """Measure the estimates of a song, in memory that does not grow with it.

    Args:
        song: with its stems.
        estimates: of them.
        wanted: names of those that are to be measured; none for all.
        progress: told, again and again, how many seconds are measured.

    Raises:
        AudioError: an estimate is missing, or a file cannot be read or does not go with the others.
        DeviceError: out of memory.
    """
    there = estimates.outputs(song)
    sums = {
        output: stems
        for output, stems in parts(there, song.stems, estimates.rest).items()
        if not wanted or output in wanted
    }
    used = list(dict.fromkeys(stem for stems in sums.values() for stem in stems))
    lacking = [name for name in wanted if name not in there] if wanted else [s for s in song.stems if s not in used]
    if lacking and not estimates.partial:
        raise AudioError(f"no estimate of {', '.join(lacking)} for {song.title}; measure others alone with --stems")
    if not sums:
        raise AudioError(f"{song.title} has no {' or '.join(wanted or there)} to measure estimates against")
    with ExitStack() as open_:
        sources = [opened(song, stem, open_) for stem in used]
        given = estimates.tracks(song, list(sums), open_)
        measurement = Measurement(sources[0].sample_rate)
        for blocks in in_step([*sources, *given]):
            of = dict(zip(used, blocks, strict=False))
            true = np.concatenate([np.sum([of[stem] for stem in stems], 0) for stems in sums.values()])
            measurement.add(torch.from_numpy(np.concatenate(blocks[len(used) :])), torch.from_numpy(true))
            progress(measurement.samples / measurement.frame)
    found = measurement.figures()
    columns = zip(found.sdr.tolist(), found.si_sdr.tolist(), found.frame_sdr.tolist(), strict=True)
    scores = {name: Score(*figures) for name, figures in zip(sums, columns, strict=True)}
    return Result(song.title, scores, [name for name in wanted or there if name not in {*sums, *lacking}] + lacking)


def evaluate(
    songs: Iterable[Multitrack],
    estimates: Estimates,
    wanted: Collection[str],
    progress: Callable[[Multitrack, float], None],
) -> Iterator[Result]:
    """Measure songs one after the other; one that fails does not keep the others from being measured.

    Args:
        songs: with their stems.
        estimates: of them.
        wanted: names of those that are to be measured; none for all.
        progress: told, again and again, the song and how many of its seconds are measured.
    """
    for song in songs:
        progress(song, 0.0)
        try:
            result = measure(song, estimates, wanted, partial(progress, song))
        except (StemsplitError, MemoryError) as error:
            result = Result(song.title, error=str(error) or f"out of memory while measuring {song.title}")
        yield result

"""Measures models on the songs that each was trained without.

`python -m stemsplit.training.starter.scores AUDIO 1/5=one.safetensors 2/5=two.safetensors` prints a table.
"""

import argparse
import csv
import io
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

from stemsplit.disk import read_text, replacing
from stemsplit.engine.separator import Separator
from stemsplit.errors import StemsplitError
from stemsplit.evaluation.metrics import sdr
from stemsplit.training.data import read_song
from stemsplit.training.starter.folds import Fold, divided
from stemsplit.training.starter.material import WITH_SONGS, collection

PROGRAM = "python -m stemsplit.training.starter.scores"

HEADING = ("fold", "collection", "song", "stem", "sdr")
"""Columns of the CSV: a line for each stem of each song."""


@dataclass(frozen=True)
class Score:
    """The SDR of one stem of one song.

    Args:
        fold: fold that the song is in, such as `2/5`.
        collection: collection that it is in.
        song: its name.
        stem: name of the stem.
        sdr: dB.
    """

    fold: str
    collection: str
    song: str
    stem: str
    sdr: float


def measured(audio: Path, model: str, fold: Fold) -> Iterator[Score]:
    """Split the songs of a fold, each as a whole, and yield the SDR of every stem that has a score.

    A stem that a song lacks, or of which only a sum with others is known, has none.

    Args:
        audio: folder that has the folders of all collections.
        model: file of weights, or a name from the registry.
        fold: the fold.

    Raises:
        StemsplitError: a song cannot be read, or the model cannot be loaded.
    """
    separator = Separator(model)
    songs = {name: collection(name, audio) for name in WITH_SONGS}
    for name, group in divided(songs, WITH_SONGS, fold)[1].items():
        for song in group:
            sources = read_song(song, separator.entry)
            stems = separator.separate(sources.sum(0), separator.entry.sample_rate)
            for stem, source in zip(separator.stems, sources, strict=False):
                if not math.isnan(score := float(sdr(stems[stem], source))):
                    yield Score(str(fold), name, song.name, stem, score)


def read(path: Path) -> list[Score]:
    """Read scores that were written before.

    Raises:
        StemsplitError: the file cannot be read, or has other columns.
    """
    try:
        rows = csv.DictReader(io.StringIO(read_text(path), newline=""))
        if not rows.fieldnames or not {*HEADING} <= {*rows.fieldnames}:
            raise ValueError("columns")
        return [Score(row["fold"], row["collection"], row["song"], row["stem"], float(row["sdr"])) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error, KeyError, TypeError, ValueError) as error:
        raise StemsplitError(f"cannot read the scores in {path}; it should have {', '.join(HEADING)}") from error


def write(path: Path, scores: Sequence[Score]) -> None:
    """Write scores as CSV.

    Raises:
        OSError: the file cannot be written.
    """
    lines = io.StringIO(newline="")
    rows = [(score.fold, score.collection, score.song, score.stem, f"{score.sdr:.4f}") for score in scores]
    csv.writer(lines, lineterminator="\n").writerows([HEADING, *rows])
    with replacing(path) as file:
        file.write(lines.getvalue().encode())


def averages(scores: Sequence[Score]) -> dict[str, float]:
    """Return the mean SDR of each stem over the songs, and their mean as `mean`."""
    stems = dict.fromkeys(score.stem for score in scores)
    means = {stem: fmean(score.sdr for score in scores if score.stem == stem) for stem in stems}
    return {**means, "mean": fmean(means.values())} if means else {}


def table(scores: Sequence[Score]) -> str:
    """Return a Markdown table: a line for each fold and for each collection.

    The last line is the mean over the folds of their means, with their standard deviation: how much a figure depends
    on which songs it is measured on.
    """
    stems = [*dict.fromkeys(score.stem for score in scores), "mean"]

    def line(title: str, figures: Mapping[str, str], songs: int | str) -> str:
        return f"| {title} | {songs} | {' | '.join(figures.get(stem, '') for stem in stems)} |"

    def part(title: str, chosen: Sequence[Score]) -> str:
        figures = {stem: f"{sdr:.2f}" for stem, sdr in averages(chosen).items()}
        return line(title, figures, len({score.song for score in chosen}))

    folds = {name: [score for score in scores if score.fold == name] for name in dict.fromkeys(s.fold for s in scores)}
    collections = dict.fromkeys(score.collection for score in scores)
    lines = [line("SDR in dB", {stem: stem for stem in stems}, "songs"), "|---" * (len(stems) + 2) + "|"]
    lines += [part(f"fold {name}", chosen) for name, chosen in folds.items()]
    lines += [part(name, [score for score in scores if score.collection == name]) for name in collections]
    each = [averages(chosen) for chosen in folds.values()]
    over: dict[str, str] = {}
    for stem in stems:
        found = [figures[stem] for figures in each if stem in figures]
        over[stem] = f"{fmean(found):.2f}" + (f" ± {stdev(found):.2f}" if len(found) > 1 else "")
    return "\n".join([*lines, line("mean of the folds", over, len({score.song for score in scores}))])


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.scores`; the exit status is 1 if something cannot be measured."""
    parser = argparse.ArgumentParser(PROGRAM, description="Measure models on the songs that they were trained without.")
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="folder with musdb18-7s, songs ...")
    parser.add_argument(
        "models",
        nargs="+",
        metavar="FOLD=MODEL",
        help="fold and weights, such as 2/5=a.safetensors; or an earlier CSV",
    )
    parser.add_argument("-o", "--output", type=Path, metavar="CSV", help="file for the score of every stem and song")
    args = parser.parse_args(arguments)
    scores: list[Score] = []
    try:
        for given in args.models:
            fold, separated, model = given.partition("=")
            scores += measured(args.audio, model, Fold.parsed(fold)) if separated else read(Path(given))
        if not scores:
            raise StemsplitError("there are no scores: no stem of these songs can be measured")
        if args.output:
            write(args.output, scores)
    except (OSError, ValueError, StemsplitError) as error:
        print(error, file=sys.stderr)
        return 1
    print(table(scores))
    return 0


if __name__ == "__main__":
    sys.exit(main())

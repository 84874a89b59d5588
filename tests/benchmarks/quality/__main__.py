"""How good models' stems are, side by side: on songs whose stems are known, and on what is no such song.

python -m tests.benchmarks.quality [MODEL ...]        default: starter

Each MODEL is a name or a checkpoint file. Three tables: figures over sets of songs, the SDR of every song, and inputs
such as speech, noise, and a song in mono or at other levels; then the windows in which a stem is loudest compared with
the mixture. What each figure is: `figures` and `seams`. The songs are the developers' material beside the checkout, or
in `--audio FOLDER`, or `--songs NAME=FOLDER`; what is not there is left out. SDR is that of the whole song, both
channels together; a stem that a song lacks has none, and is not counted in any mean of SDRs.
"""

import argparse
import json
import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from stemsplit import Separator
from stemsplit.evaluation.multitracks import Multitrack, multitracks
from stemsplit.evaluation.stems import joined
from stemsplit.training.data import read_song
from tests.benchmarks.measuring import SONG, facts, machine
from tests.benchmarks.parts import head, line_of
from tests.benchmarks.quality.figures import Moment
from tests.benchmarks.quality.inputs import Input, made, recording, variants
from tests.benchmarks.quality.songs import (
    InputFigures,
    SongFigures,
    averages,
    linear,
    measure_input,
    measure_song,
    plain,
)

AUDIO = Path(__file__).parents[4] / "shared" / "audio"
"""Material of this project's developers; a user's clone has none of it."""

SETS = {
    "validation": ("validation/musdb18-7s", ("*",)),
    "jazz and electronic": ("train/songs", ("cmt-pagnutti-*", "lmms-*", "mdn-*", "trackswitch-*")),
    "rock bands": ("train/songs", ("cmt-darkride-*", "cmt-actions-*")),
}
"""Sets of songs in that folder, and which songs there are meant.

The starter was chosen by the first. Until its fourth version, it was given nothing of the second, and seven seconds of
each song of the third. In those of neither, the bass is in `other`.
"""

WORST = 12
LIMIT = 3.0
"""dB by which no stem should be louder than the mixture."""


@dataclass
class Found:
    """What was measured with one model."""

    model: str
    stems: tuple[str, ...]
    songs: dict[str, dict[str, SongFigures]] = field(default_factory=dict)
    inputs: dict[str, InputFigures] = field(default_factory=dict)

    def loud(self) -> Iterator[tuple[str, Moment]]:
        """The loudest window of everything that was taken apart."""
        for songs in self.songs.values():
            yield from ((name, figures.loudest) for name, figures in songs.items())
        yield from ((name, figures.loudest) for name, figures in self.inputs.items())


def inputs(piano: Path | None, more: Sequence[Path]) -> Iterator[Input]:
    """What is taken apart besides songs; what needs files that are not there is left out."""
    yield from made()
    if piano:
        yield Input("solo piano", recording(piano))
    for path in more:
        yield Input(path.stem, recording(path, 30.0))


def song(folder: Path, entry: Any) -> Input:
    """The song that is given in several ways: with its stems if the folder has them."""
    if folder.is_dir():
        sources = read_song(multitracks(folder)[0], entry)
        return Input("lithium", sources.sum(0), sources=sources)
    return Input("lithium", recording(SONG, 30.0))


def measure(model: str, sets: dict[str, list[Multitrack]], audio: Path | None) -> Found:
    """Measure all songs with one model; with the developers' material, or what is there of it, inputs as well."""
    separator = Separator(model, tell=lambda _: None)
    found = Found(model, separator.stems)
    for name, songs in sets.items():
        found.songs[name] = {}
        for each in songs:
            found.songs[name][each.title] = measure_song(separator, read_song(each, separator.entry))
    if audio:
        piano = next(iter(sorted((audio / "train" / "piano-waivops").glob("*.ogg"))), None)
        mixes = [path for path in sorted((audio / "songs").glob("*")) if path.is_file()]
        given = [*inputs(piano, mixes), *variants(song(audio / "songs" / "lithium", separator.entry))]
        found.inputs = {each.name: measure_input(separator, each) for each in given}
    return found


def cell(value: float, digits: int = 2) -> str:
    """A value in a table."""
    return f"{value:.{digits}f}" if math.isfinite(value) else ("-" if math.isnan(value) else f"{value:+}")


def with_mean(values: Sequence[float]) -> list[str]:
    """The cells of stems, and of the mean over those that have a value."""
    finite = [value for value in values if math.isfinite(value)]
    return [*map(cell, values), cell(sum(finite) / len(finite) if finite else math.nan)]


def figures_table(results: Sequence[Found]) -> Iterator[str]:
    """A line for every figure, set of songs and model."""
    stems = results[0].stems
    yield head(("figure", "songs", "model", *stems, "mean"))
    averaged = {(r.model, name): averages(list(songs.values())) for r in results for name, songs in r.songs.items()}
    names = dict.fromkeys(name for rows in averaged.values() for name in rows)
    for figure in names:
        for (model, name), rows in sorted(averaged.items(), key=lambda item: list(results[0].songs).index(item[0][1])):
            if figure in rows:
                one = len(rows[figure]) == 1
                cells = [""] * len(stems) + [cell(rows[figure][0])] if one else with_mean(rows[figure])
                yield line_of((figure, name, model, *cells))


def songs_table(results: Sequence[Found]) -> Iterator[str]:
    """A line for every song and model: the SDR of its stems."""
    yield head(("SDR, dB", "songs", "model", *results[0].stems, "mean", "loudest stem, dB over the mixture"))
    for name, songs in results[0].songs.items():
        for title in songs:
            for result in results:
                figures = result.songs[name][title]
                cells = [*with_mean(figures.sdr.tolist()), moment(figures.loudest, result.stems)]
                yield line_of((title, name, result.model, *cells))


def moment(found: Moment, stems: Sequence[str]) -> str:
    """A window in words."""
    return f"{found.decibels:+.2f} ({stems[found.stem]} at {found.at:.1f} s)"


def inputs_table(results: Sequence[Found]) -> Iterator[str]:
    """A line for every input and model: where its energy goes, and whether anything else is wrong."""
    shares = [f"{stem}, %" for stem in results[0].stems]
    columns = ("input", "model", *shares, "mean SDR, dB", "sum's error, dB", "side, dB", "loudest stem, dB")
    yield head((*columns, "finite"))
    for name in results[0].inputs:
        for result in results:
            figures = result.inputs[name]
            mean = with_mean(figures.sdr)[-1] if figures.sdr else "-"
            cells = [*(cell(share, 1) for share in figures.shares), mean, cell(figures.sum_error, 0)]
            cells += [cell(figures.side, 1), moment(figures.loudest, result.stems), "yes" if figures.finite else "NO"]
            yield line_of((name, result.model, *cells))


def worst(result: Found) -> list[tuple[str, Moment]]:
    """The songs and inputs with the loudest stems."""
    return sorted(result.loud(), key=lambda item: -item[1].decibels)[:WORST]


def report(results: Sequence[Found]) -> Iterator[str]:
    """All tables, in Markdown."""
    if any(result.songs for result in results):
        yield from (*figures_table(results), "", *songs_table(results), "")
    if results[0].inputs:
        yield from (*inputs_table(results), "")
        for result in results:
            differs = cell(linear(result.inputs, "lithium"), 3)
            yield f"{result.model}: SDR of lithium at other levels differs by {differs} dB at most"
    for result in results:
        over = sum(each.decibels > LIMIT for _, each in result.loud())
        yield f"\n{result.model}: loudest stems; {over} songs or inputs with a stem over {LIMIT:+.0f} dB"
        yield from (f"- {name}: {moment(each, result.stems)}" for name, each in worst(result))


def as_data(result: Found) -> dict[str, Any]:
    """What was measured with one model, for JSON."""
    return {
        "model": result.model,
        "stems": result.stems,
        "averages": {name: averages(list(songs.values())) for name, songs in result.songs.items()},
        "songs": {name: {title: plain(f) for title, f in songs.items()} for name, songs in result.songs.items()},
        "inputs": {name: asdict(figures) for name, figures in result.inputs.items()},
        "linear": linear(result.inputs, "lithium") if result.inputs else None,
    }


def defined(value: Any) -> Any:
    """The same with None for what is not a finite number, which JSON has not."""
    if isinstance(value, dict):
        return {name: defined(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [defined(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def sets_of(folders: Mapping[str, tuple[Path, Sequence[str]]]) -> dict[str, list[Multitrack]]:
    """The songs of each set that is there: its folder, and patterns of which a song's name must match one."""
    found = {}
    for name, (folder, patterns) in folders.items():
        if folder.is_dir():
            songs = [song for song in multitracks(folder) if any(fnmatch(song.title, each) for each in patterns)]
            # Of a sum such as `bass+other`, no figure can be told.
            found[name] = [song for song in songs if all(joined(stem) == [stem] for stem in song.stems)]
            for song in songs:
                if song not in found[name]:
                    print(f"without {song.title}: some of its stems were not recorded apart", file=sys.stderr)
        else:
            print(f"without {name}: there is no folder {folder}", file=sys.stderr)
    return {name: songs for name, songs in found.items() if songs}


def main() -> None:
    """Measure, print the tables and write the JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.quality")
    parser.add_argument("models", nargs="*", default=["starter"], metavar="MODEL", help="default: starter")
    parser.add_argument("--audio", type=Path, default=AUDIO, metavar="FOLDER", help="default: %(default)s")
    parser.add_argument(
        "--songs", action="append", metavar="NAME=FOLDER", help=f"set of songs; default: {', '.join(SETS)} in --audio"
    )
    parser.add_argument("--only", choices=["songs", "inputs"], help="leave out the rest")
    parser.add_argument("--json", type=Path, default=Path("quality.json"), metavar="FILE", help="default: %(default)s")
    given = parser.parse_args()
    started = time.monotonic()
    folders = {name: (given.audio / folder, patterns) for name, (folder, patterns) in SETS.items()}
    if given.songs:
        named = (each.partition("=") for each in given.songs)
        folders = {name: (Path(folder), ("*",)) for name, _, folder in named}
    sets = {} if given.only == "inputs" else sets_of(folders)
    results = [measure(model, sets, None if given.only == "songs" else given.audio) for model in given.models]
    known = facts()
    for line in report(results):
        print(line)
    print(f"\n{machine(known)}; {(time.monotonic() - started) / 60:.1f} min")
    data = {"benchmark": "quality", "machine": known, "models": [as_data(result) for result in results]}
    given.json.write_text(json.dumps(defined(data), indent=1) + "\n", encoding="utf-8")
    print(f"written: {given.json}")


if __name__ == "__main__":
    main()

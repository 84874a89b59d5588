"""Measures what each addition to the training is worth by itself, on songs that are not trained on.

`python -m stemsplit.training.starter.additions AUDIO -o FOLDER --fold 3/12` trains a small network as often as there
are additions, each time as `BASE` says and with one addition, and prints a table. Started again, it resumes.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, median
from typing import Any

from stemsplit import registry
from stemsplit.disk import replacing
from stemsplit.errors import StemsplitError
from stemsplit.evaluation.multitracks import multitracks
from stemsplit.registry import as_toml
from stemsplit.training.starter import material, recipe, scores
from stemsplit.training.starter.folds import fold_argument
from stemsplit.training.starter.scores import Score

PROGRAM = "python -m stemsplit.training.starter.additions"

SMALL: Mapping[str, Any] = {
    "architecture": "bs_roformer",
    "places": [0, 1, 3],
    "mid_side": True,
    "config": {
        "dim": 64,
        "depth": 3,
        "stereo": True,
        "num_stems": 3,
        "dim_head": 32,
        "heads": 2,
        "stft_n_fft": 4096,
        "stft_hop_length": 1024,
        "stft_win_length": 4096,
        "mask_estimator_depth": 1,
        "zero_dc": False,
        "freqs_per_bands": [8] * 8 + [16] * 6 + [32] * 6 + [64] * 4 + [128] * 4 + [256, 673],
    },
}
"""A member of an ensemble that learns in minutes."""


@dataclass(frozen=True)
class Addition:
    """How a run differs from the base.

    Args:
        name: name of the run.
        songs: collections that are added to those of `BASE`, as in `recipe.Stage`.
        augment: augmentations that are added to those of `BASE`, separated by commas.
        options: further options of the command.
        every: 1 if all songs of MUSDB18 are trained on, 2 if every other one is, and so on.
    """

    name: str
    songs: str = ""
    augment: str = ""
    options: str = ""
    every: int = 1

    @property
    def file_name(self) -> str:
        """Name of its weights, without an ending: not that of a collection, whose list is beside it."""
        return f"with-{self.name}".replace(" ", "-").replace(",", "")


BASE = Addition("base")
"""MUSDB18 alone, with channels swapped and polarity reversed at random."""

ADDITIONS = (
    BASE,
    Addition("another seed", options="--seed 2"),
    Addition("half of the songs", every=2),
    Addition("a quarter of the songs", every=4),
    Addition("free", "free*2"),
    Addition("bands", "bands electronic"),
    Addition("single sources", "drummers loops basses guitars pianos singers", "levels"),
    Addition("single sources, own levels", "drummers loops basses guitars pianos singers"),
    Addition("speed", augment="speed"),
    Addition("pitch", augment="pitch"),
    Addition("equalise", augment="equalise"),
    Addition("compress", augment="compress"),
    Addition("reverb", augment="reverb"),
    Addition("master", augment="master"),
    Addition("lowpass", augment="lowpass"),
    Addition("pauses", augment="pauses"),
    Addition("codec", augment="codec"),
    Addition("remix 0.6", options="--remix 0.6"),
    Addition("remix 0.1", options="--remix 0.1"),
    Addition("mixup", options="--mixup 0.2"),
    Addition("dropout", options="--dropout 0.1"),
)
"""The runs; the second differs from the base by chance alone, so smaller differences than its own mean nothing."""


def stage_of(addition: Addition, steps: int) -> recipe.Stage:
    """Return the run of an addition."""
    augment = ",".join(filter(None, ("swap,polarity", addition.augment)))
    options = (
        f"--steps {steps} --optimizer muon --learning-rate 2e-3 --warmup 30 --cooldown 0.5 --gain 4 "
        f"--source-dropout 0.05 --remix 0.35 --augment {augment} --threads 1 {addition.options}"
    )
    return recipe.Stage(addition.file_name, 0, f"{list_of(addition.every)}*12 {addition.songs}", options)


def list_of(every: int) -> str:
    """Return the name of the list of every so many-th song of MUSDB18."""
    return "musdb" if every == 1 else f"musdb-{every}"


def compared(runs: Mapping[str, Sequence[Score]]) -> str:
    """Return a Markdown table of what every run scores more than the first one, in dB.

    The figures of stems are medians over the songs, because one song with hardly any drums can have -14 dB in them, and
    would decide a mean. The mean is that of the stems. At the end is the number of songs that gained on average over
    their stems. How much runs differ by chance is not in it.
    """
    base, *_ = runs.values()
    stems = [*dict.fromkeys(score.stem for score in base)]
    songs = [*dict.fromkeys(score.song for score in base)]
    before = {(score.song, score.stem): score.sdr for score in base}
    lines = [f"| SDR in dB | {' | '.join(stems)} | mean | songs that gain |", "|---" * (len(stems) + 3) + "|"]
    for name, found in runs.items():
        is_base = found is base
        gains = [replace(score, sdr=score.sdr - (0 if is_base else before[score.song, score.stem])) for score in found]
        medians = [median(score.sdr for score in gains if score.stem == stem) for stem in stems]
        figures = [f"{figure:{'' if is_base else '+'}.2f}" for figure in (*medians, fmean(medians))]
        better = sum(fmean(score.sdr for score in gains if score.song == song) > 0 for song in songs)
        last = "" if is_base else f" {better} of {len(songs)}"
        lines.append(f"| {name} | {' | '.join(figures)} |{last} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.additions`; the exit status is that of the run that failed."""
    parser = argparse.ArgumentParser(PROGRAM, description="Measure what each addition to the training is worth.")
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="folder with musdb18-7s, songs ...")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder for all results")
    parser.add_argument("--fold", type=fold_argument, required=True, metavar="INDEX/COUNT", help="songs to measure on")
    parser.add_argument("--steps", type=int, default=600, help="steps of each run (default: 600)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at once, each on a core (default: 1)")
    parser.add_argument("--only", help="some of the runs, separated by semicolons; all are compared with the first")
    args = parser.parse_args(arguments)
    known = {addition.name: addition for addition in ADDITIONS}
    chosen = dict.fromkeys(name.strip() for name in args.only.split(";")) if args.only else known
    if unknown := chosen.keys() - known.keys():
        parser.error(f"no addition {', '.join(sorted(unknown))}; there are {'; '.join(known)}")
    if args.jobs < 1:
        parser.error("--jobs must be at least 1")
    folder: Path = args.output
    starter = registry.find("starter")
    entry = replace(starter, config={"num_stems": len(starter.stems), "members": [dict(SMALL)]})

    def made(addition: Addition) -> int:
        return recipe.run(recipe.trained(stage_of(addition, args.steps), songs, None), folder)

    try:
        folder.mkdir(parents=True, exist_ok=True)
        recipe.keep_apart(folder, recipe.songs_without(args.fold))
        with replacing(folder / recipe.NETWORKS) as file:
            file.write("\n".join(map(as_toml, recipe.networks(entry))).encode())
        songs = {path.stem: path for path in material.write_lists(args.audio, folder, args.fold)}
        multitracks(songs["fold"])  # fails if it has none, now rather than after all runs
        runs = [known[name] for name in chosen]
        for every in {addition.every for addition in runs}:
            songs[list_of(every)] = folder / f"{list_of(every)}.csv"
            material.write(songs[list_of(every)], multitracks(songs["musdb"])[::every])
        with ThreadPoolExecutor(args.jobs) as jobs:
            if status := next(filter(None, jobs.map(made, runs)), 0):
                return status
        weights = {run.name: folder / f"{run.file_name}.safetensors" for run in runs}
        found = {name: [*scores.measured(args.audio, str(path), args.fold)] for name, path in weights.items()}
    except (OSError, StemsplitError) as error:
        print(error, file=sys.stderr)
        return 1
    print(compared(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())

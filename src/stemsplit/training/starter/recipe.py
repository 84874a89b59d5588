"""Trains the built-in model anew, in all its stages: `python -m stemsplit.training.starter.recipe AUDIO -o FOLDER`."""

import argparse
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from stemsplit import registry
from stemsplit.disk import move, read_text, replacing
from stemsplit.errors import AudioError, StemsplitError
from stemsplit.fast.device import native_bfloat16
from stemsplit.registry import ModelEntry, as_toml
from stemsplit.training.starter import ensemble, fingerprints, material, midi, scores
from stemsplit.training.starter.folds import Fold, fold_argument

COMMON = "--loss sdr --batch-size 4 --seconds 3 --ema-decay 0.998 --compile"
"""Options of all stages."""

PRECISION = "bf16" if torch.cuda.is_available() or native_bfloat16() else "fp32"
"""bfloat16 where the machine supports it, as it did when the built-in model was trained."""


@dataclass(frozen=True)
class Stage:
    """One run of `stemsplit train`.

    Args:
        name: name of the weights that it writes.
        begin: the stage whose weights it begins with, or the index of the starter's member that it trains from scratch.
        songs: names of the collections to draw from, those of `material` and `midi`; `musdb*4` is drawn from four times
            as often as `free`.
        options: options of the command, besides `COMMON`.
    """

    name: str
    begin: str | int
    songs: str
    options: str


STAGES = (
    Stage(
        "first",
        0,
        "musdb*4 free",
        "--steps 5400 --learning-rate 1e-3 --cooldown 0.4 --gain 6 --source-dropout 0.05 --remix 0.6 "
        "--augment swap,polarity",
    ),
    Stage(
        "second",
        "first",
        "musdb*8 free singers midi*2",
        "--steps 600 --learning-rate 6e-4 --warmup 30 --gain 6 --source-dropout 0.05 --remix 0.75 --mixup 0.15 "
        "--augment speed,swap,polarity,equalise",
    ),
    Stage(
        "third",
        "second",
        "musdb*10 free singers",
        "--steps 2100 --learning-rate 5e-4 --warmup 20 --cooldown 1 --gain 4 --source-dropout 0.04 --remix 0.5 "
        "--augment speed,swap,polarity --seed 1",
    ),
    Stage(
        "fourth",
        "third",
        "musdb*10 free singers",
        "--steps 3300 --optimizer muon --learning-rate 1e-3 --warmup 30 --cooldown 0.8 --gain 4 --source-dropout 0.04 "
        "--remix 0.25 --augment speed,swap,polarity --seed 12",
    ),
    Stage(
        "fifth",
        "fourth",
        "musdb*10 free singers",
        "--steps 4100 --optimizer muon --learning-rate 1e-3 --warmup 30 --cooldown 0.9 --gain 4 --source-dropout 0.04 "
        "--remix 0.25 --augment speed,swap,polarity --seed 31",
    ),
    Stage(
        "sudormrf",
        "fifth",
        "musdb*12 free*2 bands electronic singers",
        "--steps 1900 --optimizer muon --learning-rate 7e-4 --warmup 30 --cooldown 0.9 --gain 4 --source-dropout 0.04 "
        "--remix 0.25 --augment speed,swap,polarity,pitch,levels,lowpass,pauses --seed 41",
    ),
    Stage(
        "large",
        1,
        "musdb*12 free*2 bands electronic drummers loops basses guitars pianos singers",
        "--steps 6400 --optimizer muon --learning-rate 2e-3 --warmup 100 --cooldown 0.5 --ema-decay 0.999 "
        "--weight-decay 0.05 --gain 4 --source-dropout 0.05 --remix 0.35 --augment speed,swap,polarity,pitch,levels "
        "--seed 24",
    ),
    Stage(
        "large-2",
        "large",
        "musdb*12 free*2 bands electronic drummers loops basses guitars pianos singers",
        "--steps 5000 --optimizer muon --learning-rate 2e-3 --warmup 100 --cooldown 0.5 --ema-decay 0.999 "
        "--weight-decay 0.05 --gain 4 --source-dropout 0.05 --remix 0.35 "
        "--augment speed,swap,polarity,pitch,levels,lowpass,pauses --seed 25",
    ),
    Stage(
        "roformer",
        "large-2",
        "musdb*12 free*2 bands electronic drummers loops basses guitars pianos singers",
        "--steps 3400 --optimizer muon --learning-rate 1.7e-3 --warmup 60 --cooldown 0.8 --ema-decay 0.999 "
        "--weight-decay 0.05 --gain 4 --source-dropout 0.05 --remix 0.35 "
        "--augment speed,swap,polarity,pitch,levels,lowpass,pauses --seed 26",
    ),
)
"""All stages, in order. Their scores are in the README beside this file."""

MEMBERS = ("sudormrf", "roformer")
"""The stages whose weights become the starter's members, in the order of the members."""

BITS = 5
"""Bits per weight in the starter's file."""

SCORES = "scores.csv"
"""Name of the file of what a fold's songs score."""

BEGUN_WITH = "begun-with.txt"
"""Name of the file that says what the weights in a folder were trained on."""

INTERRUPTED = 130
"""Exit status of a program that Ctrl-C ended."""

NETWORKS = "networks.toml"
"""Name of the registry file with an entry for each member."""


def networks(starter: ModelEntry) -> list[ModelEntry]:
    """Return an entry for each member of an ensemble: an ensemble of that one, so that it gets the same channels."""
    return [
        replace(
            starter,
            name=f"member-{number}",
            description="",
            config={"num_stems": starter.config["num_stems"], "members": [{**table, "share": 1.0}]},
            sources=(f"file:member-{number}.safetensors",),
            sha256="",
            size=0,
            training_data="",
            score={},
        )
        for number, table in enumerate(starter.config["members"])
    ]


def repeated(songs: str) -> list[str]:
    """Return the names of collections, each as often as a stage says: `musdb*2 free` is musdb, musdb and free."""
    parts = [part.partition("*") for part in songs.split()]
    return [name for name, _, times in parts for _ in range(int(times or 1))]


def trained(stage: Stage, songs: Mapping[str, Path], validation: Path | None) -> list[str]:
    """Return the arguments of the command that trains a stage; it runs in the folder with the weights of all stages."""
    if isinstance(stage.begin, int):
        begin = ["--registry", NETWORKS, "--like", f"member-{stage.begin}"]
    else:
        begin = ["--from", f"{stage.begin}.safetensors"]
    data = [str(songs[name].resolve()) for name in repeated(stage.songs)]
    measured = ["--validation", str(validation.resolve())] if validation else []
    out = ["-o", f"{stage.name}.safetensors", "--precision", PRECISION]
    return ["train", *data, *begin, *measured, *out, *COMMON.split(), *stage.options.split()]


def run(arguments: Sequence[str], folder: Path) -> int:
    """Run `stemsplit` with these arguments in a folder, in a process of its own; return its exit status.

    Ctrl-C at a terminal reaches that process too. It is waited for, because `stemsplit train` then saves its weights.
    """
    with subprocess.Popen([sys.executable, "-m", "stemsplit", *arguments], cwd=folder) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            return process.wait() or INTERRUPTED


def songs_without(fold: Fold | None) -> str:
    """Say which songs are trained on."""
    return f"all folds but {fold}" if fold else "all songs"


def keep_apart(folder: Path, learned: str, option: str = "--output") -> None:
    """Note in a folder what is trained on there, so that no run resumes from weights that learned from other songs.

    Args:
        folder: folder for results.
        learned: what is trained on, in words.
        option: option that names the folder.

    Raises:
        StemsplitError: the folder was begun with something else.
        OSError: the note cannot be written.
    """
    note = folder / BEGUN_WITH
    if note.exists() and (before := read_text(note).strip()) != learned:
        raise StemsplitError(f"{folder} was begun with {before}, not with {learned}; use that, or another {option}")
    with replacing(note) as file:
        file.write(f"{learned}\n".encode())


def rendered(folder: Path, midi_folder: Path, sound_font: Path) -> int:
    """Render MIDI songs into a folder, unless it exists; the exit status is 0 if it exists in the end."""
    if folder.exists():
        return 0
    part = folder.with_name(f"{folder.name}.partial")
    status = midi.main([str(midi_folder), "-o", str(part), "--sound-font", str(sound_font), "--seed", "1"])
    # One of many songs may be damaged. That was reported, and the others were rendered.
    if not part.exists():
        return status or 1
    move(part, folder)
    return 0


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments of the command."""
    program = "python -m stemsplit.training.starter.recipe"
    parser = argparse.ArgumentParser(program, description="Train the built-in model.")
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="folder with musdb18-7s, songs ...")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder for all results")
    parser.add_argument("--midi", type=Path, metavar="FOLDER", help="folder to search for .mid files")
    parser.add_argument("--sound-font", type=Path, metavar="FILE", help="sound font to play them with")
    apart = parser.add_mutually_exclusive_group()
    apart.add_argument("--validation", type=Path, metavar="FOLDER", help="songs to measure every stage on")
    fold_help = "fold of the songs to measure on, and not to train on"
    apart.add_argument("--fold", type=fold_argument, metavar="INDEX/COUNT", help=fold_help)
    args = parser.parse_args(words)
    if any("midi" in repeated(stage.songs) for stage in STAGES) and not (args.midi and args.sound_font):
        parser.error("a stage needs --midi and --sound-font")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.recipe`; the exit status is that of the stage that failed.

    Started again, it resumes where it was.
    """
    args = arguments_of(arguments)
    folder: Path = args.output
    starter = registry.find("starter")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        keep_apart(folder, songs_without(args.fold))
        with replacing(folder / NETWORKS) as file:
            file.write("\n".join(map(as_toml, networks(starter))).encode())
        songs = {path.stem: path for path in material.write_lists(args.audio, folder, args.fold)}
        if args.validation:
            index = fingerprints.index_of([args.validation])
            if found := list(fingerprints.shared(args.audio, material.COLLECTIONS, index)):
                raise AudioError("; ".join(found))
    except (OSError, StemsplitError) as error:
        print(error, file=sys.stderr)
        return 1
    if args.midi:
        songs["midi"] = folder / "midi"
        if status := rendered(songs["midi"], args.midi, args.sound_font):
            return status
    for stage in STAGES:
        print(f"{stage.name}:", flush=True)
        if status := run(trained(stage, songs, songs.get("fold", args.validation)), folder):
            return status
    shares = ",".join(str(member["share"]) for member in starter.config["members"])
    options = ["--shares", shares, "--wiener", str(starter.config["wiener"]), "--bits", str(BITS)]
    *members, made = (str(folder / f"{name}.safetensors") for name in (*MEMBERS, "starter"))
    status = ensemble.main([*members, "-o", made, *options, "--facts-of", "starter"])
    if status or not args.fold:
        return status
    # What a stage kept was chosen on these songs, so the table is a little too good.
    return scores.main([str(args.audio), f"{args.fold}={made}", "-o", str(folder / SCORES)])


if __name__ == "__main__":
    sys.exit(main())

"""Packs music and weights for training on another machine: `python -m stemsplit.training.starter.pack AUDIO -o FOLDER`.

The folder holds all that a run needs besides an installed stemsplit, within a given size: recordings (Opus), lists that
name them relative to the folder, weights or entries to train from scratch, and `train.sh`, which calls `packed.py`.
"""

import argparse
import math
import os
import shlex
import sys
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath

from stemsplit import registry
from stemsplit.checkpoints.describe import describe
from stemsplit.checkpoints.loading import load_network
from stemsplit.choices import WeightBits
from stemsplit.disk import make_below, move, replacing
from stemsplit.errors import AudioError, RegistryError, StemsplitError, WeightsError
from stemsplit.evaluation.multitracks import Multitrack
from stemsplit.training import result
from stemsplit.training.starter import material, recipe
from stemsplit.training.starter.coding import Recording, encode
from stemsplit.training.starter.folds import Fold, divided, fold_argument
from stemsplit.words import counted

PROGRAM = "python -m stemsplit.training.starter.pack"

SONGS = "musdb*12 free*2 bands electronic drummers loops basses guitars pianos singers"
"""Collections to draw from, written as in `recipe.Stage`."""

SONGS_HELP = f"collections to draw from; default: {SONGS}"

PRECIOUS = {"musdb": 2.0}
"""Collection -> its bitrate over that of the others."""

AUDIO, WEIGHTS, FOLD = "audio", "weights", "fold.csv"
"""Names in a pack: the folders of recordings and weights, the list of songs to validate on."""

TRAIN = """#!/bin/sh
# Trains the networks of this pack with the stemsplit that is installed. For ten minutes on a large GPU:
#     sh train.sh -o results --minutes 10 --batch-size 32
exec "${{PYTHON:-python3}}" -m stemsplit.training.starter.packed "$(dirname "$0")" --songs {songs} "$@"
"""


def add_weights(files: Sequence[Path], folder: Path, bits: int) -> None:
    """Copy weights into a folder, with `bits` bits per weight.

    Raises:
        WeightsError: a file cannot be read or written, or two have the same name.
        RegistryError: what a file says of its network is invalid.
    """
    if twice := [name for name, count in Counter(path.stem for path in files).items() if count > 1]:
        raise WeightsError(f"two of the weights are named {twice[0]}; rename one")
    folder.mkdir()
    for path in files:
        entry = describe(path).entry
        result.save(load_network(entry), entry, folder / f"{path.stem}.safetensors", bits=bits)


def write(path: Path, text: str) -> None:
    """Write a text file whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    with replacing(path) as file:
        file.write(text.encode())


def copies(
    collections: Mapping[str, Sequence[Multitrack]], folder: Path, suffix: str
) -> list[tuple[str, Multitrack, str, Path]]:
    """Write lists of songs whose stems are to be copied into a folder.

    The music may not be published, so Git ignores the folder.

    Args:
        collections: songs of each list, by its name.
        folder: folder for the lists, made if it does not exist; the copies are in `AUDIO` below it.
        suffix: suffix of the copies.

    Returns:
        For each stem: name of the list, song, name of the stem, file of the copy.

    Raises:
        OSError: a list or the folder cannot be written, or what has the name of `AUDIO` is a link.
    """
    make_below(folder, PurePath(AUDIO))
    write(folder / ".gitignore", "*\n")
    found: list[tuple[str, Multitrack, str, Path]] = []
    for name, songs in collections.items():
        listed = []
        for song in songs:
            # Numbered, because no name of a song suits every machine.
            files = {stem: folder / AUDIO / f"{len(found) + n}{suffix}" for n, stem in enumerate(song.stems)}
            found += [(name, song, stem, file) for stem, file in files.items()]
            listed.append(Multitrack(song.name, files))
        material.write(folder / f"{name}.csv", listed, relative=True)
    return found


def songs_of(audio: Path, names: Sequence[str], fold: Fold | None) -> dict[str, list[Multitrack]]:
    """Return the songs of collections. The songs of a fold are not among them, but in `fold`.

    Raises:
        AudioError: a folder is missing or empty, or the fold leaves nothing of a collection or has no songs.
    """
    if not fold:
        return {name: material.collection(name, audio) for name in names}
    # What is in a fold depends on all collections.
    songs = {name: material.collection(name, audio) for name in material.COLLECTIONS}
    kept, apart = divided(songs, material.WITH_SONGS, fold)
    if empty := [name for name in names if not kept[name]]:
        raise AudioError(f"all songs of {empty[0]} are in the fold {fold}; name other --songs, or another fold")
    if not any(apart.values()):
        raise AudioError(f"no song is in the fold {fold}; choose another, or fewer folds")
    return {name: kept[name] for name in names} | {"fold": [song for group in apart.values() for song in group]}


def fill(folder: Path, args: argparse.Namespace) -> str:
    """Write a pack into an empty folder, and say what it holds.

    Raises:
        StemsplitError: something cannot be read or written, or does not fit.
        OSError: a file cannot be written.
    """
    write(folder / "train.sh", TRAIN.format(songs=shlex.quote(args.songs)))
    if args.weights:
        add_weights(args.weights, folder / WEIGHTS, args.bits)
    else:
        starter = recipe.networks(registry.find(registry.DEFAULT_MODEL))
        entries = [*registry.read(args.networks).values()] if args.networks else starter
        if not entries:
            raise RegistryError(f"{args.networks} has no networks")
        write(folder / recipe.NETWORKS, "\n".join(map(registry.as_toml, entries)))
    songs = songs_of(args.audio, [*dict.fromkeys(recipe.repeated(args.songs))], args.fold)
    recordings = [
        Recording.examined(song, stem, path, PRECIOUS.get(name, 1.0))
        for name, song, stem, path in copies(songs, folder, ".opus")
    ]
    others = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    encode(recordings, args.megabytes * 1e6 - others)
    told, size = [], others
    for share in sorted({recording.share for recording in recordings}, reverse=True):
        part = [recording for recording in recordings if recording.share == share]
        coded = sum(recording.path.stat().st_size for recording in part)
        each = coded / 125 / max(sum(recording.channels * recording.seconds for recording in part), 1e-3)
        told.append(f"{counted(len(part), 'recording')} at {each:.1f} kbit/s a channel")
        size += coded
    return f"{size / 1e6:.2f} MB, {' and '.join(told)}"


def songs_argument(text: str) -> str:
    """Check names of collections on a command line, where `argparse` shows the message of no other error."""
    try:
        names = recipe.repeated(text)
    except ValueError:
        names = []
    if not names or {*names} - {*material.COLLECTIONS}:
        example = "write such as 'musdb*12 free singers'"
        raise argparse.ArgumentTypeError(f"{text!r} must name some of {', '.join(material.COLLECTIONS)}; {example}")
    return text


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments of the command."""
    parser = argparse.ArgumentParser(PROGRAM, description="Pack music and weights for training on another machine.")
    parser.add_argument("audio", type=Path, metavar="AUDIO", help="folder with musdb18-7s, songs ...")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder to make")
    begin = parser.add_mutually_exclusive_group()
    begin.add_argument(
        "--from", dest="weights", nargs="+", type=Path, default=[], metavar="WEIGHTS", help="weights to train on"
    )
    begin.add_argument(
        "--networks",
        type=Path,
        metavar="FILE.toml",
        help="registry file whose networks are trained from scratch; default: the starter's",
    )
    bits = [*map(int, WeightBits)]
    parser.add_argument("--bits", type=int, choices=bits, default=8, help="bits per weight in the pack; default: 8")
    parser.add_argument("--songs", type=songs_argument, default=SONGS, help=SONGS_HELP)
    parser.add_argument("--fold", type=fold_argument, metavar="INDEX/COUNT", help="fold to leave out and validate on")
    parser.add_argument("--megabytes", type=float, default=36.0, help="largest size of the folder in MB; default: 36")
    args = parser.parse_args(words)
    if not 0 < args.megabytes < math.inf:
        parser.error("--megabytes must be above 0")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.pack`; the exit status is 1 if the pack cannot be made."""
    args = arguments_of(arguments)
    folder: Path = args.output.absolute()
    try:
        if os.path.lexists(folder):
            raise StemsplitError(f"{folder} exists; remove it, or choose another --output")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(".partial", f".{folder.name}.", folder.parent) as made:
            part = Path(made) / folder.name
            part.mkdir()
            held = fill(part, args)
            move(part, folder)
    except (OSError, StemsplitError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"{folder}: {held}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

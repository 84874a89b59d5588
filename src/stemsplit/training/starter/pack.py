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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from stemsplit import registry
from stemsplit.audio import Format, Reader, Writer, layout
from stemsplit.checkpoints.describe import describe
from stemsplit.checkpoints.loading import load_network
from stemsplit.choices import FormatName, WeightBits
from stemsplit.disk import move
from stemsplit.errors import AudioError, StemsplitError, WeightsError
from stemsplit.evaluation.multitracks import Multitrack
from stemsplit.fast.cpu.pool import cores
from stemsplit.training import result
from stemsplit.training.starter import material, recipe
from stemsplit.training.starter.folds import Fold, divided, fold_argument
from stemsplit.words import counted

PROGRAM = "python -m stemsplit.training.starter.pack"

SONGS = "musdb*12 free*2 bands electronic drummers loops basses guitars pianos singers"
"""Collections to draw from, written as in `recipe.Stage`."""

SONGS_HELP = f"collections to draw from; default: {SONGS}"

PRECIOUS = {"musdb": 2.0}
"""Collection -> its bitrate over that of the others."""

LEAST, MOST = 8.0, 128.0
"""Lowest and highest bitrate in kbit/s for each channel."""

SLICES = 17
"""Number of slices of the recordings that get a bitrate each. A prime, so that no slice has only basses."""

TRIES = 6
"""Most times that a slice is encoded until it has its share of the budget."""

AUDIO, WEIGHTS, FOLD = "audio", "weights", "fold.csv"
"""Names in a pack: the folders of recordings and weights, the list of songs to validate on."""

TRAIN = """#!/bin/sh
# Trains the networks of this pack with the stemsplit that is installed. For ten minutes on a large GPU:
#     sh train.sh -o results --minutes 10 --batch-size 32
exec "${{PYTHON:-python3}}" -m stemsplit.training.starter.packed "$(dirname "$0")" --songs {songs} "$@"
"""


def chosen(reader: Reader) -> list[int]:
    """Return the indices of a file's channels that are packed: the two that are trained on, or the only one."""
    return layout(reader.channels, 2, reader.speakers)[:2] if reader.channels > 1 else [0]


@dataclass(frozen=True)
class Recording:
    """A stem to pack.

    Args:
        song: the song that it belongs to.
        stem: its name in that song.
        path: file to write.
        share: its bitrate over that of the others.
        channels: number of channels that are packed.
        seconds: length in seconds.
    """

    song: Multitrack
    stem: str
    path: Path
    share: float
    channels: int
    seconds: float

    @classmethod
    def examined(cls, song: Multitrack, stem: str, path: Path, share: float) -> "Recording":
        """Return a recording with the channels and the length that its file says.

        Raises:
            AudioError: the file cannot be read.
        """
        with song.open(stem) as reader:
            # Some headers do not hold the length.
            frames = sum(block.shape[1] for block in reader) if reader.frames is None else reader.frames
            return cls(song, stem, path, share, len(chosen(reader)), frames / reader.sample_rate)

    def bitrate(self, kbit: float) -> int:
        """Return its bitrate in kbit/s; `kbit` is that of a channel of other recordings."""
        return round(min(max(kbit * self.share, LEAST), MOST) * self.channels)

    def encode(self, kbit: float) -> int:
        """Write the file, and return its size in bytes.

        Raises:
            AudioError: a file cannot be read or written.
        """
        with self.song.open(self.stem) as reader:
            opus = Format(FormatName.opus, bitrate=str(self.bitrate(kbit)))
            writer = Writer(self.path, opus, reader.sample_rate, self.channels, 0)
            try:
                for block in reader:
                    writer.write(block[chosen(reader)])
                writer.close()
            finally:
                writer.abandon()
        return writer.size


def encode(recordings: Sequence[Recording], budget: float) -> None:
    """Write all recordings, at a bitrate at which they take nearly `budget` bytes, and no more.

    Slice by slice, each with the bitrate that what is left of the budget allows by the sizes so far: so most recordings
    are encoded only once.

    Raises:
        AudioError: a file cannot be read or written, or the lowest bitrate is too high.
    """

    def nominal(part: Sequence[Recording], kbit: float) -> float:
        return max(sum(125 * recording.bitrate(kbit) * recording.seconds for recording in part), 1.0)

    slices = [recordings[first::SLICES] for first in range(min(SLICES, len(recordings)))]
    kbit, used, left = MOST, 1.0, budget
    with ThreadPoolExecutor(cores()) as pool:
        for number, part in enumerate(slices):
            rest = [recording for later in slices[number:] for recording in later]
            for _ in range(TRIES):
                kbit = min(max(kbit * 0.99 * left / (used * nominal(rest, kbit)), LEAST), MOST)
                size = sum(pool.map(partial(Recording.encode, kbit=kbit), part))
                used = size / nominal(part, kbit)
                share = left * nominal(part, kbit) / nominal(rest, kbit)
                fits = size <= (1.1 * share if number < len(slices) - 1 else left)
                if fits and (size > 0.9 * share or kbit == MOST):
                    break
            if not fits:
                raise AudioError(
                    f"the recordings do not fit into {max(budget, 0) / 1e6:.1f} MB at {LEAST:.0f} kbit/s a channel; "
                    "raise --megabytes, or name fewer --songs"
                )
            left -= size


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


def copies(
    collections: Mapping[str, Sequence[Multitrack]], folder: Path, suffix: str
) -> list[tuple[str, Multitrack, str, Path]]:
    """Write lists of songs whose stems are to be copied into a folder.

    Args:
        collections: songs of each list, by its name.
        folder: folder for the lists; the copies are in `AUDIO` below it, which is made.
        suffix: suffix of the copies.

    Returns:
        For each stem: name of the list, song, name of the stem, file of the copy.

    Raises:
        OSError: a list or the folder cannot be written.
    """
    (folder / AUDIO).mkdir(parents=True, exist_ok=True)
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
        AudioError: a folder is missing or empty.
    """
    if not fold:
        return {name: material.collection(name, audio) for name in names}
    # What is in a fold depends on all collections.
    songs = {name: material.collection(name, audio) for name in material.COLLECTIONS}
    kept, apart = divided(songs, material.WITH_SONGS, fold)
    return {name: kept[name] for name in names} | {"fold": [song for group in apart.values() for song in group]}


def fill(folder: Path, args: argparse.Namespace) -> str:
    """Write a pack into an empty folder, and say what it holds.

    Raises:
        StemsplitError: something cannot be read or written, or does not fit.
        OSError: a file cannot be written.
    """
    # The music may not be published: no `git add` takes it.
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    (folder / "train.sh").write_text(TRAIN.format(songs=shlex.quote(args.songs)), encoding="utf-8", newline="\n")
    if args.weights:
        add_weights(args.weights, folder / WEIGHTS, args.bits)
    else:
        starter = recipe.networks(registry.find(registry.DEFAULT_MODEL))
        entries = registry.read(args.networks).values() if args.networks else starter
        (folder / recipe.NETWORKS).write_text("\n".join(map(registry.as_toml, entries)), encoding="utf-8")
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
    parser.add_argument("--megabytes", type=float, default=36.0, help="largest size of the folder; default: 36")
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

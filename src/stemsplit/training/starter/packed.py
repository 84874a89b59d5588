"""Trains the networks of a pack within a given time: `python -m stemsplit.training.starter.packed PACK -o FOLDER`.

The first part of each network's time shows how fast its steps are. As many are then planned as there is time for, so
that the learning rate falls to zero just before the end.
"""

import argparse
import hashlib
import math
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from stemsplit import registry
from stemsplit.audio import WAV, Writer, resampled
from stemsplit.choices import WeightBits
from stemsplit.disk import move, replacing
from stemsplit.errors import StemsplitError
from stemsplit.evaluation.multitracks import Multitrack, multitracks
from stemsplit.fast.cpu.pool import cores
from stemsplit.training.reports import RunFile
from stemsplit.training.starter import recipe
from stemsplit.training.starter.pack import FOLD, SONGS, SONGS_HELP, WEIGHTS, copies, songs_argument

PROGRAM = "python -m stemsplit.training.starter.packed"

OPTIONS = (
    "--loss sdr --seconds 3 --ema-decay 0.998 --optimizer muon --learning-rate 1e-3 --warmup 30 --cooldown 0.9 "
    "--gain 4 --source-dropout 0.04 --remix 0.35 --augment speed,swap,polarity,equalise"
)
"""Options of `stemsplit train`, much as in the last stages of the recipe."""

ENDLESS = 10_000_000
"""Number of steps that no run comes to."""

TRIAL, TRIALS, TRIAL_REPORTS = 0.15, 3, 25
"""Share of a network's time in which its steps are timed, largest number of such trials, steps between reports."""

SAFE = 0.95
"""Number of steps that are planned over the number for which there seems to be time."""

REPORTS = 4
"""Reports after the trial, each with a validation if there is a fold."""


def decode(song: Multitrack, stem: str, path: Path) -> None:
    """Write a stem as WAV, at the sample rate of the starter's networks.

    Raises:
        AudioError: it cannot be read or written.
    """
    with song.open(stem) as reader:
        rate = registry.find(registry.DEFAULT_MODEL).sample_rate
        writer = Writer(path, WAV, rate, reader.channels, 0)
        try:
            for block in resampled(reader, reader.sample_rate, rate):
                writer.write(block)
            writer.close()
        finally:
            writer.abandon()


def unpack(lists: Sequence[Path], folder: Path) -> list[Path]:
    """Decode the recordings of lists on all cores: each start of `stemsplit train` would do it on one.

    Args:
        lists: lists of songs.
        folder: folder for the recordings and the new lists.

    Returns:
        The new lists.

    Raises:
        AudioError: a list or a recording cannot be read, or a recording not be written.
        OSError: a folder or a list cannot be written.
    """
    jobs = copies({path.stem: multitracks(path) for path in lists}, folder, WAV.suffix)
    # Another run may read or decode the same recordings now; and a link here may be anybody's.
    with tempfile.TemporaryDirectory(dir=folder) as part, ThreadPoolExecutor(cores()) as pool:

        def replaced(song: Multitrack, stem: str, path: Path) -> None:
            decode(song, stem, Path(part, path.name))
            move(Path(part, path.name), path)

        for _ in pool.map(replaced, *list(zip(*jobs, strict=True))[1:]):
            pass
    return [folder / path.name for path in lists]


def networks(pack: Path) -> dict[str, list[str]]:
    """Return the name of each network of a pack, and the options with which `stemsplit train` begins with it.

    Raises:
        RegistryError: the entries of the networks cannot be read.
    """
    if files := sorted((pack / WEIGHTS).glob("*.safetensors")):
        return {file.stem: ["--from", str(file)] for file in files}
    entries = pack / recipe.NETWORKS
    return {name: ["--registry", str(entries), "--like", name] for name in registry.read(entries)}


def identity(pack: Path) -> str:
    """Name a pack by the lists, entries and weights that it holds.

    Raises:
        OSError: one of them cannot be read.
    """
    files = [*pack.glob("*.csv"), *pack.glob(recipe.NETWORKS), *(pack / WEIGHTS).glob("*")]
    digest = hashlib.sha256()
    for path in sorted(files):
        digest.update(path.name.encode() + hashlib.sha256(path.read_bytes()).digest())
    return f"the pack {digest.hexdigest()[:12]}"


def seconds_per_step(reports: Sequence[tuple[int, float]]) -> float:
    """Return the time of a step in seconds, by two or more reports: number of steps, and seconds that they took.

    It is that of the fastest stretch, because others hold the compiling of the network.
    """
    stretches = [(last - first, max(late - early, 0.1)) for (first, early), (last, late) in pairwise(reports)]
    long = [
        stretch for stretch in stretches if stretch[0] >= TRIAL_REPORTS // 2
    ]  # times are given in tenths of a second
    return min(seconds / steps for steps, seconds in long or stretches)


@dataclass(frozen=True)
class Training:
    """The training of one network.

    Args:
        name: its name.
        options: options of `stemsplit train`, and the lists to draw from.
        fold: list of the songs to validate on, if there is one.
        work: folder for its checkpoint.
    """

    name: str
    options: Sequence[str]
    fold: Path | None
    work: Path

    def run(self, until: float, steps: int, report_every: int, validated: bool = True) -> int:
        """Train up to a number of steps, or until a value of `time.monotonic`; return the exit status."""
        limits = {"--minutes": (until - time.monotonic()) / 60, "--steps": steps, "--report-every": report_every}
        words = ["train", *self.options, "-o", f"{self.name}.safetensors"]
        words += [str(word) for name, limit in limits.items() for word in (name, max(limit, 0))]
        words += ["--validation", str(self.fold)] if self.fold and validated else []
        return recipe.run(words, self.work)

    def reports(self) -> list[tuple[int, float]]:
        """Return the reports so far: number of steps, and seconds that they took.

        Raises:
            StemsplitError: the file of the reports cannot be read.
        """
        log = RunFile(self.work / f"{self.name}.csv")
        while log.path.with_suffix(".training.pt").exists() and log.read():
            pass
        if "seconds" not in log.columns:
            return []
        place = log.columns.index("seconds") + 1
        return [(int(row[0]), row[place]) for row in log.points if math.isfinite(row[place])]

    def planned(self, until: float) -> tuple[int, int]:
        """Train for a part of the time, in order to see how fast the steps are, unless earlier reports tell.

        That part is not validated, which takes time. So a run that resumes has none: `stemsplit train` would forget
        the earlier scores.

        Args:
            until: value of `time.monotonic` by which all is to end.

        Returns:
            The exit status, and the number of steps for which there is time, with those made before.

        Raises:
            StemsplitError: the file of the reports cannot be read.
        """
        began, trials = time.monotonic(), 0
        while len(made := self.reports()) < 2:
            if trials == TRIALS:
                return 0, ENDLESS
            trials += 1
            if status := self.run(time.monotonic() + TRIAL * (until - began), ENDLESS, TRIAL_REPORTS, validated=False):
                return status, 0
        each, (first, seconds), last, now = seconds_per_step(made), made[0], made[-1][0], time.monotonic()
        compiling, starting = seconds - each * first, (now - began - each * last) / max(trials, 1)
        left = until - now - max(compiling, starting, 0.0)
        return 0, last + max(int(SAFE * left / each), 1)

    def finish(self, until: float, steps: int) -> int:
        """Train up to a number of steps, or until a value of `time.monotonic`; return the exit status.

        Raises:
            StemsplitError: the file of the reports cannot be read.
        """
        made = max(self.reports(), default=(0, 0.0))[0]
        return self.run(until, steps, max(math.ceil((steps - made) / REPORTS), 1))

    def keep(self, folder: Path) -> None:
        """Copy the weights, their entry and the CSV file of the run, but not the checkpoint, which is large.

        Raises:
            OSError: a file cannot be read or written.
        """
        for suffix in (".safetensors", ".toml", ".csv"):
            with replacing(folder / f"{self.name}{suffix}") as file:
                file.write((self.work / f"{self.name}{suffix}").read_bytes())


def options_argument(text: str) -> list[str]:
    """Parse options in quotes on a command line, where `argparse` shows the message of no other error."""
    try:
        return shlex.split(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not a list of options: {error}") from error


def arguments_of(words: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments of the command."""
    parser = argparse.ArgumentParser(PROGRAM, description="Train the networks of a pack.")
    parser.add_argument("pack", type=Path, metavar="PACK", help="folder that stemsplit.training.starter.pack made")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder for the weights")
    parser.add_argument("--minutes", type=float, required=True, help="minutes that everything may take")
    parser.add_argument("--steps", type=int, help="steps of each network; default: as many as there is time for")
    parser.add_argument("--network", action="append", metavar="NAME", help="network to train; default: all, in turn")
    parser.add_argument("--songs", type=songs_argument, default=SONGS, help=SONGS_HELP)
    parser.add_argument("--batch-size", type=int, default=32, help="examples a step; default: 32")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    bits = [*map(int, WeightBits)]
    parser.add_argument(
        "--bits", type=int, choices=bits, default=16, help="bits per weight in the results; default: 16"
    )
    work = "folder for recordings and checkpoints, to resume from; default: PACK.work"
    parser.add_argument("--work", type=Path, metavar="FOLDER", help=work)
    parser.add_argument(
        "--options", type=options_argument, default=[], help="further options of `stemsplit train`, in quotes"
    )
    args = parser.parse_args(words)
    if not 0 < args.minutes < math.inf:
        parser.error("--minutes must be above 0")
    if args.steps is not None and args.steps < 1:
        parser.error("--steps must be at least 1")
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `python -m stemsplit.training.starter.packed`; the exit status is that of the training that failed.

    Started again with the same folder for checkpoints, it goes on from them, for as many minutes again.
    """
    began, args = time.monotonic(), arguments_of(arguments)
    until, pack = began + 60 * args.minutes, args.pack.resolve()
    work: Path = (args.work or pack.with_name(f"{pack.name}.work")).absolute()
    machine = {
        "cuda": f"--precision bf16 --compile --workers {max(cores() * 3 // 4, 1)}",
        "cpu": f"--precision {recipe.PRECISION}",
    }[args.device]
    common = f"{OPTIONS} {machine} --device {args.device} --batch-size {args.batch_size} --bits {args.bits}"
    try:
        begins = networks(pack)
        if unknown := {*(args.network or ())} - begins.keys():
            raise StemsplitError(f"{pack} has no network {min(unknown)}; it has {', '.join(begins)}")
        fold = [pack / FOLD] if (pack / FOLD).exists() else []
        names = recipe.repeated(args.songs)
        # Apart, because a network may have the name of a list.
        music = work / "unpacked"
        work.mkdir(parents=True, exist_ok=True)
        recipe.keep_apart(work, identity(pack), "--work")
        unpack([*(pack / f"{name}.csv" for name in dict.fromkeys(names)), *fold], music)
        args.output.mkdir(parents=True, exist_ok=True)
        left = args.network or [*begins]
        for number, name in enumerate(left):
            lists = [str(music / f"{song}.csv") for song in names]
            options = [*lists, *begins[name], *common.split(), *args.options]
            training = Training(name, options, music / FOLD if fold else None, work)
            end = time.monotonic() + (until - time.monotonic()) / (len(left) - number)
            status, steps = (0, args.steps) if args.steps else training.planned(end)
            if not status:
                status = training.finish(end, steps)
            if status:
                return status
            training.keep(args.output)
    except (OSError, StemsplitError) as error:
        print(error, file=sys.stderr)
        return 1
    print(*(args.output / f"{name}.safetensors" for name in left), sep="\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Runs `stemsplit train`."""

import math
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from stemsplit.choices import PrecisionName, WeightBits
from stemsplit.cli import choose
from stemsplit.cli.options import (
    Compile,
    Precision,
    Threads,
    complete_device,
    finite,
    listed,
    under,
    usage_errors,
    writable,
)
from stemsplit.cli.training import carry_out
from stemsplit.cli.watching import watching
from stemsplit.training.plan import AUGMENTATION_NAMES, EARLIER_NAMES, Mixing, Plan
from stemsplit.words import counted

if TYPE_CHECKING:
    from torch import nn

    from stemsplit.registry import ModelEntry

RECIPE, DATA, MACHINE = "Recipe (defaults: as published for BS-RoFormer)", "Data", "Machine"
ENTRY = "The model's entry"
"""Panels of the command's help."""


def current_name(name: str) -> str:
    """Return today's name of an option; earlier versions gave other names to some."""
    return EARLIER_NAMES.get(name, name).replace("_", "-")


def option(text: str, panel: str) -> Any:
    """Return an option with this help text in this panel."""
    return typer.Option(help=text, rich_help_panel=panel)


def count(text: str, panel: str, least: int = 0) -> Any:
    """Return an option for a whole number from `least` on."""
    return typer.Option(min=least, help=text, rich_help_panel=panel)


def number(text: str, panel: str, least: float = 0, most: float | None = None) -> Any:
    """Return an option for a finite number from `least` to `most`."""
    return typer.Option(min=least, max=most, callback=finite, help=text, rich_help_panel=panel)


def share(text: str, panel: str, most: float = 1) -> Any:
    """Return an option for a share, from 0 to `most`."""
    return number(text, panel, most=most)


def check_output(out: Path, inputs: Sequence[Path]) -> None:
    """Check that the weights, and the files beside them, can be written.

    Raises:
        typer.BadParameter: not under that name.
        StemsplitError: not into that folder.
    """
    from stemsplit.errors import StemsplitError

    folder = out.absolute().parent
    if out.suffix != ".safetensors" or not out.name.isprintable():
        raise typer.BadParameter(f"weights are written as NAME.safetensors, not {out.name}", param_hint="--output")
    if not folder.is_dir():
        raise StemsplitError(f"there is no folder {folder} to write {out.name} into")
    for written in (out, *(out.with_suffix(suffix) for suffix in (".toml", ".csv", ".training.pt"))):
        if written.is_dir():
            raise StemsplitError(f"cannot write {written}: it is a folder")
        if any(written.exists() and given.exists() and written.samefile(given) for given in inputs):
            raise typer.BadParameter(f"{written} is read, and would be overwritten", param_hint="--output")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StemsplitError(f"cannot write into {folder}: {error.strerror}") from error


def known(entry: "ModelEntry", fine_tuned: bool, quiet: bool) -> "ModelEntry":
    """Return the entry with what only its weights say of its network, if these are to be trained further.

    Raises:
        WeightsError: the model's weights cannot be obtained, or contradict the entry.
    """
    from stemsplit.checkpoints.loading import completed
    from stemsplit.cli.obtain import obtain

    if not fine_tuned or not entry.from_weights:
        return entry
    obtain(entry, quiet)
    return completed(entry)


def network_of(entry: "ModelEntry", fine_tuned: bool, quiet: bool) -> "nn.Module":
    """Return the network to train, with the model's weights or with initial ones.

    Raises:
        RegistryError: the entry's config makes no network.
        WeightsError: the model's weights cannot be obtained, or do not fit.
    """
    from stemsplit.checkpoints.loading import built, load_network
    from stemsplit.cli.obtain import obtain
    from stemsplit.training.start import start

    network = built(entry)
    if fine_tuned:
        obtain(entry, quiet)
        # Copied, because loaded weights may still lie in their file and are not marked for training.
        network.load_state_dict(load_network(entry).state_dict())
    else:
        start(network, len(entry.outputs))
    return network


def train(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA",
            help="Folders of songs, each song a folder with one file per stem (drums.wav, bass.wav ...) or a "
            ".stem.mp4; or lists of songs: CSV files with the columns song,stem,path. Examples are drawn from each "
            "equally often; name one twice to draw from it twice as often.",
            exists=True,
        ),
    ],
    out: Annotated[
        Path, typer.Option("--output", "-o", callback=writable, help="File for the weights: NAME.safetensors.")
    ],
    validation: Annotated[
        Path | None,
        typer.Option("--validation", help="Songs for validation, in the same form; never trained on.", exists=True),
    ] = None,
    like: Annotated[
        str, typer.Option(help="Train from scratch a network like this model's, with the same stems.")
    ] = "starter",
    from_: Annotated[
        str | None, typer.Option("--from", help="Fine-tune this model or checkpoint file instead.")
    ] = None,
    minutes: Annotated[
        float | None,
        typer.Option(
            min=0,
            callback=finite,
            help="Stop after this many minutes, then validate and write the weights. The same command resumes the run.",
        ),
    ] = None,
    steps: Annotated[int, count("Number of training steps.", RECIPE, 1)] = Plan.steps,
    batch_size: Annotated[int, count("Examples per step, on each device.", RECIPE, 1)] = Plan.batch_size,
    seconds: Annotated[float, number("Length of an example in seconds.", RECIPE, 0.1)] = 8.0,
    loss: Annotated[
        str, option("Loss: spectral (L1 of waveforms and complex spectrograms) or sdr (negative SDR).", RECIPE)
    ] = Plan.loss,
    optimizer: Annotated[str, option("Optimizer: adamw, or muon, which needs fewer steps.", RECIPE)] = Plan.optimizer,
    learning_rate: Annotated[float, number("Peak learning rate.", RECIPE)] = Plan.learning_rate,
    warmup: Annotated[int, count("Steps over which the learning rate rises to its peak.", RECIPE)] = Plan.warmup,
    decay: Annotated[float, share("Factor of each decay of the learning rate.", RECIPE)] = Plan.decay,
    decay_steps: Annotated[int, count("Steps between decays of the learning rate.", RECIPE, 1)] = Plan.decay_steps,
    cooldown: Annotated[
        float, share("Share of the steps, at the end, over which the learning rate falls to zero.", RECIPE)
    ] = Plan.cooldown,
    weight_decay: Annotated[float, number("Weight decay of the optimizer.", RECIPE)] = Plan.weight_decay,
    dropout: Annotated[
        float, share("Share of a RoFormer's features dropped at random, against overfitting.", RECIPE, 0.9)
    ] = Plan.dropout,
    ema_decay: Annotated[
        float, share("Decay of the moving average of the weights (EMA), per step.", RECIPE)
    ] = Plan.ema_decay,
    gain: Annotated[float, number("Largest random gain of a source, up or down, in dB.", DATA)] = Mixing.gain,
    source_dropout: Annotated[float, share("Share of sources that are silenced.", DATA)] = Mixing.source_dropout,
    remix: Annotated[float, share("Share of examples mixed from different songs.", DATA)] = Mixing.remix,
    mixup: Annotated[
        float, share("Share of stems made of two recordings, in examples mixed from different songs.", DATA)
    ] = Mixing.mixup,
    augment: Annotated[
        list[str] | None, option(f"Augmentations, separated by commas: {', '.join(AUGMENTATION_NAMES)}.", DATA)
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Random seed.", rich_help_panel=DATA)] = Plan.seed,
    memory: Annotated[
        float, number("Most memory for recordings, in GB; larger collections are read from disk.", MACHINE)
    ] = 8.0,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            "-d",
            help="Device to train on: auto, cpu, cuda, cuda:1 or mps. On several GPUs: torchrun --nproc-per-node 4 "
            "-m stemsplit train ...",
            autocompletion=complete_device,
            rich_help_panel=MACHINE,
        ),
    ] = "auto",
    precision: Annotated[PrecisionName, under(MACHINE, Precision)] = PrecisionName.auto,
    threads: Annotated[int | None, under(MACHINE, Threads)] = None,
    workers: Annotated[int, count("Number of extra processes that prepare examples; useful with a GPU.", MACHINE)] = 0,
    compile_: Annotated[bool, under(MACHINE, Compile)] = False,
    bits: Annotated[WeightBits, typer.Option(help="Bits per weight in the file.")] = WeightBits.b32,
    about: Annotated[str, option("What the model was trained on.", ENTRY)] = "",
    license_: Annotated[
        str, typer.Option("--license", help="Licence of the weights, e.g. CC-BY-4.0.", rich_help_panel=ENTRY)
    ] = "",
    author: Annotated[str, option("Who trained the model.", ENTRY)] = "",
    report_every: Annotated[
        int, typer.Option(min=1, help="Steps between checkpoints, and between validations.")
    ] = Plan.report_every,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show the run's curves in the browser, at the address that is printed.")
    ] = False,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Train a model on songs whose stems are known, or fine-tune one.

    To resume an interrupted run, start it again with the same options.
    Training writes weights that `--model` takes, an entry for models.toml,
    and a CSV file of losses and scores.
    """
    if precision == PrecisionName.int8:
        raise typer.BadParameter("int8 is too coarse to train in", param_hint="--precision")
    until = math.inf if minutes is None else time.monotonic() + 60 * minutes
    given = [*data, *(path for path in (validation, registry_file, config, Path(from_ or like)) if path)]
    check_output(out, given)
    entry = choose.model(from_ or like, registry_file, config, settings)

    import torch

    from stemsplit.evaluation.multitracks import multitracks
    from stemsplit.fast import dtype_of
    from stemsplit.fast.cpu.pool import cores
    from stemsplit.fast.device import pick_device
    from stemsplit.terminal.stdout import print_paths
    from stemsplit.terminal.training import TrainReport
    from stemsplit.training import result
    from stemsplit.training.data import collections_of, hold, read_song
    from stemsplit.training.examples import Examples
    from stemsplit.training.loop import Run
    from stemsplit.training.network import dropout_layers
    from stemsplit.training.optimizers import Optimizers
    from stemsplit.training.workers import join

    with usage_errors():
        mixing = Mixing(
            length=round(seconds * entry.sample_rate),
            gain=gain,
            source_dropout=source_dropout,
            remix=remix,
            mixup=mixup,
            augmentations=tuple(listed(augment)),
        )
        plan = Plan(
            steps=steps,
            batch_size=batch_size,
            loss=loss,
            optimizer=optimizer,
            learning_rate=learning_rate,
            warmup=warmup,
            decay=decay,
            decay_steps=decay_steps,
            cooldown=cooldown,
            weight_decay=weight_decay,
            dropout=dropout,
            ema_decay=ema_decay,
            seed=seed,
            report_every=report_every,
        )
        team = join(pick_device(device))
    stems = entry.outputs if validation else ()
    quick = {"--minutes 30": minutes is None, "--batch-size 1": batch_size > 1, "--seconds 2": seconds > 2}
    quicker = " ".join(option for option, helps in quick.items() if helps)
    with (
        closing(team),
        TrainReport(stems, steps, team.first, quicker, early=not workers) as report,
        watching(out.with_suffix(".csv"), report.note, watch and team.first) as show,
    ):
        if not workers:
            show()
        report.stage(f"building the network of {entry.name}")
        dtype = dtype_of(precision.value, team.device)
        # Silent stems fill layers with denormal numbers, which are slow on CPUs.
        torch.set_flush_denormal(True)
        torch.set_num_threads(threads or max(cores() // team.count, 1))
        torch.manual_seed(seed)
        entry = known(entry, bool(from_), quiet=not team.first)
        network = network_of(entry, bool(from_), quiet=not team.first).to(team.device)
        # What the network does not support must be known now, before all songs are read.
        with usage_errors("--optimizer"):
            Optimizers(optimizer, network, weight_decay)
        if dropout and not dropout_layers(network):
            raise typer.BadParameter("this network has no layers with dropout", param_hint="--dropout")
        report.stage("looking through the songs")
        collections = collections_of(data, entry)
        report.stage(f"reading {counted(sum(len(each.recordings) for each in collections), 'recording')}")
        songs = [read_song(song, entry) for song in multitracks(validation)] if validation and team.first else []
        hold(collections, round(memory * 1e9))
        run = Run(
            network,
            result.entry_of(entry, bool(from_), about, license_, author),
            Examples(collections, mixing, entry.sample_rate, seed),
            songs,
            out,
            plan,
            workers=team,
            dtype=dtype,
            compiled=compile_,
            loaders=workers,
            bits=int(bits.value),
        )
        carry_out(run, report, until, show)
    if team.first:
        print_paths([out])

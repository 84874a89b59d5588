"""`stemsplit train`."""

import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.choices import PrecisionName
from stemsplit.cli import choose
from stemsplit.cli.options import Compile, Precision, Threads, complete_device, finite, listed, under
from stemsplit.cli.signals import AskedError, Stop

if TYPE_CHECKING:
    from torch import nn

    from stemsplit.registry import ModelEntry
    from stemsplit.training.data import Collection
    from stemsplit.training.loop import Run


class Bits(StrEnum):
    """Of a number in a file of weights."""

    b32 = "32"
    b16 = "16"
    b8 = "8"
    b6 = "6"
    b5 = "5"
    b4 = "4"


RECIPE, DATA, MACHINE = "Recipe (defaults: as published for BS-RoFormer)", "Data", "Machine"


def chosen_model(
    like: str, from_: str | None, registry_file: Path | None, config: Path | None, settings: list[str] | None
) -> "ModelEntry":
    """The entry of the model to train, named or fine-tuned."""
    return choose.model(from_ or like, registry_file, config, settings)


def check_output(out: Path, inputs: Sequence[Path]) -> None:
    """See whether the weights, and all that lies beside them, can be written there.

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
            raise typer.BadParameter(f"it would overwrite {written}, which it reads", param_hint="--output")
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise StemsplitError(f"cannot write into {folder}: {error.strerror}") from error


def collections_of(places: list[Path], entry: "ModelEntry") -> "list[Collection]":
    """What there is to train on.

    Raises:
        AudioError: a folder or list holds no songs, or they cannot be read.
    """
    from stemsplit.errors import AudioError
    from stemsplit.evaluation.multitracks import multitracks
    from stemsplit.training.data import collect

    found = {place: collect(multitracks(place), entry) for place in dict.fromkeys(places)}
    collections = [found[place] for place in places]
    for name, takes in zip(entry.outputs, zip(*(c.takes for c in collections), strict=True), strict=True):
        if not any(takes):
            raise AudioError(f"no recording of {name} in {', '.join(map(str, places))}")
    return collections


def network_of(entry: "ModelEntry", fine_tuned: bool, quiet: bool) -> "nn.Module":
    """The network to train, with the model's weights or with fresh ones.

    Raises:
        RegistryError: the entry's config makes no network.
        WeightsError: the model's weights cannot be had, or do not fit.
    """
    from stemsplit import models
    from stemsplit.checkpoints.loading import load_network
    from stemsplit.cli.obtain import obtain
    from stemsplit.errors import RegistryError
    from stemsplit.training.start import start

    try:
        models.check(entry.architecture, entry.config, len(entry.stems), entry.channels)
        network = models.build(entry.architecture, entry.config)
    except ValueError as error:
        raise RegistryError(f"the config of {entry.name!r} makes no network: {error}") from error
    if fine_tuned:
        obtain(entry, quiet)
        # Copied: what is loaded may still lie in its file, and of no parameter it is said any more that it is fixed.
        network.load_state_dict(load_network(entry).state_dict())
    else:
        start(network, len(entry.outputs))
    return network


def carry_out(run: "Run") -> None:
    """Take up a run where it is, make its steps, and tell and write down how it goes.

    Raises:
        typer.Exit: a signal asked to stop; the run goes on from there.
        StemsplitError: see `Run`; or the device ran out of memory.
    """
    from stemsplit.errors import StemsplitError
    from stemsplit.fast.device import memory_errors
    from stemsplit.terminal.training import TrainReport
    from stemsplit.training.history import History

    stems, first = run.entry.outputs if run.validation else (), run.workers.first
    advice = "try a smaller --batch-size or --seconds"
    with Stop() as stop, TrainReport(stems, run.plan.steps, shown=first) as report:
        if run.go_on():
            report.note(f"{run.out} goes on from step {run.step} of {run.plan.steps}")
        history = History(run.out.with_suffix(".csv"), stems, run.step) if first else None
        if run.workers.count == 1:
            run.pulse = stop.check  # several would wait for the one that gives its step up
        try:
            with memory_errors(f"while training on {run.device}", advice), closing(run.steps()) as steps:
                for progress in steps:
                    report.step(progress)
                    if history and progress.reported:
                        history.add(progress)
                    if stop.number:
                        break
        except AskedError:
            pass  # the step was not made; what was before it is kept below
        except RuntimeError as error:
            if "DataLoader worker" in str(error):
                raise StemsplitError("a process that prepares examples was killed; try fewer --workers") from error
            # Another process, which this one waited for, stopped a step earlier.
            if run.workers.count == 1 or not stop.number:
                raise
        except KeyboardInterrupt:
            report.note("interrupted; started again, the run goes on from its last checkpoint")
            raise typer.Exit(130) from None
        if stop.number:
            if first:
                run.keep()
            report.note(f"interrupted; started again, the run goes on from step {run.step}")
            raise typer.Exit(128 + stop.number)


def train(
    data: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...",
            help="Folders of songs, each a folder with a file a stem (drums.wav, bass.wav ...) or a .stem.mp4; or "
            "lists of songs: CSV files with a line song,stem,path for each file. Each folder and list is drawn from "
            "as often as any other; name one twice to have it drawn from twice as often.",
            exists=True,
        ),
    ],
    out: Annotated[Path, typer.Option("--output", "-o", help="The weights to write: NAME.safetensors.")],
    validation: Annotated[
        Path | None, typer.Option("--validation", help="Songs that are measured on, never trained on.", exists=True)
    ] = None,
    like: Annotated[
        str, typer.Option("--like", help="The model whose network and stems to train.", show_default=True)
    ] = "starter",
    from_: Annotated[
        str | None, typer.Option("--from", help="Fine-tune this model, or checkpoint's file, instead.")
    ] = None,
    steps: Annotated[int, typer.Option(min=1, help="Updates of the weights in all.", rich_help_panel=RECIPE)] = 400_000,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Examples a step, on each device.", rich_help_panel=RECIPE)
    ] = 4,
    seconds: Annotated[
        float, typer.Option(min=0.1, callback=finite, help="Duration of an example.", rich_help_panel=RECIPE)
    ] = 8.0,
    loss: Annotated[
        str,
        typer.Option(
            help="spectral: L1 of waveforms and of complex spectrograms; sdr: what is measured.", rich_help_panel=RECIPE
        ),
    ] = "spectral",
    optimizer: Annotated[
        str, typer.Option(help="adamw; or muon, which learns in fewer steps.", rich_help_panel=RECIPE)
    ] = "adamw",
    learning_rate: Annotated[
        float, typer.Option(min=0, callback=finite, help="At its height.", rich_help_panel=RECIPE)
    ] = 5e-4,
    warmup: Annotated[int, typer.Option(min=0, help="Steps over which it rises.", rich_help_panel=RECIPE)] = 0,
    decay: Annotated[
        float,
        typer.Option(min=0, max=1, callback=finite, help="It is multiplied with this ...", rich_help_panel=RECIPE),
    ] = 0.9,
    decay_steps: Annotated[int, typer.Option(min=1, help="... every so many steps.", rich_help_panel=RECIPE)] = 40_000,
    cooldown: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="Share of the steps over which it falls to zero.",
            rich_help_panel=RECIPE,
        ),
    ] = 0.0,
    weight_decay: Annotated[
        float, typer.Option(min=0, callback=finite, help="Of the optimizer.", rich_help_panel=RECIPE)
    ] = 0.01,
    dropout: Annotated[
        float,
        typer.Option(
            min=0,
            max=0.9,
            callback=finite,
            help="Share of a RoFormer's features left out at random, against overfitting.",
            rich_help_panel=RECIPE,
        ),
    ] = 0.0,
    averaging: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            callback=finite,
            help="What averaged weights keep of themselves a step.",
            rich_help_panel=RECIPE,
        ),
    ] = 0.999,
    levels: Annotated[
        float,
        typer.Option(
            min=0, callback=finite, help="dB by which a source gets louder or softer at most.", rich_help_panel=DATA
        ),
    ] = 3.0,
    silence: Annotated[
        float,
        typer.Option(min=0, max=1, callback=finite, help="Share of sources that are left out.", rich_help_panel=DATA),
    ] = 0.1,
    remix: Annotated[
        float,
        typer.Option(
            min=0, max=1, callback=finite, help="Share of mixtures of different songs and places.", rich_help_panel=DATA
        ),
    ] = 0.5,
    doubled: Annotated[
        float,
        typer.Option(
            min=0, max=1, callback=finite, help="Share of their sources that are two at once.", rich_help_panel=DATA
        ),
    ] = 0.0,
    augment: Annotated[
        list[str] | None,
        typer.Option(help="More variety, with commas: swap, polarity, equalise, speed.", rich_help_panel=DATA),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Of everything random.", rich_help_panel=DATA)] = 0,
    memory: Annotated[
        float,
        typer.Option(
            min=0, callback=finite, help="GB of recordings to keep in memory at most.", rich_help_panel=MACHINE
        ),
    ] = 8.0,
    device: Annotated[
        str,
        typer.Option(
            "--device",
            "-d",
            help="auto, cpu, cuda, cuda:1 or mps. Several: torchrun --nproc-per-node 4 -m stemsplit train ...",
            autocompletion=complete_device,
            rich_help_panel=MACHINE,
        ),
    ] = "auto",
    precision: Annotated[PrecisionName, under(MACHINE, Precision)] = PrecisionName.auto,
    threads: Annotated[int | None, under(MACHINE, Threads)] = None,
    workers: Annotated[
        int, typer.Option(min=0, help="Processes that prepare examples; best some with a GPU.", rich_help_panel=MACHINE)
    ] = 0,
    compile_: Annotated[bool, under(MACHINE, Compile)] = False,
    bits: Annotated[Bits, typer.Option(help="Of each weight in the file.")] = Bits.b32,
    about: Annotated[
        str, typer.Option(help="What it was trained on, for the model's entry.", rich_help_panel="The model's entry")
    ] = "",
    license_: Annotated[
        str, typer.Option("--license", help="Of the weights, e.g. CC-BY-4.0.", rich_help_panel="The model's entry")
    ] = "",
    author: Annotated[str, typer.Option(help="Who trained it.", rich_help_panel="The model's entry")] = "",
    report_every: Annotated[
        int, typer.Option(min=1, help="Steps between checkpoints, and between validations.")
    ] = 1_000,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Train a model on songs whose stems are known, or fine-tune one.

    A run that was cut off goes on where it was when started again with the same options. It leaves weights that
    `--model` takes, an entry for models.toml, and a CSV of losses and scores.
    """
    given = [*data, *(path for path in (validation, registry_file, config, Path(from_ or like)) if path)]
    check_output(out, given)
    entry = chosen_model(like, from_, registry_file, config, settings)

    import torch

    from stemsplit.evaluation.multitracks import multitracks
    from stemsplit.fast import chosen
    from stemsplit.fast.cpu.pool import cores
    from stemsplit.fast.device import pick_device
    from stemsplit.terminal.stdout import print_paths
    from stemsplit.training.data import Examples, Mixing, hold, read_song
    from stemsplit.training.loop import Run, droppable
    from stemsplit.training.optimizers import Optimizers
    from stemsplit.training.plan import Plan
    from stemsplit.training.workers import join

    try:
        mixing = Mixing(
            round(seconds * entry.sample_rate), levels, silence, remix, doubled, augmentations=tuple(listed(augment))
        )
        plan = Plan(
            steps,
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
            averaging=averaging,
            seed=seed,
            report_every=report_every,
        )
        team = join(pick_device(device))
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    with closing(team):
        try:
            dtype = chosen(precision.value, team.device)
        except ValueError as error:
            raise typer.BadParameter(str(error), param_hint="--precision") from error
        # Silent stems fill layers with denormal numbers, which CPUs are slow at.
        torch.set_flush_denormal(True)
        torch.set_num_threads(threads or max(cores() // team.count, 1))
        torch.manual_seed(seed)
        network = network_of(entry, bool(from_), quiet=not team.first).to(team.device)
        try:
            Optimizers(optimizer, network, weight_decay)
        except ValueError as error:
            # Now, not when all songs have been read.
            raise typer.BadParameter(str(error), param_hint="--optimizer") from error
        if dropout and not droppable(network):
            raise typer.BadParameter(
                "this network has no layers whose features could be left out", param_hint="--dropout"
            )
        entry = replace(
            entry,
            description=f"fine-tuned from {entry.name}" if from_ else f"trained like {entry.name}",
            training_data=about,
            license=license_,
            author=author,
            license_note="",
            license_url="",
            page="",
            score={},
        )
        collections = collections_of(data, entry)
        held_out = [read_song(song, entry) for song in multitracks(validation)] if validation and team.first else []
        hold(collections, round(memory * 1e9))
        examples = Examples(collections, mixing, entry.sample_rate, seed)
        carry_out(
            Run(
                network,
                entry,
                examples,
                held_out,
                out,
                plan,
                workers=team,
                dtype=dtype,
                compiled=compile_,
                loaders=workers,
                bits=int(bits.value),
            )
        )
    if team.first:
        print_paths([out])

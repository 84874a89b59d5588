"""`stemsplit train`: makes the weights of a model like the built-in one."""

from pathlib import Path
from typing import Annotated

import typer


def train(
    data: Annotated[Path, typer.Argument(help="Folders of songs, one file a stem in each (drums.ogg, bass.ogg ...).")],
    out: Annotated[Path, typer.Option("--output", "-o", help="The weights to write, as safetensors.")],
    validation: Annotated[Path | None, typer.Option(help="Songs that are measured on, never trained on.")] = None,
    like: Annotated[str, typer.Option(help="The model whose network and stems to train.")] = "starter",
    steps: Annotated[int, typer.Option(min=1, help="Updates of the weights in all.")] = 5_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples a step.")] = 4,
    seconds: Annotated[float, typer.Option(min=0.1, help="Duration of an example.")] = 3.0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option("--device", "-d", help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    bfloat16: Annotated[
        bool, typer.Option(help="Half the precision; twice the speed where the processor has it.")
    ] = True,
) -> None:
    """Train a network from scratch. A run that was cut off goes on where it was when started again."""
    import torch

    from stemsplit import models, registry
    from stemsplit.errors import AudioError
    from stemsplit.separator import pick_device
    from stemsplit.training import data as multitracks
    from stemsplit.training.filter_bank import start_as_fourier
    from stemsplit.training.loop import Plan, train

    entry = registry.find(like)
    if not out.absolute().parent.is_dir():
        raise AudioError(f"there is no folder {out.absolute().parent} to write {out.name} into")
    torch.manual_seed(seed)
    # Silent stems fill layers with denormal numbers, which CPUs are slow at.
    torch.set_flush_denormal(True)
    network = models.build(entry.architecture, entry.config)
    start_as_fourier(network)
    tracks = multitracks.load(data, entry.stems, entry.sample_rate)
    if not tracks.songs:
        raise AudioError(f"no song with a file for each of {', '.join(entry.stems)} below {data}")
    held_out = multitracks.song_folders(validation, entry.stems) if validation else []
    plan = Plan(steps, batch_size=batch_size, length=round(seconds * entry.sample_rate), seed=seed, autocast=bfloat16)
    songs = [multitracks.read_song(folder, entry.stems, entry.sample_rate) for folder in held_out]
    train(network.to(pick_device(device)), tracks, songs, out, plan, typer.echo)

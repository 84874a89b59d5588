"""Runs `stemsplit eval`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.choices import PrecisionName
from stemsplit.cli import choose
from stemsplit.cli.options import Device, Json, Overlap, Precision, listed, under
from stemsplit.cli.stems import hint

if TYPE_CHECKING:
    from stemsplit.evaluation.evaluation import Estimates, Result
    from stemsplit.registry import ModelEntry

MODEL = "With --model"


def eval_(
    references: Annotated[
        Path,
        typer.Argument(
            metavar="REFERENCES",
            exists=True,
            help="Songs with their true stems: a folder with one subfolder per song, in it one file per stem "
            "(drums.wav, bass.wav ...); a folder of .stem.mp4 files; or a CSV file with the columns song,stem,path.",
        ),
    ],
    estimates: Annotated[
        Path | None,
        typer.Argument(
            metavar="ESTIMATES",
            exists=True,
            file_okay=False,
            help="Folder of separated stems of the same songs, as `stemsplit split` writes them.",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Score the stems that this model makes, instead of ESTIMATES. Name of a model, as shown by "
            "`stemsplit list`, or a checkpoint file.",
            autocompletion=choose.complete_model,
        ),
    ] = None,
    stems: Annotated[
        str | None, typer.Option("--stems", "-s", help="Score only these stems, e.g. vocals,drums.")
    ] = None,
    as_json: Json = False,
    device: Annotated[str | None, under(MODEL, Device)] = None,
    overlap: Annotated[float | None, under(MODEL, Overlap)] = None,
    precision: Annotated[PrecisionName | None, under(MODEL, Precision)] = None,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Score separated stems against the true ones, in dB.

    Each song is scored by the SDR and SI-SDR of the whole song, and by the
    median SDR of its seconds, as museval computes it. After the songs, the
    mean and median of these scores over all songs are shown.
    """
    if (estimates is None) == (model is None):
        raise typer.BadParameter("name either a folder of separated stems or a --model", param_hint="ESTIMATES")
    if model is None and (device or precision or config or settings or overlap is not None):
        raise typer.BadParameter("--device, --overlap, --precision, --config and --set need --model")
    from stemsplit.terminal import console
    from stemsplit.terminal.evaluation import EvalReport, print_scores, scores_as_data
    from stemsplit.terminal.stdout import print_json

    wanted = listed([stems] if stems else None)
    entry = prepared(model, overlap, wanted, registry_file, config, settings) if model else None

    from stemsplit.evaluation.evaluation import FromFolder, evaluate, summary
    from stemsplit.evaluation.multitracks import multitracks

    songs = multitracks(references)
    if entry:
        source = from_model(entry, device or "auto", precision.value if precision else "auto")
    else:
        assert estimates is not None
        source = FromFolder(estimates)
    results = []
    with EvalReport([song.title for song in songs]) as report:
        for result in evaluate(songs, source, wanted, lambda song, seconds: report.progress(song.title, seconds)):
            results.append(result)
            if result.error:
                console.error(result.error)
    remark(results)
    found = summary(results)
    if as_json:
        print_json(scores_as_data(results, found))
    else:
        print_scores(results, found)
    if any(result.error for result in results):
        raise typer.Exit(1)


def prepared(
    model: str,
    overlap: float | None,
    wanted: list[str],
    registry_file: Path | None,
    config: Path | None,
    settings: list[str] | None,
) -> "ModelEntry":
    """Return the model's entry, once its weights are on this machine.

    Args:
        model: name of the model, or path of a checkpoint file.
        overlap: share of a chunk that overlaps the next; None for the model's own.
        wanted: stems to score; all if empty.
        registry_file: registry with more models.
        config: config file of the checkpoint.
        settings: values for the checkpoint, each NAME=VALUE.

    Raises:
        typer.BadParameter: the model does not have one of the stems.
        RegistryError, WeightsError: there is no such model, or it cannot be downloaded.
    """
    from stemsplit.cli.obtain import obtain

    entry = choose.model(model, registry_file, config, settings)
    if unknown := [name for name in wanted if name not in entry.outputs]:
        known = ", ".join(entry.outputs)
        what = f"{entry.name} has no stem {unknown[0]!r}; it has {known}{hint(unknown[0], registry_file)}"
        raise typer.BadParameter(what, param_hint="--stems")
    obtain(entry, quiet=False)
    return entry.with_chunks(overlap=overlap)


def from_model(entry: "ModelEntry", device: str, precision: str) -> "Estimates":
    """Load a model whose stems are to be scored.

    Raises:
        WeightsError, DeviceError: the model cannot be loaded.
    """
    from stemsplit.cli.loading import prepare_torch
    from stemsplit.engine.separator import Separator
    from stemsplit.evaluation.evaluation import FromModel
    from stemsplit.terminal import console

    prepare_torch()
    return FromModel(Separator(entry, device, precision=precision, tell=console.warning))


def remark(results: "list[Result]") -> None:
    """Print which stems have no scores, and why."""
    from stemsplit.terminal import console

    unmeasured: dict[str, list[str]] = {}
    for result in results:
        for name in result.unmeasured:
            unmeasured.setdefault(name, []).append(result.name)
        silent = [name for name, score in result.scores.items() if math.isnan(score.sdr)]
        mute = [name for name, score in result.scores.items() if score.si_sdr == -math.inf]
        apart = [n for n, score in result.scores.items() if math.isnan(score.frame_sdr) and n not in {*silent, *mute}]
        for names, what in (
            (silent, "not scored, because the true stem is silent"),
            (mute, "only its SDR is given, because the separated stem is silent"),
            (apart, "no median SDR, because in every second some stem is silent or there is no error"),
        ):
            if names:
                console.note(f"{result.name}: {', '.join(names)}: {what}")
    for name, songs in unmeasured.items():
        where = songs[0] if len(songs) == 1 else f"{len(songs)} songs"
        console.note(f"{where}: {name}: not scored, because only the true or only the separated stem is there")

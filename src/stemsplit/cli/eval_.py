"""`stemsplit eval`."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stemsplit.choices import PrecisionName
from stemsplit.cli import choose
from stemsplit.cli.options import Device, Json, Overlap, Precision, listed, under

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
            help="Holds a folder a song, with a file a stem (drums.wav, bass.wav ...), or .stem.mp4 files; or a list: "
            "a CSV of song,stem,path.",
        ),
    ],
    estimates: Annotated[
        Path | None,
        typer.Argument(
            metavar="ESTIMATES", exists=True, file_okay=False, help="The same songs, as `stemsplit split` wrote them."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="Measure what this makes of the songs instead: from `stemsplit list`, or a checkpoint's file.",
            autocompletion=choose.complete_model,
        ),
    ] = None,
    stems: Annotated[
        str | None, typer.Option("--stems", "-s", help="Measure only these estimates, e.g. vocals,drums.")
    ] = None,
    as_json: Json = False,
    device: Annotated[str | None, under(MODEL, Device)] = None,
    overlap: Annotated[float | None, under(MODEL, Overlap)] = None,
    precision: Annotated[PrecisionName | None, under(MODEL, Precision)] = None,
    registry_file: choose.RegistryFile = None,
    config: choose.ConfigFile = None,
    settings: choose.Settings = None,
) -> None:
    """Measure how close estimates of stems are to the stems as they were recorded: SDR and SI-SDR in dB.

    For each song, and for all songs together their mean and their median: SDR and SI-SDR of the whole song, and the
    median of the SDR of its seconds, as museval counts it.
    """
    if (estimates is None) == (model is None):
        raise typer.BadParameter("name a folder of estimates, or say --model, but not both", param_hint="ESTIMATES")
    if model is None and (device or precision or config or settings or overlap is not None):
        raise typer.BadParameter("--device, --overlap, --precision, --config and --set go with --model")
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
    """The model's entry, its weights on this machine.

    Raises:
        RegistryError, WeightsError: there is no such model, or it cannot be had.
    """
    from stemsplit.cli.obtain import obtain

    entry = choose.model(model, registry_file, config, settings)
    if unknown := [name for name in wanted if name not in entry.outputs]:
        known = ", ".join(entry.outputs)
        raise typer.BadParameter(f"{entry.name} gives no {unknown[0]!r}, but {known}", param_hint="--stems")
    obtain(entry, quiet=False)
    return entry.with_chunks(overlap=overlap)


def from_model(entry: "ModelEntry", device: str, precision: str) -> "Estimates":
    """What the model makes of the songs.

    Raises:
        WeightsError, DeviceError: it cannot be loaded.
    """
    from stemsplit.cli.loading import prepare_torch
    from stemsplit.engine.separator import Separator
    from stemsplit.evaluation.evaluation import FromModel
    from stemsplit.terminal import console

    prepare_torch()
    return FromModel(Separator(entry, device, precision=precision, tell=console.warning))


def remark(results: "list[Result]") -> None:
    """Say which stems have no figures, and why."""
    from stemsplit.terminal import console

    unmeasured: dict[str, list[str]] = {}
    for result in results:
        for name in result.unmeasured:
            unmeasured.setdefault(name, []).append(result.name)
        silent = [name for name, score in result.scores.items() if math.isnan(score.sdr)]
        mute = [name for name, score in result.scores.items() if score.si_sdr == -math.inf]
        apart = [n for n, score in result.scores.items() if math.isnan(score.frame_sdr) and n not in {*silent, *mute}]
        for names, what in (
            (silent, "silent in the references, so that there is nothing to measure"),
            (mute, "silent in the estimates, which leaves SDR alone"),
            (apart, "without a second that counts, in which none of all stems is silent"),
        ):
            if names:
                console.note(f"{result.name}: {', '.join(names)}: {what}")
    for name, songs in unmeasured.items():
        where = songs[0] if len(songs) == 1 else f"{len(songs)} songs"
        console.note(f"{where}: {name} is not measured: there is only a reference, or only an estimate")
